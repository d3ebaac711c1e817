"""GET /ws: one case for each thing the wire contract says of it, over real sockets."""

import json
import logging

import aiohttp
import pytest
from tests.relay.watching import UPGRADE, Watch, client_frame, connected, raw_watcher, watched_to_the_end, watching
from tests.relay.world import NO_LIMITS, SESSION, TOKEN, Relay, Sender, relaying

from vibetea_relay.config import Limits
from vibetea_relay.tokens import digest

ENVELOPE = ["id", "source", "timestamp", "type", "payload", "seq"]


async def sent(relay: Relay, sender: Sender, *numbers: int) -> None:
    answer = await relay.send(sender, sender.body(*numbers))
    assert answer.status == 202, answer


async def ids(watch: Watch, many: int) -> list[str]:
    return [event["id"] for event in await watch.take(many)]


def names(sender: Sender, *numbers: int) -> list[str]:
    return [str(sender.event(number)["id"]) for number in numbers]


@pytest.mark.parametrize("query", ["", "?token=", "?token=%20%20", "?Token=x", "?source=laptop"])
async def test_no_token(relay: Relay, query: str) -> None:
    answer = await relay.get(f"/ws{query}", headers=UPGRADE)
    assert (answer.status, answer.code) == (401, "missing_token")
    assert answer.json["error"]


@pytest.mark.parametrize("token", ["x", TOKEN[:-1], TOKEN.upper(), TOKEN + "x", "%00", "%ff"])
async def test_wrong_token(relay: Relay, token: str) -> None:
    answer = await relay.get(f"/ws?token={token}", headers=UPGRADE)
    assert (answer.status, answer.code) == (401, "invalid_token")


async def test_wrong_tokens_are_limited_by_address(laptop: Sender) -> None:
    limits = Limits(failure_rate=0.01, failure_burst=3)
    async with relaying(laptop, limits=limits) as relay:
        answers = [await relay.get("/ws?token=guess", headers=UPGRADE) for _ in range(4)]
    assert [answer.status for answer in answers] == [401, 401, 401, 429]
    assert int(answers[-1].headers["Retry-After"]) >= 1


async def test_token_is_trimmed(relay: Relay, laptop: Sender) -> None:
    async with relay.http.ws_connect(f"{relay.url}/ws?token=%20{TOKEN}%0A") as ws:
        await sent(relay, laptop, 1)
        assert await ids(Watch(ws), 1) == names(laptop, 1)


async def test_token_as_bearer(relay: Relay, laptop: Sender) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with relay.http.ws_connect(f"{relay.url}/ws", headers=headers) as ws:
        await sent(relay, laptop, 1)
        assert await ids(Watch(ws), 1) == names(laptop, 1)
    answer = await relay.get("/ws", headers=UPGRADE | {"Authorization": "Bearer wrong"})
    assert answer.code == "invalid_token"


async def test_every_named_token_watches(laptop: Sender) -> None:
    tokens = {"anna": digest("token-of-anna"), "ben": digest("token-of-ben")}
    async with relaying(laptop, tokens=tokens) as relay:
        for token in ("token-of-anna", "token-of-ben"):
            async with relay.http.ws_connect(f"{relay.url}/ws", params={"token": token}):
                pass
        assert (await relay.get(f"/ws?token={TOKEN}", headers=UPGRADE)).code == "invalid_token"


async def test_without_authentication_no_token_is_needed(laptop: Sender) -> None:
    async with relaying(laptop, unsafe_no_auth=True) as relay, relay.http.ws_connect(f"{relay.url}/ws") as ws:
        await sent(relay, laptop, 1)
        assert await ids(Watch(ws), 1) == names(laptop, 1)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [0, 1, 2, 3]),
        ({"source": "laptop"}, [0, 1, 2, 3]),
        ({"source": "Laptop"}, []),
        ({"source": "lap"}, []),
        ({"source": "desktop"}, []),
        ({"type": "tool"}, [0, 1]),
        ({"type": "Tool"}, []),
        ({"type": "activity"}, [2]),
        ({"project": "shop"}, [0, 2, 3]),
        ({"project": "SHOP"}, []),
        ({"project": "sho"}, []),
        ({"type": "tool", "project": "shop"}, [0]),
        ({"source": "laptop", "type": "activity", "project": "shop"}, [2]),
        ({"tool": "Read"}, [0, 1]),
        ({"tool": "read"}, []),
        ({"tool": "Rea"}, []),
        ({"tool": 'Read","status":"started'}, []),
        ({"tool": "Read", "project": "till"}, [1]),
        ({"session": SESSION[:4]}, [0, 1, 2, 3]),
        ({"session": SESSION}, [0, 1, 2, 3]),
        ({"session": SESSION[1:]}, []),
        ({"session": f'{SESSION}"'}, []),
        ({"session": "5", "tool": "Read", "project": "shop"}, [0]),
        ({"source": "desktop", "type": "tool"}, []),
        ({"source": "", "type": "", "project": "", "session": "", "tool": ""}, [0, 1, 2, 3]),
    ],
)
async def test_filters_are_anded_exact_and_case_sensitive(
    laptop: Sender, query: dict[str, str], expected: list[int]
) -> None:
    mine = [
        laptop.event(0),
        laptop.event(1, payload={"sessionId": SESSION, "tool": "Read", "status": "started", "project": "till"}),
        laptop.event(2, type="activity", payload={"sessionId": SESSION, "project": "shop"}),
        laptop.event(3, type="session", payload={"sessionId": SESSION, "action": "ended", "project": "shop"}),
    ]
    async with relaying(laptop) as relay:
        watcher = await watched_to_the_end(relay, **query)
        assert (await relay.send(laptop, json.dumps(mine).encode())).status == 202
    events, _ = await watcher
    assert [event["id"] for event in events] == names(laptop, *expected)


async def test_filter_names_the_path_of_a_project_activity(relay: Relay, laptop: Sender) -> None:
    payload = {"projectPath": "shop", "sessionId": SESSION, "isActive": True}
    async with watching(relay, project="shop") as watch:
        body = json.dumps(laptop.event(1, type="project_activity", payload=payload)).encode()
        assert (await relay.send(laptop, body)).status == 202
        assert await ids(watch, 1) == names(laptop, 1)


async def test_each_frame_is_one_event_in_canonical_form(relay: Relay, laptop: Sender) -> None:
    """The first frame is an event too: there is no hello."""
    async with watching(relay) as watch:
        await sent(relay, laptop, 1, 2, 3)
        found = await watch.take(3)
    assert [list(event) for event in found] == [ENVELOPE] * 3
    assert [{key: event[key] for key in ENVELOPE[:-1]} for event in found] == [laptop.event(n) for n in (1, 2, 3)]
    seqs = [event["seq"] for event in found]
    assert seqs == sorted(set(seqs))


async def test_what_old_monitors_add_is_not_passed_on(relay: Relay, laptop: Sender) -> None:
    nested = {"type": "tool", "sessionId": SESSION.upper(), "tool": "Read", "status": "completed", "context": None}
    event = laptop.event(1, payload=nested | {"prompt": "private"}, secret="private")
    event["eventType"] = event.pop("type")
    async with watching(relay) as watch:
        assert (await relay.send(laptop, json.dumps(event).encode())).status == 202
        found = await watch.next()
    assert list(found) == ENVELOPE
    assert found["type"] == "tool"
    assert found["payload"] == {"sessionId": SESSION, "tool": "Read", "status": "completed"}


async def test_event_sent_twice_comes_once(relay: Relay, laptop: Sender) -> None:
    async with watching(relay) as watch:
        await sent(relay, laptop, 1, 2, 1)
        await sent(relay, laptop, 2, 3)
        assert await ids(watch, 3) == names(laptop, 1, 2, 3)


async def test_events_are_large_and_small(relay: Relay, laptop: Sender) -> None:
    """All three lengths of a frame's head."""
    sizes = [1, 4096]
    bodies = [laptop.event(n, type="summary", payload={"sessionId": SESSION, "summary": "é" * n}) for n in sizes]
    hours = {str(n).zfill(2000): n for n in range(40)}
    bodies.append(laptop.event(9, type="activity_pattern", payload={"hourCounts": hours}))
    async with watching(relay) as watch:
        for body in bodies:
            assert (await relay.send(laptop, json.dumps(body, ensure_ascii=False).encode())).status == 202
        found = await watch.take(3)
    assert [event["payload"] for event in found] == [body["payload"] for body in bodies]


async def test_shutdown_closes_with_1001(laptop: Sender) -> None:
    """What was accepted before goes out before."""
    async with relaying(laptop) as relay:
        watchers = [await watched_to_the_end(relay) for _ in range(3)]
        await sent(relay, laptop, 1)
    for watcher in watchers:
        events, code = await watcher
        assert ([event["id"] for event in events], code) == (names(laptop, 1), 1001)


async def test_server_pings(laptop: Sender) -> None:
    limits = Limits(ping_seconds=0.1)
    async with (
        relaying(laptop, limits=limits) as relay,
        relay.http.ws_connect(f"{relay.url}/ws?token={TOKEN}", autoping=False) as ws,
    ):
        assert (await ws.receive(timeout=10)).type is aiohttp.WSMsgType.PING


async def test_ping_is_answered(relay: Relay) -> None:
    async with relay.http.ws_connect(f"{relay.url}/ws?token={TOKEN}", autoping=False) as ws:
        await ws.ping(b"hello")
        message = await ws.receive(timeout=10)
        assert (message.type, message.data) == (aiohttp.WSMsgType.PONG, b"hello")


async def test_what_a_watcher_says_is_ignored(relay: Relay, laptop: Sender) -> None:
    async with watching(relay) as watch:
        await watch.ws.send_str('{"type": "subscribe"}')
        await watch.ws.send_bytes(b"\x00")
        await sent(relay, laptop, 1)
        assert await ids(watch, 1) == names(laptop, 1)


@pytest.mark.parametrize("after", ["", "x", "-1", "1.5", "1e3", "١", "0x1", "9" * 17, " 1"])
async def test_after_must_be_a_whole_number(relay: Relay, after: str) -> None:
    async with relay.http.get(f"{relay.url}/ws", params={"token": TOKEN, "after": after}, headers=UPGRADE) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "invalid_after")


@pytest.mark.parametrize(
    "query",
    [
        *({"last": last} for last in ("", "x", "-1", "1.5", "1e3", "١", "0x1", " 1", "10001", "9" * 16, "9" * 17)),
        {"last": "1", "after": "1"},
        {"last": "0", "after": "1"},
    ],
    ids=str,
)
async def test_last_must_be_a_whole_number_and_not_too_large(relay: Relay, query: dict[str, str]) -> None:
    async with relay.http.get(f"{relay.url}/ws", params={"token": TOKEN} | query, headers=UPGRADE) as answer:
        told = await answer.json()
        assert (answer.status, told["code"]) == (400, "invalid_last")
    assert ("10000 at most" in told["error"]) == ("after" not in query)
    await connected(relay, 0)


@pytest.mark.parametrize(
    ("page", "status"),
    [
        (None, 101),
        ("{url}", 101),
        ("https://pages.example", 101),
        ("https://PAGES.example:443", 101),
        ("https://evil.example", 403),
        ("http://pages.example", 403),
        ("https://pages.example.evil.example", 403),
        ("http://localhost:1", 403),
        ("null", 403),
        ("http://[", 403),
        ("", 403),
    ],
)
async def test_page_of_another_origin_may_not_watch(laptop: Sender, page: str | None, status: int) -> None:
    async with relaying(laptop, allowed_origins=frozenset({"https://pages.example"})) as relay:
        headers = {} if page is None else {"Origin": page.format(url=relay.url)}
        if status == 101:
            async with watching(relay, headers):
                pass
            return
        answer = await relay.get(f"/ws?token={TOKEN}", headers=UPGRADE | headers)
        assert (answer.status, answer.code) == (403, "invalid_origin")


async def test_what_is_no_websocket_is_refused(relay: Relay) -> None:
    answer = await relay.get(f"/ws?token={TOKEN}")
    assert (answer.status, answer.code) == (400, "invalid_upgrade")
    assert (await relay.post(b"[]")).status != 404
    async with relay.http.post(f"{relay.url}/ws") as posted:
        assert posted.status == 405


async def test_too_many_watchers(laptop: Sender) -> None:
    """1. As many as may watch. 2. One more is refused. 3. One goes, and another may come."""
    async with relaying(laptop, limits=Limits(watchers_per_address=2)) as relay:
        async with watching(relay), watching(relay):
            answer = await relay.get(f"/ws?token={TOKEN}", headers=UPGRADE)
            assert (answer.status, answer.code) == (503, "too_many")
            assert (await relay.get("/health")).json["connections"] == 2
        await connected(relay, 0)
        async with watching(relay):
            pass


async def test_tokens_and_events_are_not_logged(relay: Relay, laptop: Sender, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with watching(relay) as watch, raw_watcher(relay) as rude:
        await sent(relay, laptop, 1)
        await watch.next()
        await rude.send(client_frame(3))
        assert [opcode for opcode, _ in await rude.read_frames()][-1] == 8
    await relay.get("/ws?token=canary-token", headers=UPGRADE)
    await relay.get(f"/ws?token={TOKEN}", headers=UPGRADE | {"Sec-WebSocket-Protocol": "canary-token"})
    text = caplog.text.replace(relay.url, "")
    assert not any(word in text for word in (TOKEN, "canary", "shop", SESSION)), text


async def test_protocols_are_refused(relay: Relay) -> None:
    answer = await relay.get(f"/ws?token={TOKEN}", headers=UPGRADE | {"Sec-WebSocket-Protocol": TOKEN})
    assert (answer.status, answer.code) == (400, "invalid_protocol")


async def test_nobody_is_counted_after_leaving(laptop: Sender) -> None:
    async with relaying(laptop, limits=NO_LIMITS) as relay:
        for _ in range(3):
            async with watching(relay), raw_watcher(relay):
                pass
        await connected(relay, 0)
