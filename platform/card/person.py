"""What is said of a translation's person: what the model was trained on, and whether a matcher finds the person the same."""

from collections.abc import Mapping
from typing import Any


def trained_on(data: Mapping[str, Any] | None) -> str:
    """What a model was trained on, by what it says of its ``data``; older models say nothing.

    >>> trained_on({"name": "faces", "source": "rendered", "people": 40})
    'trained on faces (source rendered, 40 people)'
    """
    if data is None:
        return "trained on data that it does not name"
    people = "1 person" if data["people"] == 1 else f"{data['people']} people"
    return f"trained on {data['name']} (source {data['source']}, {people})"


def unseen_line(data: Mapping[str, Any] | None) -> str:
    """The note that goes with pasted faces.

    >>> unseen_line(None)
    'note: this model does not say what it was trained on; skin, age or hair that it has not seen may come out as something else.'
    """
    known = "does not say what it was trained on" if data is None else f"was {trained_on(data)}"
    return f"note: this model {known}; skin, age or hair that it has not seen may come out as something else."


def stranger_line(similarity: float | None, threshold: float | None) -> str | None:
    """A warning of a translation that is nearer to strangers than to its source, a note where nobody can tell; None else.

    >>> print(stranger_line(0.12, 0.48))
    warning: the matcher finds the person nearer to strangers than to the photograph (similarity 0.120, one person from 0.480 on).
    >>> stranger_line(0.9, 0.48), stranger_line(None, None)
    (None, None)
    """
    if similarity is None or (threshold is not None and similarity >= threshold):
        return None
    if threshold is None:
        return f"note: the person's similarity is {similarity:.3f}; how alike strangers are was not measured."
    compared = f"(similarity {similarity:.3f}, one person from {threshold:.3f} on)"
    return f"warning: the matcher finds the person nearer to strangers than to the photograph {compared}."
