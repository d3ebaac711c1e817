from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from datasette.app import Datasette
from tests.datasette_plugins.sse import opened

from datasette_vibetea import guard

if TYPE_CHECKING:
    from tests.datasette_plugins.conftest import Events

HOSTS = [
    ("127.0.0.1", True),
    ("127.0.0.1:8001", True),
    ("localhost", True),
    ("LocalHost:65535", True),
    ("[::1]", True),
    ("[::1]:8001", True),
    ("attacker.example", False),
    ("attacker.example:8001", False),
    ("127.0.0.1.attacker.example", False),
    ("localhost.attacker.example", False),
    ("127.0.0.1@attacker.example", False),
    ("attacker.example#127.0.0.1", False),
    ("127.0.0.1:8001:8001", False),
    ("127.0.0.1:", False),
    ("127.0.0.1:x", False),
    ("127.0.0.2", False),
    ("2130706433", False),
    ("0.0.0.0", False),
    ("localhost.", False),
    ("::1", False),
    ("[::2]", False),
    ("", False),
    (" localhost", False),
]


@pytest.mark.parametrize("path", ["/", "/-/vibetea", "/vibetea/events.json", "/-/static/app.css"])
async def test_only_names_of_this_machine_get_an_answer(datasette: Datasette, path: str) -> None:
    app = datasette.app()
    for host, answered in HOSTS:
        async with opened(app, path=path, headers={"host": host}) as answer:
            assert answer.status == (200 if answered else 421), host


async def test_refuses_the_stream_to_other_names(datasette: Datasette) -> None:
    async with opened(datasette.app(), headers={"host": "attacker.example"}) as answer:
        assert answer.status == 421


async def test_the_configuration_may_add_names(full_db: Events) -> None:
    metadata = {"plugins": {"datasette-vibetea": {"hosts": ["Tea.example"]}}}
    app = Datasette([str(full_db.path)], metadata=metadata).app()
    for host, status in {"tea.example": 200, "TEA.example:443": 200, "localhost": 200, "x.tea.example": 421}.items():
        async with opened(app, path="/", headers={"host": host}) as answer:
            assert answer.status == status


async def call(headers: list[tuple[bytes, bytes]], kind: str = "http") -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"X-Content-Type-Options", b"mine")]})

    async def send(message: Any) -> None:
        said.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing to receive")

    await guard.wrapper(())(app)({"type": kind, "headers": headers}, receive, send)
    return said


@pytest.mark.parametrize("headers", [[], [(b"host", b"localhost"), (b"host", b"attacker.example")]])
async def test_refuses_no_name_and_two(headers: list[tuple[bytes, bytes]]) -> None:
    assert (await call(headers))[0]["status"] == 421


async def test_refuses_sockets_to_other_names() -> None:
    assert await call([(b"host", b"attacker.example")], "websocket") == [{"type": "websocket.close", "code": 1008}]


async def test_adds_what_is_missing_and_changes_nothing() -> None:
    (start,) = await call([(b"host", b"localhost")])
    assert start["headers"] == [(b"X-Content-Type-Options", b"mine"), (b"cross-origin-resource-policy", b"same-origin")]


async def test_passes_the_lifespan_through() -> None:
    passed: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope["type"])

    async def nothing(*_: Any) -> Any: ...

    await guard.wrapper(())(app)({"type": "lifespan"}, nothing, nothing)
    assert passed == ["lifespan"]
