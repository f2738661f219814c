"""What a figure of the paper is asked for with, and what comes out: a picture, and a record that names all that it shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from legan.platform.data.dataset import Dataset, Split
from legan.platform.errors import Problems
from legan.platform.evaluation.evaluate import plain_name
from legan.platform.evaluation.figures import Picture
from legan.platform.evaluation.pairs import Rows, photographs
from legan.platform.model import Model, weights_hash

SPLIT: Split = "test"
TILE = 160
"""Pixels of a face, at least: smaller images are enlarged by whole factors."""


@dataclass(frozen=True)
class FigureRequest:
    """What to draw, as given on the command line; what a figure does not take is left out."""

    number: int
    models: Sequence[str] = ()
    data: Path | None = None
    recolor: Sequence[Path] = ()
    ratings: Path | None = None
    quality: Path | None = None
    classifier: Path | None = None
    known_judges: bool = False
    faces: int = 0
    """0: as many as the figure shows by itself."""
    seed: int = 0
    pairs_file: Path | None = None

    @property
    def folder(self) -> Path:
        """``data`` of a figure that needs it."""
        return self.data or Path()


class DrawnFigure(NamedTuple):
    """A figure; ``about`` names faces, targets and networks as plain values, ``name`` is the end of its folder's name.

    ``said`` is for whoever waits.
    """

    picture: Picture
    about: Mapping[str, Any]
    name: str
    said: tuple[str, ...] = ()


def named_models(given: Sequence[str], problems: Problems) -> dict[str, str]:
    """A run, model folder or URI by the name that the figure gives it: ``NAME=RUN``, or ``RUN`` under its own name."""
    found: dict[str, str] = {}
    for text in given:
        name, sign, source = text.partition("=")
        if not sign or Path(text).expanduser().exists():
            name, source = (text if ":" in text else plain_name(text)), text
        if not name.strip() or not source.strip():
            problems.add("MODEL", f"{text!r} is neither RUN nor NAME=RUN")
        elif name.strip() in found:
            problems.add("MODEL", f"{name.strip()} is there twice; tell them apart as NAME=RUN")
        found[name.strip()] = str(Path(source.strip()).expanduser()) if source.startswith("~") else source.strip()
    return found


def one_model(given: Sequence[str], problems: Problems) -> dict[str, str]:
    """``named_models`` of a figure that shows what one model makes of each face."""
    found = named_models(given, problems)
    if len(found) != 1:
        problems.add("MODEL", f"this figure shows what one model makes of each face, and there are {len(found)}; name one")
    return found


def chosen_faces(data: Dataset, count: int, seed: int) -> Rows:
    """At most ``count`` photographs of the test split, drawn by the seed, of as many people as there are; DataError for none."""
    rows = np.random.default_rng(seed).permutation(photographs(data, SPLIT))
    return rows[in_turns(data.subject[rows])][:count]


def in_turns(keys: Sequence[Any] | NDArray[Any]) -> NDArray[np.int64]:
    """Places that begin with one of each key, in the order given, then go on with a second of each.

    >>> in_turns(["a", "a", "b", "a", "b"]).tolist()
    [0, 2, 1, 4, 3]
    """
    turn: dict[Any, int] = {}
    turns = []
    for key in keys:
        turns.append(turn.get(key, 0))
        turn[key] = turns[-1] + 1
    return np.argsort(turns, kind="stable").astype(np.int64)


def about_data(data: Dataset) -> dict[str, Any]:
    """The data set, as the record of a figure names it."""
    return {"name": data.name, "hash": data.content_hash, "split": SPLIT, "licence": data.licence}


def about_face(data: Dataset, row: int) -> dict[str, Any]:
    """A face, as the record of a figure names it."""
    face = data.faces.iloc[row]
    shown = {name: str(face[name]) for name in ("subject", "expression", "lighting", "source_path")}
    return {"row": int(row), **shown}


def about_model(name: str, source: str, model: Model) -> dict[str, Any]:
    """A model, as the record of a figure names it."""
    own = {key: model.info.get(key) for key in ("run", "run_uid", "seed", "data_hash")}
    return {"name": name, "model": source, **own, "generator_hash": weights_hash(model.generator)}
