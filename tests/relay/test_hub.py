"""What the fan-out is made of: frames, and the ring that is all that is held for however many watchers."""

import json
import struct
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from vibetea_protocol.wire import WireEvent
from vibetea_relay.ring import Frame, Ring, chosen, framed, pieces, text_frame
from vibetea_relay.stream import Entry, Wish

words = st.sampled_from(["", "a", "A", "b"])
parts = st.none() | st.sampled_from([b"x", b"y"])
wishes = st.builds(Wish, *[st.none() | words] * 3, parts, parts)


def frames_of(seqs: list[int], size: int = 10) -> list[Frame]:
    return [Frame(seq, "laptop", "tool", "shop", b"x" * size) for seq in seqs]


seqs = st.sets(st.integers(1, 500), max_size=60).map(sorted)


@given(st.binary(max_size=300) | st.integers(65_530, 65_540).map(bytes))
def test_frame_says_how_long_it_is(payload: bytes) -> None:
    data = text_frame(payload)
    size, head = data[1], 2
    if size == 126:
        (size,), head = struct.unpack_from("!H", data, 2), 4
    elif size == 127:
        (size,), head = struct.unpack_from("!Q", data, 2), 10
    assert data[0] == 0x81
    assert (size, data[head:]) == (len(payload), payload)


def test_frame_is_the_event_and_its_seq() -> None:
    event = WireEvent("evt_1", "laptop", "now", "tool", "shop", b'{"id":"evt_1","payload":{}}')
    frame = framed(Entry(7, event))
    assert frame[:4] == (7, "laptop", "tool", "shop")
    assert json.loads(frame.data[2:]) == {"id": "evt_1", "payload": {}, "seq": 7}


@given(st.lists(st.tuples(words, words, words, st.sampled_from([b"", b"x", b"y", b"xy"]))), wishes)
def test_chosen_is_what_suits_in_order(events: list[tuple[str, str, str, bytes]], wish: Wish) -> None:
    frames = [Frame(seq, *event[:3], b"%d%b," % (seq, event[3])) for seq, event in enumerate(events)]
    expected = [
        frame.data
        for frame in frames
        if wish.source in {None, frame.source}
        and wish.type in {None, frame.type}
        and wish.project in {None, frame.project}
        and (wish.session or b"") in frame.data
        and (wish.tool or b"") in frame.data
    ]
    assert chosen(frames, wish) == b"".join(expected)


@given(st.lists(st.integers(0, 30)), st.integers(1, 50))
def test_pieces_are_everything_in_runs(sizes: list[int], most: int) -> None:
    frames = [Frame(seq, "", "", "", b"x" * size) for seq, size in enumerate(sizes)]
    runs = list(pieces(frames, most))
    assert [frame for run in runs for frame in run] == frames
    for run in runs:
        assert sum(len(frame.data) for frame in run[:-1]) < most


@given(seqs, st.lists(st.integers(1, 20)), st.integers(1, 40), st.integers(1, 600), st.integers(0, 500))
def test_ring_holds_the_newest_within_its_bounds(
    every: list[int], cuts: list[int], entries: int, size: int, after: int
) -> None:
    """However they come in: what is after its floor is there, and its floor is no further than the bounds demand."""
    ring = Ring(entries, size)
    ring.begin(0)
    frames, start = frames_of(every), 0
    for cut in [*cuts, len(every)]:
        if frames[start : start + cut]:
            ring.add(frames[start : start + cut])
        start += cut
    most = min(entries, max(1, size // 10))
    held = frames[-most:]
    assert ring.last == (every[-1] if every else 0)
    assert ring.floor == ([every[0] - 1, *every][len(every) - len(held)] if every else 0)
    following = [frame for frame in held if frame.seq > after]
    assert list(ring.after(after, 10_000)) == following
    assert list(ring.after(after, 25)) == following[:3]
    assert ring.lag(after) == len(following)
    assert list(ring.newest(5)) == held[-5:]
    assert all(one.seq < other.seq for one, other in pairwise(ring.newest(500)))


def test_ring_holds_one_frame_that_is_too_large() -> None:
    """Someone is sending it just now."""
    ring = Ring(10, 100)
    ring.begin(0)
    ring.add(frames_of([1, 2]))
    ring.add(frames_of([3], 1000))
    assert [frame.seq for frame in ring.after(0, 10_000)] == [3]
    ring.add(frames_of([4, 5]))
    assert (ring.floor, [frame.seq for frame in ring.after(3, 10_000)]) == (3, [4, 5])


def test_ring_forgets_what_came_before_a_seq() -> None:
    """And has room for as much again."""
    ring = Ring(10, 100)
    ring.begin(5)
    ring.add(frames_of([10, 20, 30], 30))
    for first, floor in ((10, 5), (11, 10), (25, 20), (20, 20), (31, 30), (31, 30)):
        ring.forget(first)
        assert (ring.floor, ring.last) == (floor, 30)
        assert [frame.seq for frame in ring.after(0, 10_000)] == [seq for seq in (10, 20, 30) if seq > floor]
    ring.add(frames_of([40, 50, 60], 30))
    assert (ring.floor, [frame.seq for frame in ring.after(30, 10_000)]) == (30, [40, 50, 60])


def test_ring_begins_once() -> None:
    ring = Ring(10, 100)
    assert (ring.floor, ring.last) == (-1, -1)
    ring.begin(5)
    ring.begin(9)
    assert (ring.floor, ring.last) == (5, 5)
