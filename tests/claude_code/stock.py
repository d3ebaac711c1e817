"""A tiny MCP server on standard input and output: the tool `count` answers 7, and fails for the item `none`."""

import json
import sys
from typing import Any

_COUNT = {
    "name": "count",
    "description": "CANARY counts the stock",
    "inputSchema": {"type": "object", "properties": {"item": {"type": "string"}}},
}


def answer(method: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """The result of one request."""
    match method:
        case "initialize":
            return {
                "protocolVersion": parameters["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "stock", "version": "1"},
            }
        case "tools/list":
            return {"tools": [_COUNT]}
        case "tools/call":
            failed = parameters["arguments"].get("item") == "none"
            return {"content": [{"type": "text", "text": "CANARY 7"}], "isError": failed}
        case _:
            return {}


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        if "id" in request:
            result = answer(request["method"], request.get("params", {}))
            sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
