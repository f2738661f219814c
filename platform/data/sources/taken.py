"""Which of a source's expressions are taken, and what they are called: ``--expression`` of ``legan data prepare``."""

import re
from collections.abc import Sequence
from dataclasses import replace

from legan.platform.data.skipped import Skipped
from legan.platform.data.sources.source import SourceFaces
from legan.platform.errors import Problems, counted

OPTION = "--expression"


def take_expressions(faces: SourceFaces, asked: Sequence[str]) -> SourceFaces:
    """The photographs of the expressions that are ``asked`` for, each NAME or NAME=OTHER; all where none are.

    NAME=OTHER calls it OTHER, as a model may that learned from another data set. The others are unusable. ConfigError with all
    that is wrong: an expression that the source has not or has no photograph of, one that is named twice, or two of one name.
    """
    if not asked:
        return faces
    known, problems, called = faces.schema.expressions, Problems(), dict[str, str]()
    shown = set(faces.records["expression"])
    for text in asked:
        name, other = _pair(text, known)
        if name not in known or not other:
            problems.add(f"{OPTION} {text}", f"write it as NAME or NAME=OTHER; there are: {', '.join(known)}")
        elif name in called:
            problems.add(f"{OPTION} {text}", f"{name} is named already; name each expression once")
        elif name not in shown:
            problems.add(f"{OPTION} {text}", f"{faces.root} has no photograph of {name}; leave it out")
        elif other in called.values():
            problems.add(f"{OPTION} {text}", f"another expression is called {other} already; give another name")
        else:
            called[name] = other
    problems.raise_if_any()

    taken = faces.records["expression"].isin(list(called))
    left = faces.records[~taken]
    why = {name: Skipped("other_class", f"it shows {name}, which {OPTION} does not name") for name in known}
    unusable = [*faces.unusable, *((str(path), why[name]) for path, name in zip(left["path"], left["expression"], strict=True))]
    records = faces.records[taken].reset_index(drop=True)
    schema = replace(faces.schema, expressions=tuple(called[name] for name in known if name in called))
    note = f"taken: {', '.join(_said(*each) for each in called.items())}; {counted(len(left), 'photograph')} left out"
    notes = [*faces.info.get("notes", ()), note]
    return replace(
        faces,
        schema=schema,
        records=records.assign(expression=records["expression"].map(called)),
        unusable=unusable,
        info={**faces.info, "notes": notes},
    )


def _pair(text: str, known: Sequence[str]) -> tuple[str, str]:
    """What is taken and what it is called; names may hold the sign = themselves."""
    cuts = [(text[: sign.start()].strip(), text[sign.end() :].strip()) for sign in re.finditer("=", text)]
    return next((cut for cut in cuts if cut[0] in known), (text.strip(), text.strip()))


def _said(name: str, other: str) -> str:
    return name if name == other else f"{name} as {other}"
