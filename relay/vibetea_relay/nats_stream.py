"""The stream that several relays share: NATS JetStream.

A message is a batch: a JSON array of canonical events of one source, on `vibetea.events.<source>`. Its id is a hash of
its bytes, so that a batch sent again within two minutes is not stored again. An entry's seq is its message's number
times 2**14 plus its place in the message. Every relay reads all messages in order into a journal of its own, which
drops the ids it has seen: what watchers are sent, and what `?after=` means, is the same at every relay.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.api import Header, StreamInfo
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from vibetea_protocol.wire import WireError, WireEvent
from vibetea_relay import nats_batches, nats_settings
from vibetea_relay.config import Limits
from vibetea_relay.journal import Journal
from vibetea_relay.nats_batches import MESSAGE_BYTES, PLACES
from vibetea_relay.nats_settings import REPLICAS, STREAM
from vibetea_relay.stream import Entry, Receipt, TooLarge, Unavailable, Wish

HEAD_BYTES: Final = 1024
"""What a message's headers may take of the server's limit."""
CONNECT_SECONDS: Final = 2
ANSWER_SECONDS: Final = 3
"""An acknowledgement that takes longer is not waited for."""
SILENT_SECONDS: Final = 3
"""A consumer that says nothing for so long is gone."""
AGAIN_SECONDS: Final = 0.25
START_SECONDS: Final = 5
"""How long a start waits to catch up; watchers would take what they missed for live."""
AT_ONCE: Final = 64
"""Messages that share one append to the journal."""
NOT_CLUSTERED: Final = 10074
NAME_IN_USE: Final = 10058

logger = logging.getLogger(__name__)
logging.getLogger("nats").setLevel(logging.CRITICAL + 1)  # its tracebacks show addresses and messages


class _Lost(Exception):
    """The consumer fell silent, or a message is missing: another one goes on after the last that came."""


class _Behind(NatsError):
    """The stream ends before this relay's journal: it is another stream, and its seqs would be old ones again."""


class NatsStream:
    """A Stream over JetStream.

    Args:
        url: servers, comma-separated: `nats://user:password@host:4222,nats://other:4222`, or `tls://`. The first
            credentials are used for all.
        journal: what this relay has read of the stream; belongs to the stream from now on.

    Raises RelayConfigError if a server is no URL; the text does not repeat it.
    """

    def __init__(self, url: str, journal: Journal, limits: Limits) -> None:
        self._servers = nats_settings.servers(url)
        self._credentials = nats_settings.credentials(self._servers)
        self._journal = journal
        self._limits = limits
        self._next = 1  # the message to read next
        self._context: JetStreamContext | None = None
        self._reached = 0  # the last message read
        self._room = self._most = MESSAGE_BYTES
        self._arrived: asyncio.Queue[Msg | None] = asyncio.Queue()
        self._caught_up = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._told = ""
        self._weaknesses: set[str] = set()
        self._skipped = 0

    @property
    def condition(self) -> str:
        """`connected` or `reconnecting`."""
        return "reconnecting" if self._context is None else "connected"

    @property
    def skipped(self) -> int:
        """Messages that were no batches of their subject's source, since the start."""
        return self._skipped

    async def start(self, listen: Callable[[Sequence[Entry]], None]) -> None:
        """Read on after the journal's last entry. Waits until nothing is left to read, a few seconds at most."""
        await self._journal.start(listen, shared=True)
        self._reached = self._journal.last() // PLACES
        self._next = max(1, self._reached)  # that message again: it may have been kept in part
        self._reader = asyncio.create_task(self._keep_reading())
        with suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                await self._caught_up.wait()

    async def publish(self, events: Sequence[WireEvent]) -> Receipt:
        """Store a batch of one source; returns after the cluster's acknowledgement. Raises Unavailable and TooLarge."""
        context = self._context
        if context is None:
            raise Unavailable("the shared stream is away")
        unseen = self._journal.unseen(events)
        accepted = 0
        for batch in nats_batches.split(unseen, self._room):
            body, name = nats_batches.pack(batch)
            if len(body) > self._most:
                raise TooLarge
            where, headers = nats_batches.subject(batch[0].source), {Header.MSG_ID.value: name}
            try:
                ack = await context.publish(where, body, ANSWER_SECONDS, STREAM, headers)
            except (NatsError, OSError):
                raise Unavailable("the shared stream has not answered") from None
            accepted += 0 if ack.duplicate else len(batch)
        return Receipt(accepted, len(events) - accepted)

    def last(self) -> int:
        """The newest seq this relay has read."""
        return self._journal.last()

    def first(self) -> int:
        """The oldest seq this relay still holds."""
        return self._journal.first()

    def hole(self) -> int:
        """What the stream dropped while this relay was away is before it."""
        return self._journal.hole()

    async def read(self, after: int, limit: int) -> Sequence[Entry]:
        """From this relay's journal."""
        return await self._journal.read(after, limit)

    async def newest(self, many: int, wish: Wish) -> int | None:
        """From this relay's journal."""
        return await self._journal.newest(many, wish)

    async def close(self) -> None:
        """Leave the stream, which goes on without this relay."""
        while self._reader is not None and not self._reader.done():
            self._reader.cancel()  # again and again: the client swallows a cancellation that comes while it writes
            await asyncio.wait([self._reader], timeout=0.1)
        await self._journal.close()

    async def _keep_reading(self) -> None:
        """Connect and read, for ever."""
        while True:
            try:
                await self._read_one_connection()
            except _Behind:
                self._tell("the shared stream ends before this relay's journal: give the relay a new state folder")
            except Exception as error:  # noqa: BLE001  whatever it was, without a reader no watcher hears anything
                self._tell(f"the shared stream is away: {type(error).__name__}")
            await asyncio.sleep(AGAIN_SECONDS)

    async def _read_one_connection(self) -> None:
        client = Client()
        try:
            await client.connect(
                self._servers,
                name="vibetea-relay",
                error_cb=_ignore,
                closed_cb=self._closed,
                connect_timeout=CONNECT_SECONDS,
                allow_reconnect=False,  # one way to begin again is enough, and it is this module's
                max_reconnect_attempts=1,
                reconnect_time_wait=1,
                ping_interval=SILENT_SECONDS,
                user=self._credentials.get("user"),
                password=self._credentials.get("password"),
                token=self._credentials.get("token"),
            )
            context = client.jetstream(timeout=ANSWER_SECONDS)
            await self._find_or_make(context)
            self._most = client.max_payload - HEAD_BYTES
            self._room = min(MESSAGE_BYTES, self._most)
            self._context = context
            self._tell("")
            while not client.is_closed:
                try:
                    await self._follow(client, context)
                except (_Lost, Unavailable, ServiceUnavailableError, NatsTimeoutError):
                    await asyncio.sleep(AGAIN_SECONDS)
        finally:
            self._context = None
            await client.close()

    async def _closed(self) -> None:
        self._arrived.put_nowait(None)

    async def _find_or_make(self, context: JetStreamContext) -> None:
        try:
            info = await context.stream_info(STREAM)
        except NotFoundError:
            info = await self._make(context)
        if info.state.last_seq + 1 < self._next:
            raise _Behind
        for weakness in set(nats_settings.weaknesses(info, self._limits)) - self._weaknesses:
            logger.warning("the shared stream exists and is left as it is, with %s", weakness)
            self._weaknesses.add(weakness)

    async def _make(self, context: JetStreamContext) -> StreamInfo:
        """Three replicas in a cluster. Another relay may be making it too: then it is that one's."""
        try:
            return await context.add_stream(nats_settings.stream(self._limits, REPLICAS))
        except APIError as error:
            if error.err_code == NAME_IN_USE:
                return await context.stream_info(STREAM)
            if error.err_code != NOT_CLUSTERED:
                raise
        return await context.add_stream(nats_settings.stream(self._limits, 1))

    async def _follow(self, client: Client, context: JetStreamContext) -> None:
        """Read in order what is in the stream and what comes. Raises _Lost, and what ends the connection."""
        self._arrived = asyncio.Queue()
        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox, cb=self._arrived.put)
        try:
            info = await context.add_consumer(STREAM, nats_settings.consumer(inbox, self._next))
            if not info.num_pending:
                self._caught_up.set()
            delivered = 0
            while True:
                delivered = await self._take(client, delivered)
        finally:
            if not client.is_closed:
                await subscription.unsubscribe()

    async def _take(self, client: Client, delivered: int) -> int:
        """Bring what has arrived into the journal; returns how many messages the consumer has delivered by then."""
        entries: list[Entry] = []
        times: list[float] = []
        answers: list[str] = []
        reached, hole, pending = self._reached, 0, -1
        for message in await self._some():
            headers = message.headers or {}
            if Header.STATUS in headers:
                if headers[Header.STATUS] != "100" or int(headers.get(Header.LAST_CONSUMER, delivered)) != delivered:
                    raise _Lost
                answers += filter(None, [message.reply or headers.get(Header.CONSUMER_STALLED)])
                continue
            place = message.metadata
            delivered += 1
            if place.sequence.consumer != delivered:
                raise _Lost
            number = place.sequence.stream
            if 0 < reached < number - 1:
                hole = number * PLACES
            batch = self._unpack(number, message)
            entries += batch
            times += [place.timestamp.timestamp()] * len(batch)
            reached, pending = number, place.num_pending
        await self._journal.append(entries, times, hole)
        if reached > self._reached:
            self._reached, self._next = reached, reached + 1
        for answer in answers:  # only now: the server sends no more than was dealt with
            await client.publish(answer)
        if pending == 0:
            self._caught_up.set()
        return delivered

    def _unpack(self, number: int, message: Msg) -> Sequence[Entry]:
        try:
            return nats_batches.unpack(number, message.subject, message.data)
        except WireError:
            self._skipped += 1
            logger.warning("skipped a message of the shared stream that is not a batch of its source")
            return []

    async def _some(self) -> list[Msg]:
        """The messages that have arrived, one at least; the connection's end and a long silence raise _Lost."""
        try:
            async with asyncio.timeout(SILENT_SECONDS):
                arrived = [await self._arrived.get()]
        except TimeoutError:
            raise _Lost from None
        while len(arrived) < AT_ONCE and not self._arrived.empty():
            arrived.append(self._arrived.get_nowait())
        found = [message for message in arrived if message is not None]
        if len(found) < len(arrived):
            raise _Lost
        return found

    def _tell(self, trouble: str) -> None:
        """Log a change for the worse or the better, once."""
        if trouble and trouble != self._told:
            logger.warning("%s", trouble)
        elif self._told and not trouble:
            logger.info("the shared stream is back")
        self._told = trouble


async def _ignore(_: Exception) -> None:
    """What ends a connection is seen where it is read; the texts hold addresses."""
