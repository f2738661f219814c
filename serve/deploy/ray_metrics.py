"""The measures of a Ray Serve replica, which Ray collects on each node."""

from ray.serve.metrics import Counter, Gauge, Histogram

from legan.serve.api.metrics import Measure


class RayMeter:
    """Hands every value to Ray; made inside a replica, so that Ray adds which one it is."""

    def __init__(self) -> None:
        self._made: dict[str, Counter | Gauge | Histogram] = {}

    def record(self, measure: Measure, value: float, **labels: str) -> None:
        """Add to a counter, set a gauge, or put into a histogram."""
        made = self._made.get(measure.name)
        if made is None:
            made = self._made[measure.name] = _make(measure)
        if measure.kind == "counter":
            made.inc(value, labels)
        elif measure.kind == "gauge":
            made.set(value, labels)
        else:
            made.observe(value, labels)


def _make(measure: Measure) -> Counter | Gauge | Histogram:
    if measure.kind == "counter":
        return Counter(measure.name, measure.about, measure.labels)
    if measure.kind == "gauge":
        return Gauge(measure.name, measure.about, measure.labels)
    return Histogram(measure.name, measure.about, list(measure.bounds), measure.labels)
