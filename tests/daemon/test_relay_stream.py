"""The client of a relay's stream, against a relay that does what each test says."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from ipaddress import ip_address
from itertools import count

import pytest
import trustme
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from tests.daemon.streaming_relay import TOKEN, StreamingRelay, framed, refusal, streaming_relay, tool, until, wire

from vibetea_daemon import relay_stream
from vibetea_daemon.config import ConfigError
from vibetea_daemon.relay_stream import Frame, Gap, Item, Offline, Online, RelayRefused, RelayStream, address


@pytest.fixture
async def relay() -> AsyncIterator[StreamingRelay]:
    async with streaming_relay(token=TOKEN) as relay:
        yield relay


class Watcher:
    """Reads a stream in the background and keeps what came."""

    def __init__(self, relay: StreamingRelay, after: int | None = None, token: str = TOKEN) -> None:
        self.items: list[Item] = []
        self.stream = RelayStream(
            address(relay.url), token, after=after, pauses=lambda: (0.01 * attempt for attempt in count())
        )
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async with aclosing(self.stream.items()) as items:
            async for item in items:
                self.items.append(item)

    @property
    def seqs(self) -> list[int | None]:
        return [item.seq for item in self.items if isinstance(item, Frame)]

    async def has(self, *seqs: int | None) -> None:
        await until(lambda: self.task.done() or self.seqs == [*seqs], lambda: f"{self.seqs}, not {seqs}")
        assert self.seqs == [*seqs]

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


@pytest.fixture
async def watcher(relay: StreamingRelay) -> AsyncIterator[Watcher]:
    """Watches from the beginning."""
    watcher = Watcher(relay, after=0)
    yield watcher
    await watcher.end()


def events(*numbers: int) -> list[bytes]:
    return [wire(tool(number)) for number in numbers]


async def refused(relay: StreamingRelay, token: str = TOKEN) -> str:
    """What it is told that was refused."""
    watcher = Watcher(relay, token=token)
    await until(watcher.task.done)
    error = watcher.task.exception()
    assert isinstance(error, RelayRefused)
    assert token not in str(error) or not token
    return str(error)


async def test_frames_come_as_they_were_sent_with_their_places(relay: StreamingRelay, watcher: Watcher) -> None:
    one, two = events(1, 2)
    await relay.hold(one)
    await relay.watched(1)
    await relay.hold(two)
    await watcher.has(1, 2)
    assert [item.data for item in watcher.items if isinstance(item, Frame)] == [framed(1, one), framed(2, two)]
    assert watcher.items[0] == Online(missed=False)


async def test_the_token_is_in_a_header_and_in_no_address(relay: StreamingRelay, watcher: Watcher) -> None:
    await relay.watched(1)
    assert relay.asked == [({"after": "0"}, f"Bearer {TOKEN}")]


async def test_a_relay_that_reads_the_token_from_the_query_only_is_given_it_there() -> None:
    async with streaming_relay(token=TOKEN, in_query=True) as relay:
        watcher = Watcher(relay)
        await relay.watched(1)
        await relay.send(wire(tool(1)))  # and it counts no places
        await watcher.has(None)
        relay.cut()
        await relay.watched(2)
        await until(lambda: Online(missed=True) in watcher.items)
        await watcher.end()
    assert [query.get("token") for query, _ in relay.asked] == [None, TOKEN, TOKEN]


@pytest.mark.parametrize("ends", ["close", "cut", "restart"])
async def test_it_comes_back_and_goes_on_where_it_was(relay: StreamingRelay, watcher: Watcher, ends: str) -> None:
    await relay.hold(*events(1, 2))
    await watcher.has(1, 2)
    if ends == "restart":
        await relay.stop()
        await until(lambda: any(isinstance(item, Offline) for item in watcher.items))
        await relay.start()
    elif ends == "close":
        await relay.close()
    else:
        relay.cut()
    await relay.hold(*events(3, 4))
    await relay.watched(2)
    await watcher.has(1, 2, 3, 4)
    assert relay.asked[-1][0] == {"after": "2"}
    assert watcher.items.count(Online(missed=False)) == 2


async def test_a_place_is_given_once_however_often_it_is_sent(relay: StreamingRelay, watcher: Watcher) -> None:
    await relay.hold(*events(1, 2))
    await relay.watched(1)
    for seq, event in relay.entries:
        await relay.send(framed(seq, event))
    await relay.hold(*events(3))
    await watcher.has(1, 2, 3)


async def test_a_gap_is_told_and_passed(relay: StreamingRelay, watcher: Watcher) -> None:
    await relay.watched(1)
    await relay.send(b'{"gap":{"after":0,"next":40}}')
    await relay.hold(*events(40), first=40)
    await watcher.has(40)
    assert Gap(0, 40) in watcher.items


async def test_a_relay_that_counts_from_the_beginning_again_is_followed(
    relay: StreamingRelay, watcher: Watcher
) -> None:
    await relay.hold(*events(90), first=90)
    await watcher.has(90)
    await relay.send(b'{"gap":{"after":90,"next":1}}')
    relay.entries.clear()
    await relay.hold(*events(91))
    await watcher.has(90, 1)
    assert watcher.stream.after == 1


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"null",
        b'"x"',
        b"[" * 100_000,
        b'{"seq":"9"}',
        b'{"seq":1e400}',
        b'{"gap":7}',
        b'{"seq":-1}',
        b'{"seq":1e16}',
        b'{"gap":{"after":0,"next":0}}',
        b"\x00",
    ],
    ids=lambda raw: raw[:20].decode(),
)
async def test_garbage_is_handed_on_without_a_place_and_disturbs_nothing(
    relay: StreamingRelay, watcher: Watcher, garbage: bytes
) -> None:
    await relay.watched(1)
    await relay.send(garbage)
    await relay.hold(*events(1))
    await watcher.has(None, 1)
    assert len(relay.asked) == 1


async def test_a_frame_too_large_ends_the_connection_only(relay: StreamingRelay, watcher: Watcher) -> None:
    await relay.watched(1)
    await relay.send(b"x" * (relay_stream.MAX_FRAME + 1))
    await relay.watched(2)
    await relay.hold(*events(1))
    await watcher.has(1)


async def test_an_end_that_is_not_told_is_found_out(relay: StreamingRelay, monkeypatch: pytest.MonkeyPatch) -> None:
    """1. The other end is alive to the kernel but answers no ping. 2. The connection is given up. 3. It resumes."""
    monkeypatch.setattr(relay_stream, "HEARTBEAT_SECONDS", 0.2)
    relay.silent = True
    watcher = Watcher(relay, after=0)
    await relay.watched(1)
    relay.silent = False
    await relay.watched(2)
    await relay.hold(*events(1))
    await until(lambda: 1 in watcher.seqs)
    await watcher.end()


async def test_a_reader_slower_than_the_relay_gets_everything(relay: StreamingRelay) -> None:
    many = 20_000
    relay.entries = [(number, event) for number, event in enumerate(events(*range(1, many + 1)), 1)]
    stream = RelayStream(address(relay.url), TOKEN, after=0)
    got: list[int | None] = []
    async with aclosing(stream.items()) as items:
        async for item in items:
            if isinstance(item, Frame):
                got.append(item.seq)
                if len(got) % 1000 == 1:
                    await asyncio.sleep(0.01)
            if len(got) == many:
                break
    assert got == list(range(1, many + 1))


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
async def test_what_passes_is_waited_for(relay: StreamingRelay, status: int) -> None:
    relay.answers.append(lambda: refusal(status, "wait"))
    watcher = Watcher(relay)
    await relay.watched(1)
    assert watcher.items[0] == Offline(f"it answers {status}", 0.0)
    await watcher.end()


async def test_retry_after_is_honoured(relay: StreamingRelay) -> None:
    relay.answers.extend([lambda: refusal(503, "x", **{"Retry-After": "1"})])
    watcher = Watcher(relay)
    await relay.watched(1)
    assert watcher.items[0] == Offline("it answers 503", 1.0)
    await watcher.end()


async def test_failures_in_a_row_make_the_pauses_longer_and_a_good_connection_short_again(
    relay: StreamingRelay, watcher: Watcher
) -> None:
    await relay.watched(1)
    relay.answers.extend([lambda: refusal(500, "x")] * 3)
    relay.cut()
    await relay.watched(2)
    assert [item.wait for item in watcher.items if isinstance(item, Offline)] == [0.0, 0.01, 0.02, 0.03]
    await relay.hold(*events(1))
    await watcher.has(1)
    relay.cut()
    await relay.watched(3)
    assert [item.wait for item in watcher.items if isinstance(item, Offline)][4:] == [0.0]


@pytest.mark.parametrize(
    ("token", "told"), [("", "asks for a token; set VIBETEA_SUBSCRIBER_TOKEN"), ("wrong", "does not take this token")]
)
async def test_a_401_ends_it_and_says_how_to_mend_it(relay: StreamingRelay, token: str, told: str) -> None:
    assert told in await refused(relay, token)
    assert len(relay.asked) == 1


async def test_a_redirect_is_not_followed(relay: StreamingRelay) -> None:
    async with streaming_relay() as other:
        relay.answers.append(lambda: web.Response(status=302, headers={"Location": f"{other.url}/ws"}))
        assert "redirects are not followed" in await refused(relay)
    assert other.asked == []


@pytest.mark.parametrize(
    ("status", "told"),
    [(200, "no VibeTea relay"), (404, "no VibeTea relay"), (403, "403"), (410, "refuses the request (410)")],
)
async def test_an_address_that_is_no_relay_is_told(relay: StreamingRelay, status: int, told: str) -> None:
    relay.answers.append(lambda: web.Response(status=status, text="<html>"))
    assert told in await refused(relay)


async def test_a_certificate_nobody_vouches_for_ends_it(relay: StreamingRelay) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(server)
    await relay.stop()
    relay.port = 0
    await relay.start(server)
    stream = RelayStream(address(relay.url.replace("http:", "https:")), TOKEN)
    with pytest.raises(RelayRefused, match="certificate"):
        await anext(stream.items())
    assert relay.asked == []


async def test_no_token_is_logged_whatever_happens(relay: StreamingRelay, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    relay.answers.extend([lambda: refusal(500, "x"), lambda: refusal(429, "x"), lambda: refusal(401, "invalid_token")])
    watcher = Watcher(relay)
    await until(watcher.task.done)
    assert TOKEN not in caplog.text + repr(watcher.items) + repr(watcher.task.exception())


@pytest.mark.parametrize(
    ("given_address", "found"),
    [
        ("https://relay.example", "https://relay.example/ws"),
        ("https://relay.example/", "https://relay.example/ws"),
        ("wss://relay.example/ws", "https://relay.example/ws"),
        ("HTTPS://relay.example:8443/team/", "https://relay.example:8443/team/ws"),
        ("http://localhost:8080", "http://localhost:8080/ws"),
        ("ws://127.0.0.1:8080", "http://127.0.0.1:8080/ws"),
        ("http://[::1]:8080", "http://[::1]:8080/ws"),
    ],
)
def test_address(given_address: str, found: str) -> None:
    assert str(address(given_address)) == found


@pytest.mark.parametrize(
    ("given_address", "told"),
    [
        ("http://relay.example", "must begin with https"),
        ("ws://192.0.2.7:8080", "must begin with https"),
        ("http://localhost.example", "must begin with https"),
        ("ftp://relay.example", "must begin with https"),
        ("relay.example", "must look like"),
        ("https://", "must look like"),
        ("https://relay.example:port", "must look like"),
        ("https://[::1", "must look like"),
        ("https://\\", "must look like"),
        ("https://relay.example/a b", "must look like"),
        ("https://relay.example?token=x", "an address alone"),
        ("https://me:secret@relay.example", "an address alone"),
        ("", "must look like"),
    ],
)
def test_address_that_is_refused(given_address: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as refused:
        address(given_address)
    assert "secret" not in str(refused.value)
    assert "token=x" not in str(refused.value)


HOSTS = st.text(st.sampled_from("abc127.0[]:%@-_/\\vV"), max_size=20)


@given(st.text() | st.builds("{}://{}/ws".format, st.sampled_from(["http", "https", "ws", "wss"]), HOSTS))
def test_any_other_text_is_an_address_or_refused(text: str) -> None:
    with suppress(ConfigError):
        url = address(text)
        assert url.scheme == "https" or ip_address(url.host or "").is_loopback


def test_token_is_trimmed_and_checked() -> None:
    assert relay_stream.token({}) == ""
    assert relay_stream.token({"VIBETEA_SUBSCRIBER_TOKEN": f" {TOKEN}\n"}) == TOKEN
    for bad in ("two words", "line\nbreak", "schlüssel", "nul\0"):
        with pytest.raises(ConfigError) as refused:
            relay_stream.token({"VIBETEA_SUBSCRIBER_TOKEN": bad})
        assert bad not in str(refused.value)
