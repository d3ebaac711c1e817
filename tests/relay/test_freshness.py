"""The signed header beside the body's signature: checked when it is there, and demanded if the relay insists."""

import time
from email.utils import parsedate_to_datetime

import pytest
from tests.relay.world import Relay, Sender, relaying

from vibetea_protocol.freshness import HEADER, fresh_header

PUBLIC = "https://relay.example.org"


def fresh(sender: Sender, body: bytes, audience: str, late: int = 0, seed: bytes | None = None) -> dict[str, str]:
    return {HEADER: fresh_header(seed or sender.seed, sender.key, audience, int(time.time()) - late, body)}


async def test_true_header_is_taken(laptop: Sender) -> None:
    async with relaying(laptop, public_url=PUBLIC, require_fresh=True) as relay:
        body = laptop.body(1)
        assert (await relay.send(laptop, body, **fresh(laptop, body, PUBLIC))).status == 202


@pytest.mark.parametrize(
    ("audience", "late", "signed", "seed", "code"),
    [
        ("https://other.example.org", 0, b"[]", None, "invalid_signature"),
        ("http://relay.example.org", 0, b"[]", None, "invalid_signature"),
        (PUBLIC, 0, b"[ ]", None, "invalid_signature"),
        (PUBLIC, 0, b"[]", b"x" * 32, "invalid_signature"),
        (PUBLIC, 400, b"[]", None, "stale"),
        (PUBLIC, -100, b"[]", None, "stale"),
    ],
    ids=["another relay", "another scheme", "another body", "another key", "old", "future"],
)
@pytest.mark.parametrize("insists", [True, False])
async def test_header_that_is_not_true_is_refused(
    laptop: Sender, audience: str, late: int, signed: bytes, seed: bytes | None, code: str, insists: bool
) -> None:
    async with relaying(laptop, public_url=PUBLIC, require_fresh=insists) as relay:
        answer = await relay.send(laptop, b"[]", **fresh(laptop, signed, audience, late, seed))
        assert (answer.status, answer.code) == (401, code)
        assert abs(parsedate_to_datetime(answer.headers["Date"]).timestamp() - time.time()) < 60


async def test_header_is_demanded_only_where_the_relay_insists(laptop: Sender) -> None:
    async with relaying(laptop, public_url=PUBLIC) as relay:
        assert (await relay.send(laptop, b"[]")).status == 202
    async with relaying(laptop, public_url=PUBLIC, require_fresh=True) as relay:
        answer = await relay.send(laptop, b"[]")
        assert (answer.status, answer.code) == (401, "missing_signature")
        assert HEADER in answer.json["error"]
        assert (await relay.send(laptop, b"[]", **{HEADER: ""})).code == "invalid_signature"


async def test_body_needs_its_own_signature_too(laptop: Sender) -> None:
    async with relaying(laptop, public_url=PUBLIC) as relay:
        headers = {"X-Source-ID": "laptop"} | fresh(laptop, b"[]", PUBLIC)
        assert (await relay.post(b"[]", headers)).code == "missing_signature"


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_relay_that_was_not_told_its_address_takes_the_name_it_was_called_by(
    relay: Relay, laptop: Sender, scheme: str
) -> None:
    """TLS may end at a proxy, which passes on the name."""
    called = f"{scheme}://127.0.0.1:{relay.port}"
    assert (await relay.send(laptop, b"[]", **fresh(laptop, b"[]", called))).status == 202
    proxied = fresh(laptop, b"[]", f"{scheme}://relay.example.org") | {"Host": "relay.example.org"}
    assert (await relay.send(laptop, b"[]", **proxied)).status == 202
    assert (await relay.send(laptop, b"[]", **fresh(laptop, b"[]", "http://other"))).code == "invalid_signature"
    assert (await relay.send(laptop, b"[]", **fresh(laptop, b"[]", called, late=400))).code == "stale"


@pytest.mark.parametrize("host", ["[", "relay:port", "", "a b", "relay:99999999"])
async def test_odd_host(relay: Relay, laptop: Sender, host: str) -> None:
    answer = await relay.send(laptop, b"[]", **fresh(laptop, b"[]", "http://relay"), Host=host)
    assert (answer.status, answer.code) in {(401, "invalid_signature"), (400, "bad_request")}


async def test_captured_request_changes_nothing_when_it_is_sent_again(relay: Relay, laptop: Sender) -> None:
    body = laptop.body(1, 2)
    assert [(await relay.send(laptop, body)).json["accepted"] for _ in range(3)] == [2, 0, 0]
    assert len(await relay.held()) == 2
