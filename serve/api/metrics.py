"""What a server tells Prometheus: how much is asked, how long it takes, how full batches and queues are, what Q says.

The names are the same everywhere. One process (deploy/local.py) answers ``/metrics`` itself; on Ray Serve every replica hands its
numbers to its node's metrics port, where Ray puts ``ray_`` before the name and adds deployment and replica.
"""

from typing import Literal, NamedTuple, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

LATENCIES_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Measure(NamedTuple):
    """Something that is measured; ``bounds`` are the upper ones of a histogram's buckets."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    about: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


REQUESTS = Measure("legan_requests_total", "counter", "Requests that were answered.", ("route", "status"))
REQUEST_SECONDS = Measure(
    "legan_request_seconds",
    "histogram",
    "From the end of a request's headers to its answer's last byte.",
    ("route",),
    LATENCIES_S,
)
WORKING = Measure("legan_requests_working", "gauge", "Requests that are being worked on; at the limit the next one gets 503.")
HELD = Measure("legan_calls_held", "gauge", "Calls that a network's process holds, in its batch or waiting.", ("network",))
BATCH_IMAGES = Measure(
    "legan_batch_images", "histogram", "Images that a network took at once.", ("network",), (1, 2, 4, 8, 16, 32, 64, 128, 256)
)
BATCH_SECONDS = Measure("legan_batch_seconds", "histogram", "Time of such a batch in the network.", ("network",), LATENCIES_S)
QUALITY = Measure("legan_quality", "histogram", "Q's ratings, about 0 to 10.", ("model",), tuple(float(n) for n in range(1, 11)))
MEASURES = (REQUESTS, REQUEST_SECONDS, WORKING, HELD, BATCH_IMAGES, BATCH_SECONDS, QUALITY)


class Meter(Protocol):
    """Where measured values go."""

    def record(self, measure: Measure, value: float, **labels: str) -> None:
        """Add to a counter, set a gauge, or put into a histogram."""


class Unmetered:
    """A meter for servers that nobody watches."""

    def record(self, measure: Measure, value: float, **labels: str) -> None:
        """Forget it."""


class PrometheusMeter:
    """The measures of this process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._made: dict[str, Counter | Gauge | Histogram] = {}
        for measure in MEASURES:
            about = (measure.name, measure.about, measure.labels)
            if measure.kind == "histogram":
                self._made[measure.name] = Histogram(*about, buckets=measure.bounds, registry=self._registry)
            else:
                kind = Counter if measure.kind == "counter" else Gauge
                self._made[measure.name] = kind(*about, registry=self._registry)

    def record(self, measure: Measure, value: float, **labels: str) -> None:
        """Add to a counter, set a gauge, or put into a histogram."""
        made = self._made[measure.name]
        one = made.labels(**labels) if labels else made
        if isinstance(one, Counter):
            one.inc(value)
        elif isinstance(one, Gauge):
            one.set(value)
        else:
            one.observe(value)

    def page(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self._registry)
