"""How much anyone may ask for, before and after the signature, and by whom it is counted."""

from ipaddress import IPv4Network, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.relay.world import NO_LIMITS, TOKEN, MemoryStream, Sender, relaying

from vibetea_relay.config import Limits, load
from vibetea_relay.journal import Journal
from vibetea_relay.limits import Buckets, Crowd, Share
from vibetea_relay.peers import counted_as

LOOPBACK = (ip_network("127.0.0.0/8"),)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


# buckets


def test_bucket_gives_its_burst_and_then_its_rate(clock: Clock) -> None:
    buckets = Buckets(10, 3, most=9, idle=60, clock=clock)
    assert [buckets.take("a") for _ in range(3)] == [0, 0, 0]
    assert buckets.take("a") == pytest.approx(0.1)
    clock.now += 0.1001
    assert buckets.wait("a") == 0
    assert [buckets.take("a") == 0, buckets.take("a") == 0] == [True, False]
    assert buckets.take("b") == 0
    clock.now += 1000
    assert [buckets.take("a") == 0 for _ in range(4)] == [True, True, True, False]


@given(st.lists(st.floats(0, 2), max_size=60), st.floats(0.5, 50), st.integers(1, 20))
def test_never_more_than_burst_and_rate_allow(steps: list[float], rate: float, burst: int) -> None:
    """Over any stretch that begins full: at most burst + rate x seconds; and a wait that is told is long enough."""
    clock = Clock()
    buckets = Buckets(rate, burst, most=9, idle=1e9, clock=clock)
    start, taken = clock.now, 0
    for step in steps:
        clock.now += step
        wait = buckets.take("a")
        taken += not wait
        assert taken <= burst + rate * (clock.now - start) + 1e-6
        if wait:
            clock.now += wait + 1e-6
            assert buckets.wait("a") == 0


def test_memory_is_bounded_and_the_longest_unused_goes_first(clock: Clock) -> None:
    buckets = Buckets(1e-9, 1, most=100, idle=60, clock=clock)
    for number in range(1000):
        assert buckets.take(str(number)) == 0
        assert (buckets.take("busy") == 0) == (number == 0)
    assert len(buckets) == 100
    assert buckets.take("busy") > 0
    assert buckets.take("0") == 0


def test_idle_buckets_are_forgotten(clock: Clock) -> None:
    buckets = Buckets(1, 1, most=100, idle=60, clock=clock)
    for number in range(50):
        buckets.take(str(number))
    clock.now += 60.1
    buckets.take("another")
    assert len(buckets) == 1


def test_crowd_counts_in_all_and_each() -> None:
    crowd = Crowd(3, 2)
    assert [crowd.enter("a"), crowd.enter("a"), crowd.enter("a")] == [True, True, False]
    assert [crowd.enter("b"), crowd.enter("c")] == [True, False]
    crowd.leave("a")
    assert (crowd.enter("c"), crowd.total) == (True, 3)


def test_share_is_given_back(clock: Clock) -> None:
    crowd = Crowd(10, 6)
    with Share(crowd, "a") as one, Share(crowd, "b") as other:
        assert [one.grow(4), one.grow(3), one.grow(2)] == [True, False, True]
        assert [other.grow(5), other.grow(4)] == [False, True]
        assert crowd.total == 10
    assert crowd.total == 0
    with Share(crowd, "a") as one:
        assert one.grow(6)


def test_more_than_there_is_is_owed(clock: Clock) -> None:
    buckets = Buckets(10, 20, most=9, idle=60, clock=clock)
    assert buckets.take("a", many=50) == 0
    assert buckets.wait("a") == pytest.approx(3.1)
    clock.now += 3.2
    assert buckets.take("a", many=50) == 0
    assert buckets.wait("b") == 0


# addresses


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_address_as_counted(address: str, key: str) -> None:
    assert counted_as(address) == key


# through the relay


async def test_flood_of_one_address_is_told_to_wait_and_cut_off(laptop: Sender) -> None:
    async with relaying(laptop, limits=Limits(address_rate=1e-3, address_burst=5)) as relay:
        for _ in range(5):
            assert (await relay.send(laptop, b"[]")).status == 202
        answer = await relay.send(laptop, b"[]")
        assert (answer.status, answer.code, answer.headers["Connection"]) == (429, "rate_limited", "close")
        assert int(answer.headers["Retry-After"]) >= 1


async def test_failures_of_an_address_close_it_to_costly_checks(laptop: Sender) -> None:
    async with relaying(laptop, limits=Limits(failure_rate=1e-3, failure_burst=3)) as relay:
        bad = laptop.headers(b"[1]")
        assert [(await relay.post(b"[]", bad)).status for _ in range(3)] == [401, 401, 401]
        assert (await relay.post(b"[]", bad)).status == 429
        assert (await relay.send(laptop, b"[]")).status == 429


async def test_what_succeeds_is_no_failure(laptop: Sender) -> None:
    async with relaying(laptop, limits=Limits(failure_rate=1e-3, failure_burst=1)) as relay:
        assert [(await relay.send(laptop, b"[]")).status for _ in range(9)] == [202] * 9


async def test_events_count_too(laptop: Sender, desktop: Sender) -> None:
    """1. A large batch: it passes whole. 2. Until what it owes is paid, its sender waits; others do not."""
    limits = Limits(event_rate=1, event_burst=1000)
    async with relaying(laptop, desktop, limits=limits) as relay:
        assert (await relay.send(laptop, laptop.body(*range(1500)))).json["accepted"] == 1500
        refused = await relay.send(laptop, laptop.body(1501))
        assert (refused.status, refused.code) == (429, "rate_limited")
        assert int(refused.headers["Retry-After"]) > 400
        assert (await relay.send(desktop, desktop.body(1))).status == 202


async def test_the_largest_body_of_an_old_monitor_passes(laptop: Sender, tmp_path: Path) -> None:
    """As many events as 900 KiB can hold, one request after the other, at the limits as they are."""
    one = (
        '{"id":"evt_%020d","source":"laptop","timestamp":"2026-02-03T14:30:00Z",'
        '"type":"activity_pattern","payload":{"hourCounts":{}}}'
    )
    each = 900 * 1024 // len(one % 0)
    async with relaying(laptop, limits=Limits(), stream=Journal(tmp_path / "relay.db", Limits())) as relay:
        for start in (0, each):
            body = f"[{','.join(one % number for number in range(start, start + each))}]".encode()
            assert (await relay.send(laptop, body)).json == {"accepted": each, "duplicates": 0}


async def test_claiming_another_source_does_not_use_up_its_own_rate(laptop: Sender, desktop: Sender) -> None:
    """Bad signatures in a source's name: its claims from there run out, its own rate and other sources do not."""
    limits = Limits(claim_rate=1e-3, claim_burst=5, failure_burst=1000)
    async with relaying(laptop, desktop, limits=limits, trusted_proxies=LOOPBACK) as relay:
        bad = laptop.headers(b"[1]") | {"X-Forwarded-For": "192.0.2.66"}
        assert [(await relay.post(b"[]", bad)).status for _ in range(6)] == [401] * 5 + [429]
        assert (await relay.send(laptop, b"[]", **{"X-Forwarded-For": "192.0.2.1"})).status == 202
        assert (await relay.send(desktop, b"[]", **{"X-Forwarded-For": "192.0.2.66"})).status == 202


@pytest.mark.parametrize(
    ("forwarded", "same"),
    [
        (["192.0.2.1"], True),
        (["10.9.9.9, 192.0.2.1"], True),
        (["10.9.9.9", "192.0.2.1"], True),
        (["192.0.2.1, 127.0.0.7"], True),
        (["192.0.2.1, nonsense, 127.0.0.7"], False),
        (["192.0.2.1, 192.0.2.2"], False),
        (["192.0.2.2"], False),
        ([], False),
    ],
)
async def test_a_trusted_proxys_rightmost_unknown_hop_counts(laptop: Sender, forwarded: list[str], same: bool) -> None:
    limits = Limits(address_rate=1e-3, address_burst=1)
    async with relaying(laptop, limits=limits, trusted_proxies=LOOPBACK) as relay:
        assert (await relay.send(laptop, b"[]", **{"X-Forwarded-For": "192.0.2.1"})).status == 202
        lines = b"".join(f"X-Forwarded-For: {value}\r\n".encode() for value in forwarded)
        signed = "".join(f"{name}: {value}\r\n" for name, value in laptop.headers(b"[]").items()).encode()
        request = b"POST /events HTTP/1.1\r\nHost: r\r\nConnection: close\r\nContent-Length: 2\r\n"
        answer = await relay.raw(request + signed + lines + b"\r\n[]")
        assert answer.startswith(b"HTTP/1.1 429" if same else b"HTTP/1.1 202")


@pytest.mark.parametrize(("address", "same"), [("192.0.2.1", True), ("192.0.2.2", False)])
async def test_on_fly_the_client_is_in_a_header_of_its_own(laptop: Sender, address: str, same: bool) -> None:
    """What X-Forwarded-For ends with there is the app's own address."""
    limits = Limits(address_rate=1e-3, address_burst=1)
    header = load({"HOME": "/", "FLY_APP_NAME": "my-vibetea-relay"}).client_header
    async with relaying(laptop, limits=limits, trusted_proxies=LOOPBACK, client_header=header) as relay:
        statuses = [
            (
                await relay.send(
                    laptop, b"[]", **{"Fly-Client-IP": client, "X-Forwarded-For": f"{forged}, 66.241.124.230"}
                )
            ).status
            for client, forged in (("192.0.2.1", "203.0.113.1"), (address, "203.0.113.2"))
        ]
        assert statuses == [202, 429 if same else 202]


async def test_elsewhere_flys_header_is_anybodys(laptop: Sender) -> None:
    limits = Limits(address_rate=1e-3, address_burst=1)
    header = load({"HOME": "/"}).client_header
    async with relaying(laptop, limits=limits, trusted_proxies=LOOPBACK, client_header=header) as relay:
        for forged, status in (("198.51.100.1", 202), ("198.51.100.2", 429)):
            told = {"Fly-Client-IP": forged, "X-Forwarded-For": "192.0.2.1"}
            assert (await relay.send(laptop, b"[]", **told)).status == status


@pytest.mark.parametrize("trusted", [(), (ip_network("10.0.0.0/8"),)])
async def test_nobody_else_is_believed(laptop: Sender, trusted: tuple[IPv4Network, ...]) -> None:
    limits = Limits(address_rate=1e-3, address_burst=1)
    async with relaying(laptop, limits=limits, trusted_proxies=trusted) as relay:
        assert (await relay.send(laptop, b"[]", **{"X-Forwarded-For": "192.0.2.1"})).status == 202
        assert (await relay.send(laptop, b"[]", **{"X-Forwarded-For": "192.0.2.2"})).status == 429


# pages


async def test_metrics_are_for_this_machine_or_a_token(laptop: Sender) -> None:
    async with relaying(laptop, limits=NO_LIMITS) as relay:
        await relay.send(laptop, laptop.body(1, 2))
        await relay.send(laptop, laptop.body(2))
        await relay.post(b"[]")
        text = (await relay.get("/metrics")).body.decode()
        for line in (
            'vibetea_relay_requests_total{code="accepted"} 2.0',
            'vibetea_relay_requests_total{code="missing_source"} 1.0',
            'vibetea_relay_events_total{result="accepted"} 2.0',
            'vibetea_relay_events_total{result="duplicate"} 1.0',
            "vibetea_relay_subscribers 0.0",
            "vibetea_relay_gaps_total 0.0",
            "vibetea_relay_dropped_total 0.0",
        ):
            assert line in text.splitlines()

        elsewhere = {"X-Forwarded-For": "192.0.2.1"}
        assert (await relay.get("/metrics", headers=elsewhere)).code == "missing_token"
        wrong = elsewhere | {"Authorization": "Bearer x"}
        assert (await relay.get("/metrics", headers=wrong)).code == "invalid_token"
        assert (await relay.get(f"/metrics?token={TOKEN}", headers=elsewhere)).status == 200
        right = elsewhere | {"Authorization": f"Bearer {TOKEN}"}
        assert (await relay.get("/metrics", headers=right)).status == 200


async def test_guesses_of_a_token_are_limited_wherever_they_are_made(laptop: Sender) -> None:
    limits = Limits(failure_rate=1e-3, failure_burst=4)
    async with relaying(laptop, limits=limits, trusted_proxies=LOOPBACK) as relay:
        for address, pages in (("192.0.2.1", ["/metrics"] * 5), ("192.0.2.2", ["/metrics", "/ws"] * 2 + ["/metrics"])):
            headers = {"X-Forwarded-For": address, "Authorization": "Bearer guess"}
            statuses = [(await relay.get(page, headers=headers)).status for page in pages]
            assert statuses == [401, 401, 401, 401, 429]
            right = headers | {"Authorization": f"Bearer {TOKEN}"}
            assert (await relay.get("/metrics", headers=right)).status == 429


async def test_two_relays_count_apart(laptop: Sender) -> None:
    async with relaying(laptop) as one, relaying(laptop, stream=MemoryStream()) as two:
        await one.send(laptop, laptop.body(1))
        assert b'code="accepted"} 1.0' in (await one.get("/metrics")).body
        assert b'code="accepted"} 1.0' not in (await two.get("/metrics")).body


async def test_health(laptop: Sender) -> None:
    async with relaying(laptop) as relay:
        told = (await relay.get("/health")).json
        assert (told["status"], told["connections"], told["keys"]) == ("ok", 0, "ok")
        assert isinstance(told["uptime_seconds"], int)
        assert "unsafe" not in told
    async with relaying(unsafe_no_auth=True) as relay:
        assert (await relay.get("/health")).json["unsafe"] is True
