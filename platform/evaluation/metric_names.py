"""Names of metrics: how those that older runs and sweep files use are read."""

_OLD_PREFIX, _PREFIX = "validation/", "val/"


def canonical(name: str) -> str:
    """Today's name of a metric: ``validation/x`` is ``val/x``, all others are what they were.

    >>> canonical("validation/l1_to_target"), canonical("loss/g_total")
    ('val/l1_to_target', 'loss/g_total')
    """
    return _PREFIX + name.removeprefix(_OLD_PREFIX) if name.startswith(_OLD_PREFIX) else name
