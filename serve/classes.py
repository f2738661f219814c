"""Wanted expressions and lightings by their names, one of which may be ``keep``: the class that the face shows already.

A model reads a face's own classes with the label predictor that it may carry. A class that is called ``keep`` is that class.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, get_args

from legan.platform.errors import Problem, counted

KEEP = "keep"
Kind = Literal["expression", "lighting"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Classes(Protocol):
    """What knows a model's classes: its schema, or what a server tells of it."""

    @property
    def expressions(self) -> Sequence[str]:
        """Their names."""

    @property
    def lightings(self) -> Sequence[str]:
        """Their names."""


class OwnClasses(NamedTuple):
    """The classes that a face shows already, as the model reads them."""

    expression: str
    lighting: str


def chosen_class(known: Classes, kind: Kind, name: str | None, *, keeps: bool) -> str | Problem:
    """The wanted class: the one that is named, or the only one of its kind; else what is missing, at ``kind``.

    ``keeps`` says that the model carries a label predictor.
    """
    own: Sequence[str] = getattr(known, f"{kind}s")
    if name is not None:
        return name
    return own[0] if len(own) == 1 else Problem(kind, f"it is missing; this model knows {_listed(own, keeps)}")


def unknown_classes(known: Classes, expressions: Iterable[str], lightings: Iterable[str], *, keeps: bool) -> list[Problem]:
    """A problem for each name that is not known, at ``expression`` or ``lighting``; ``keeps`` as in ``chosen_class``."""
    problems = []
    for kind, names in zip(KINDS, (expressions, lightings), strict=True):
        own: Sequence[str] = getattr(known, f"{kind}s")
        for name in dict.fromkeys(names):
            if is_kept(known, kind, name) and not keeps:
                remedy = f"name one of {', '.join(own)}, or train the model anew"
                problems.append(Problem(kind, f"{KEEP} needs a label predictor, which this model does not carry; {remedy}"))
            elif name not in own and name != KEEP:
                problems.append(Problem(kind, f"{name!r} is unknown; this model knows {_listed(own, keeps)}"))
    return problems


def is_kept(known: Classes, kind: Kind, name: str | None) -> bool:
    """Whether a name stands for the class that a face shows already."""
    return name == KEEP and name not in getattr(known, f"{kind}s")


def with_own(
    known: Classes, expressions: Sequence[str], lightings: Sequence[str], own: Sequence[OwnClasses]
) -> tuple[list[str], list[str]]:
    """The wanted names of N faces, those that are to be kept replaced by the faces' ``own``.

    >>> from legan.models.attributes import AttributeSchema
    >>> schema = AttributeSchema(("neutral", "smile"), ("left", "right"))
    >>> with_own(schema, ["keep", "neutral"], ["left", "left"], [OwnClasses("smile", "right")] * 2)
    (['smile', 'neutral'], ['left', 'left'])
    """
    named = (
        [each[place] if is_kept(known, kind, name) else name for name, each in zip(names, own, strict=True)]
        for place, (kind, names) in enumerate(zip(KINDS, (expressions, lightings), strict=True))
    )
    first, second = named
    return first, second


def how_well_read(info: Mapping[str, Any], kind: Kind) -> str:
    """How often a model's label predictor is right, as its folder says, and on faces of which source; others may be read worse.

    >>> measured = {"expression_accuracy": 0.83, "faces": 240}
    >>> how_well_read({"predictor": measured, "data": {"source": "rendered"}}, "expression")
    'right for 83 % of 240 validation faces, source rendered'
    """
    measured, data = info.get("predictor") or {}, info.get("data")
    accuracy = measured.get(f"{kind}_accuracy")
    if accuracy is None:
        return "how often it is right was not measured"
    source = f", source {data['source']}" if data else ""
    return f"right for {100 * accuracy:.0f} % of {counted(measured['faces'], 'validation face')}{source}"


def _listed(names: Sequence[str], keeps: bool) -> str:
    return f"{', '.join(names)}; or {KEEP} the face's own" if keeps else ", ".join(names)
