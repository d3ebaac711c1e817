"""The relay's counters, in a registry of its own."""

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from vibetea_relay.hub import Hub
from vibetea_relay.stream import Receipt, Stream


class Metrics:
    """What was answered and accepted; what the hub and the stream count is read when asked for."""

    def __init__(self, hub: Hub, stream: Stream) -> None:
        self._hub = hub
        self._stream = stream
        self._registry: Final = CollectorRegistry()
        self._requests = Counter(
            "vibetea_relay_requests", "Requests to POST /events by their result.", ["code"], registry=self._registry
        )
        self._events = Counter(
            "vibetea_relay_events", "Events taken, new ones and ones known.", ["result"], registry=self._registry
        )
        self._accepted = self._requests.labels("accepted")
        self._new, self._known = self._events.labels("accepted"), self._events.labels("duplicate")
        self._registry.register(self)

    def refused(self, code: str) -> None:
        """A request was refused."""
        self._requests.labels(code).inc()

    def accepted(self, receipt: Receipt) -> None:
        """A request was accepted."""
        self._accepted.inc()
        self._new.inc(receipt.accepted)
        self._known.inc(receipt.duplicates)

    def text(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """What the hub and the stream count; prometheus-client's interface."""
        yield GaugeMetricFamily("vibetea_relay_subscribers", "Watchers connected.", self._hub.connections)
        yield CounterMetricFamily("vibetea_relay_gaps", "Gap notices sent to watchers.", self._hub.gaps)
        yield CounterMetricFamily("vibetea_relay_dropped", "Entries passed over for slow watchers.", self._hub.dropped)
        yield CounterMetricFamily("vibetea_relay_stuck", "Watchers closed because they took nothing.", self._hub.stuck)
        skipped = "Messages of the shared stream passed over: not a batch of their subject's source."
        yield CounterMetricFamily("vibetea_relay_skipped", skipped, self._stream.skipped)
        yield CounterMetricFamily("vibetea_relay_writes", "Runs of frames written to watchers.", self._hub.sent)
