"""What a photograph's lighting is called when the photograph is mirrored, as far as the names of the lightings tell.

A name is read as words and numbers: ``LeftLight-45`` is left, light, 45. Its mirror image is the lighting of the other side (left
and right, L and R, and the words of six more languages), or of the other sign of the azimuth (-45 and +45, m45 and p45,
``A-035E+20`` and ``A+035E+20``). A name that says where the light is and names no side, such as frontal, top or ambient, stays
itself. Of any other name, such as a number, a lamp or a window, nobody knows.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from legan.models.attributes import AttributeSchema
from legan.platform.data.labels.words import AXES, FILLING, OTHER_SIDE, PLACES, SIGNS, STATES, words_in
from legan.platform.errors import Problems

OPTION = "--mirror"
_MOST_NAMED = 6
# A hyphen or a plus is a sign where no digit is before it.
_PIECE = re.compile(r"(?<!\d)[+-]\d+(?:\.\d+)?|\d+(?:\.\d+)?|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[一-鿿]|[^\W\d_A-Za-z一-鿿]+")


class _Name(NamedTuple):
    """A lighting's name, read: its words in alphabetical order, and its numbers, each with the axis that it is measured on."""

    words: tuple[str, ...]
    numbers: tuple[tuple[str, float], ...]

    @property
    def has_side(self) -> bool:
        return any(word in OTHER_SIDE for word in self.words)


def schema_of(expressions: Sequence[str], lightings: Sequence[str]) -> AttributeSchema:
    """The schema of these classes, with a flip map where all the names tell what mirroring does.

    >>> schema_of(["neutral"], ["left_45", "right_45", "frontal"]).flip
    {'left_45': 'right_45', 'right_45': 'left_45', 'frontal': 'frontal'}
    >>> schema_of(["neutral"], ["lamp 1", "lamp 2"]).flip
    {}
    """
    told = told_by_names(lightings)
    whole = len(told) == len(lightings) and not _sided(expressions)
    return AttributeSchema(tuple(expressions), tuple(lightings), told if whole else {})


def told_by_names(lightings: Sequence[str]) -> dict[str, str]:
    """The mirror image of each lighting whose name tells it; one that is not told apart from others stays itself."""
    if len(lightings) == 1:
        return {lightings[0]: lightings[0]}
    read = {name: _read(name) for name in lightings}
    partner = {name: _partner(name, read) for name in lightings}
    return {name: other for name, other in partner.items() if other is not None and partner[other] == name}


def mirrored(schema: AttributeSchema, asked: Sequence[str]) -> AttributeSchema:
    """The schema with what ``asked`` says of mirroring, in ``left=right`` each; ConfigError with all that is wrong with it.

    A lighting of which neither it nor the schema nor the names tell stays itself, unless its name has a side.
    """
    if not asked:
        return schema
    problems, said = Problems(), dict[str, str]()
    for text in asked:
        pairs = _pairs(text, schema.lightings)
        if len(pairs) != 1:
            known = ", ".join(schema.lightings)
            problems.add(f"{OPTION} {text}", f"write it as LIGHTING=LIGHTING, two of them or one twice; there are: {known}")
            continue
        for name, other in (pairs[0], pairs[0][::-1]):
            if said.setdefault(name, other) != other:
                problems.add(f"{OPTION} {text}", f"{name} was to become {said[name]}; name each lighting once")

    known_before = dict(schema.flip) or told_by_names(schema.lightings)
    flip = {name: other for name, other in known_before.items() if name not in said and other not in said} | said
    for name in _sided([name for name in schema.lightings if name not in flip]):
        problems.add(OPTION, f"nobody says what {name} becomes; say it with {OPTION} {name}=LIGHTING")
    problems.raise_if_any()
    return AttributeSchema(schema.expressions, schema.lightings, {name: flip.get(name, name) for name in schema.lightings})


def mirror_line(schema: AttributeSchema) -> str:
    """What mirroring does to the lightings, or why images are not mirrored."""
    if not schema.flip:
        return f"off, {why_not(schema)}"
    swaps = [f"{name} ↔ {other}" for name, other in schema.flip.items() if name < other]
    return f"on, it swaps {', '.join(swaps)}" if swaps else "on, it changes no lighting"


def why_not(schema: AttributeSchema) -> str:
    """Why nothing is known of mirroring, and the remedy."""
    told = told_by_names(schema.lightings)
    unknown = [name for name in schema.lightings if name not in told]
    if unknown:
        first, other = unknown[0], next(name for name in [*unknown[1:], *schema.lightings] if name != unknown[0])
        named = ", ".join(unknown[:_MOST_NAMED]) + (" …" if len(unknown) > _MOST_NAMED else "")
        swap, same = (shlex.quote(f"{first}={second}") for second in (other, first))
        return (
            f"since nobody says what it makes of {named}; say it to `legan data prepare`: {OPTION} {swap} where they swap, "
            f"{OPTION} {same} where it stays"
        )
    sides = _sided(schema.expressions)
    if sides:
        return f"since the expression {sides[0]} names a side, which it would make wrong"
    return "since this data set was prepared before names were read; prepare it anew to have it"


def _sided(names: Sequence[str]) -> list[str]:
    """Those of the names that name a side."""
    return [name for name in names if _read(name).has_side]


def _pairs(text: str, lightings: Sequence[str]) -> list[tuple[str, str]]:
    """The ways to read ``text`` as a lighting, =, and a lighting, whose names may hold that sign themselves."""
    cuts = [(text[: sign.start()].strip(), text[sign.end() :].strip()) for sign in re.finditer("=", text)]
    return [(name, other) for name, other in cuts if name in lightings and other in lightings]


def _partner(name: str, read: dict[str, _Name]) -> str | None:
    """The lighting that mirroring gives, if the names tell; itself where the light has no side."""
    own = read[name]
    if own.has_side:
        return _only(read, _Name(tuple(sorted(OTHER_SIDE.get(word, word) for word in own.words)), own.numbers))
    for turned in _turned(own, read):
        other = _only(read, turned)
        if other is not None:
            return other
    words = set(own.words)
    told = bool(words & PLACES) or (bool(words & STATES) and not own.numbers)
    return name if told and words <= PLACES | STATES | FILLING else None


def _turned(own: _Name, read: dict[str, _Name]) -> Iterator[_Name]:
    """The name with the azimuth of the other side, if it has one: the number that is called so, or else its only one."""
    called = [i for i, (axis, _) in enumerate(own.numbers) if axis == "azimuth"]
    candidates = called or [i for i, (axis, _) in enumerate(own.numbers) if axis != "elevation"]
    # Of -1, 0 and 1 alone nobody knows whether they are angles: tables write no and yes like that.
    if len(candidates) != 1 or all(abs(value) <= 1 for each in read.values() for _, value in each.numbers):
        return
    axis, value = own.numbers[candidates[0]]
    for other in (-value, 360 - value) if called else (-value,):
        numbers = list(own.numbers)
        numbers[candidates[0]] = (axis, other + 0.0)  # -0.0 is 0.0
        yield _Name(own.words, tuple(numbers))


def _only(read: dict[str, _Name], wanted: _Name) -> str | None:
    """The one lighting of this name, compared with all of its words, or else without those that say nothing."""
    found = [name for name, each in read.items() if each == wanted]
    if not found:
        found = [name for name, each in read.items() if _bare(each) == _bare(wanted)]
    return found[0] if len(found) == 1 else None


def _bare(name: _Name) -> _Name:
    return _Name(tuple(word for word in name.words if word not in FILLING), name.numbers)


@cache
def _read(name: str) -> _Name:
    words: list[str] = []
    numbers: list[tuple[str, float]] = []
    sign = 1.0
    for piece in _PIECE.findall(name.replace("−", "-").replace("–", "-")):
        if piece[-1].isdigit():
            axis = AXES.get(words[-1], "") if words else ""
            numbers.append((axis, sign * float(piece) + 0.0))
            sign = 1.0
        elif piece.lower() in SIGNS:
            sign = SIGNS[piece.lower()]
        else:
            words += words_in(piece.lower())
            sign = 1.0

    if any(word in OTHER_SIDE for word in words):  # then a hyphen before a number is no sign
        numbers = [(axis, abs(value)) for axis, value in numbers]
    return _Name(tuple(sorted(words)), tuple(numbers))
