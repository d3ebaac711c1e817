"""A relay that answers by a script, on a real socket, and keeps what it was sent."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from vibetea_protocol import freshness, signing
from vibetea_protocol.wire import parse


@dataclass(frozen=True)
class Answer:
    """What one request is answered.

    Args:
        status: one of success also stores the events.
        body: None for the true counts of accepted and duplicate events.
        cut: so many of the body's bytes are sent, then the connection is closed.
        wait: called before the answer is sent.
    """

    status: int = 202
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    wait: Callable[[], object] = lambda: None


def code(status: int, word: str, **headers: str) -> Answer:
    return Answer(status, json.dumps({"error": "text", "code": word}).encode(), headers)


@dataclass(frozen=True)
class Request:
    ids: tuple[str, ...]
    body: bytes
    headers: dict[str, str]
    at: float


Rule = Callable[[Request], Answer | None]


class ScriptedRelay:
    """Checks every signature, answers from `script`, then by `rule`, then yes.

    Args:
        key: what the sender signs with; None before it is registered.
        ahead: seconds its clock is ahead.
    """

    path = "/events"
    yes = Answer()

    def __init__(self, key: bytes, source: str = "laptop", ahead: float = 0.0) -> None:
        self.key: bytes | None = key
        self.source = source
        self.ahead = ahead
        self.script: list[Answer] = []
        self.rule: Rule = lambda _: None
        self.requests: list[Request] = []
        self.verdicts: list[int] = []
        self.accepted: dict[str, bytes] = {}
        """The events it took, in the order in which they came first."""
        self.duplicates = 0
        self.broken: list[str] = []
        """What was wrong with a request; must stay empty."""
        self.url = ""
        self._lock = threading.Lock()

    @property
    def ids(self) -> list[str]:
        return list(self.accepted)

    def answer(self, request: Request) -> Answer:
        with self._lock:
            self.requests.append(request)
            answer = self._decide(request)
            if answer.status in {200, 201, 202} and answer.body is None:
                answer = self._take(request, answer)
            self.verdicts.append(answer.status)
            return answer

    def _decide(self, request: Request) -> Answer:
        if self.key is None:
            return self.refusal(401, "unknown_source")
        try:
            self._verify(self.key, request)
        except freshness.Stale:
            return self.refusal(401, "stale")
        except (signing.SigningError, ValueError, KeyError) as error:
            self.broken.append(repr(error))
            return self.refusal(401, "invalid_signature")
        if self.script:
            return self.script.pop(0)
        return self.rule(request) or self.yes

    def _verify(self, key: bytes, request: Request) -> None:
        assert request.headers["x-source-id"] == self.source
        signing.verify(key, request.body, request.headers["x-signature"])
        self._verify_fresh(key, request)

    def _verify_fresh(self, key: bytes, request: Request) -> None:
        now = int(time.time() + self.ahead)
        given = request.headers["vibetea-signature"]
        freshness.verify_fresh([key], freshness.origin(self.url), now, request.body, given)

    def refusal(self, status: int, word: str) -> Answer:
        return code(status, word)

    def _counts(self, fresh: int, sent: int) -> dict[str, object]:
        """What a yes says."""
        return {"accepted": fresh, "duplicates": sent - fresh}

    def _take(self, request: Request, answer: Answer) -> Answer:
        fresh = 0
        for event in parse(request.body):
            if event.source != self.source:
                self.broken.append("another source")
            if event.id in self.accepted:
                self.duplicates += 1
            else:
                fresh += 1
                self.accepted[event.id] = event.raw
        said = json.dumps(self._counts(fresh, len(request.ids))).encode()
        return Answer(answer.status, said, answer.headers, answer.cut, answer.wait)


@contextmanager
def serve(relay: ScriptedRelay, *, port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[ScriptedRelay]:
    """Listen on a port of the loopback interface; sets the relay's address."""
    connections: set[socket.socket] = set()
    server = ThreadingHTTPServer(("127.0.0.1", port), _handler(relay, connections), bind_and_activate=False)
    server.daemon_threads = True
    server.block_on_close = False
    server.allow_reuse_address = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that goes away is meant
    server.server_bind()
    server.server_activate()
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    relay.url = f"{'https' if tls else 'http'}://localhost:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield relay
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        for connection in connections.copy():  # else those kept open would still be served
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _handler(relay: ScriptedRelay, connections: set[socket.socket]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30
        disable_nagle_algorithm = True

        def setup(self) -> None:
            connections.add(self.request)
            super().setup()

        def finish(self) -> None:
            connections.discard(self.request)
            super().finish()

        def do_POST(self) -> None:
            assert self.path == relay.path, self.path
            body = self.rfile.read(int(self.headers["Content-Length"]))
            ids = tuple(event["id"] for event in json.loads(body))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = relay.answer(Request(ids, body, headers, time.monotonic()))
            answer.wait()
            with suppress(OSError):
                self._send(answer)

        def do_GET(self) -> None:
            relay.broken.append("a GET")

        def _send(self, answer: Answer) -> None:
            body = answer.body or b""
            self.send_response_only(answer.status)
            headers = {"Date": formatdate(time.time() + relay.ahead, usegmt=True), "Content-Length": str(len(body))}
            for name, value in (headers | answer.headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[: answer.cut])
            if answer.cut is not None:
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


def in_order(found: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether what was found has the order of what was wanted."""
    place = {one: number for number, one in enumerate(wanted)}
    return list(found) == sorted(found, key=place.__getitem__)
