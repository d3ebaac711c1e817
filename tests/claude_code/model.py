"""A scripted model: the Messages API as far as the client needs it, on loopback, in a thread of its own.

Every run has its own address and its own scripts. A conversation follows the script whose key stands, as `[key]`, in
the newest typed text that names one; each answer uses up one step. Side questions of the client (titles, topics) carry
no tools and use up none. Ids of messages and tool uses are new every time and as long as the real ones.
"""

import asyncio
import functools
import json
import re
import secrets
import string
import threading
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Json = dict[str, Any]
_ALPHABET = string.ascii_letters + string.digits
_KEY = re.compile(r"\[([a-z0-9-]+)\]")
_SUMMARY_REQUEST = "create a detailed summary"


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool call the model makes; its id is found under `label` in `Script.tool_ids`."""

    label: str
    name: str
    input: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer: thinking, then text, then tool calls.

    With `hangs` the stream stops after the text until `Script.released` is set or the client goes away.
    `context` is the number of input tokens it claims to have cost, on top of the usual few.
    """

    text: str = ""
    tools: Sequence[Tool] = ()
    thinking: str = ""
    hangs: bool = False
    context: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error instead of an answer: HTTP status and the API's error type."""

    status: int
    kind: str
    message: str = "CANARY refused by the model"


Step = Turn | Refusal


@dataclass(frozen=True, slots=True)
class Usage:
    """What one answered message cost, as the model reported it."""

    message_id: str
    key: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_creation_tokens: int


@dataclass(slots=True)
class Script:
    """The answers of one run by conversation key, and what was really served.

    `names` replace `{name}` in the strings of tool inputs. `tool_ids` are by label, `served` counts answers by key.
    """

    steps: Mapping[str, Sequence[Step]]
    names: Mapping[str, str] = field(default_factory=dict)
    tool_ids: dict[str, str] = field(default_factory=dict)
    usages: list[Usage] = field(default_factory=list)
    served: dict[str, int] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    requests: list[tuple[str, Json]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def next_step(self, key: str) -> Step:
        """The next step of this conversation; past its end a refusal stays, else the model says its `ending`."""
        position = self.served.get(key, 0)
        self.served[key] = position + 1
        steps = self.steps.get(key, ())
        if position < len(steps):
            return steps[position]
        return steps[-1] if steps and isinstance(steps[-1], Refusal) else Turn(ending(key))


def ending(key: str) -> str:
    """The model's last words in the conversation of this key."""
    return f"CANARY end of {key}"


class ModelServer:
    """The server: `with ModelServer() as model: url = model.begin(script)`."""

    def __init__(self) -> None:
        self._scripts: dict[str, Script] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="scripted-model", daemon=True)
        self._runner: web.AppRunner | None = None
        self.address = ""

    def __enter__(self) -> "ModelServer":
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(30)
        return self

    def __exit__(self, *exc: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    def begin(self, script: Script) -> str:
        """Serve this script and return the base address for one run."""
        run = secrets.token_hex(4)
        self._scripts[run] = script
        return f"{self.address}/{run}"

    async def _start(self) -> None:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/{run}/v1/messages", self._messages)
        app.router.add_post("/{run}/v1/messages/count_tokens", self._count_tokens)
        app.router.add_route("*", "/{run}{rest:.*}", self._anything_else)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.address = f"http://{host}:{port}"

    async def _stop(self) -> None:
        if self._runner:
            await self._runner.cleanup()

    def _script(self, request: web.Request) -> Script:
        return self._scripts[request.match_info["run"]]

    async def _count_tokens(self, request: web.Request) -> web.Response:
        return web.json_response({"input_tokens": 100})

    async def _anything_else(self, request: web.Request) -> web.Response:
        self._script(request).unknown.append(f"{request.method} {request.match_info['rest']}")
        return web.json_response({"type": "error", "error": {"type": "not_found_error", "message": "no"}}, status=404)

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        script = self._script(request)
        body = await request.json()
        key = _conversation(body)
        script.requests.append((key, body))
        if key == "":
            step: Step = Turn('{"title": "CANARY title"}')
        elif _SUMMARY_REQUEST in _typed_texts(body)[-1]:
            step = Turn("<summary>CANARY summary of the talk</summary>")
        else:
            step = script.next_step(key)
        if isinstance(step, Refusal):
            error = {"type": "error", "error": {"type": step.kind, "message": step.message}}
            return web.json_response(error, status=step.status, headers={"x-should-retry": "false"})
        message = _message(script, key, step, body["model"])
        if not body.get("stream"):
            return web.json_response(message)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        async for event in _events(message, script.released if step.hangs else None):
            data = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
            await response.write(data.encode())
        return response


def _typed_texts(body: Json) -> list[str]:
    """Every text in a user's message, oldest first; tool results are not typed."""
    texts: list[str] = []
    for message in body["messages"]:
        if message["role"] == "user":
            content = message["content"]
            blocks: Iterable[Json] = [{"type": "text", "text": content}] if isinstance(content, str) else content
            texts += [block["text"] for block in blocks if block["type"] == "text"]
    return texts


def _conversation(body: Json) -> str:
    """The key this request follows; empty for a side question."""
    if not body.get("tools"):
        return ""
    for text in reversed(_typed_texts(body)):
        if found := _KEY.findall(text):
            return str(found[-1])
    return "unscripted"


def _new_id(prefix: str) -> str:
    return f"{prefix}_01" + "".join(secrets.choice(_ALPHABET) for _ in range(22))


def _filled(value: Any, names: Mapping[str, str]) -> Any:
    match value:
        case str():
            return functools.reduce(lambda text, name: text.replace(f"{{{name}}}", names[name]), names, value)
        case Mapping():
            return {key: _filled(inner, names) for key, inner in value.items()}
        case list():
            return [_filled(inner, names) for inner in value]
        case _:
            return value


def _message(script: Script, key: str, turn: Turn, model: str) -> Json:
    content: list[Json] = []
    if turn.thinking:
        content.append({"type": "thinking", "thinking": turn.thinking, "signature": secrets.token_urlsafe(200)})
    if turn.text:
        content.append({"type": "text", "text": turn.text})
    for tool in turn.tools:
        tool_id = script.tool_ids[tool.label] = _new_id("toolu")
        content.append(
            {"type": "tool_use", "id": tool_id, "name": tool.name, "input": _filled(tool.input, script.names)}
        )
    order = len(script.usages) + 1
    usage = Usage(_new_id("msg"), key, 100 + order + turn.context, 10 + order, 1000 + order, 50 + order)
    script.usages.append(usage)
    return {
        "id": usage.message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": "tool_use" if turn.tools else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cache_read_input_tokens": usage.cache_read_tokens,
            "cache_creation_input_tokens": usage.cache_creation_tokens,
        },
    }


async def _events(message: Json, released: threading.Event | None) -> AsyncIterator[Json]:
    """The message as the API streams it."""
    start_usage = message["usage"] | {"output_tokens": 1}
    opening = message | {"content": [], "stop_reason": None, "usage": start_usage}
    yield {"type": "message_start", "message": opening}
    for index, block in enumerate(message["content"]):
        empty, deltas = _deltas(block)
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        while released and block["type"] == "text" and not released.is_set():
            await asyncio.sleep(0.02)
        yield {"type": "content_block_stop", "index": index}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": message["stop_reason"], "stop_sequence": None},
        "usage": message["usage"],
    }
    yield {"type": "message_stop"}


def _deltas(block: Json) -> tuple[Json, list[Json]]:
    match block["type"]:
        case "thinking":
            return (
                block | {"thinking": "", "signature": ""},
                [
                    {"type": "thinking_delta", "thinking": block["thinking"]},
                    {"type": "signature_delta", "signature": block["signature"]},
                ],
            )
        case "text":
            return block | {"text": ""}, [{"type": "text_delta", "text": block["text"]}]
        case _:
            return block | {"input": {}}, [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}]
