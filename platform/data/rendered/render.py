"""Rendered faces: a data set of procedural heads with exact labels, landmarks and relighting targets.

A stand-in for tests and first contact, not for photographs: every person is drawn from numbers (see rendered/head.py),
every lighting computed (the table of its angles is in rendered/light.py), left and right are the viewer's, and the eyes lie
where aligned photographs have them.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from legan.models.attributes import AttributeSchema
from legan.platform.data.dataset import FILE, Dataset
from legan.platform.data.labels.splits import check_shares, split_people
from legan.platform.data.masks import hull_mask, pack_mask
from legan.platform.data.rendered.canvas import EYE_DISTANCE, EYE_LEVEL
from legan.platform.data.rendered.faces import (
    PortraitOrder,
    RenderedFaces,
    be_single_threaded,
    draw,
    face_landmarks,
    render_faces,
)
from legan.platform.data.rendered.head import EXPRESSIONS
from legan.platform.data.rendered.light import FLIP, LIGHTINGS
from legan.platform.data.write import write_dataset
from legan.platform.errors import DataError, Problem
from legan.platform.files import refuse_existing

__all__ = ["EXPRESSIONS", "LIGHTINGS", "SCHEMA", "SIZES", "RenderedFaces", "render_dataset", "render_faces"]

SCHEMA = AttributeSchema(EXPRESSIONS, LIGHTINGS, FLIP)
SIZES = (32, 512)
"""Smallest and largest image size that is drawn."""

_COMBINATIONS = len(EXPRESSIONS) * len(LIGHTINGS)


def render_dataset(
    out: Path,
    *,
    subjects: int,
    size: int = 128,
    seed: int = 0,
    images_per_subject: int | None = None,
    workers: int = 1,
    val_share: float = 0.1,
    test_share: float = 0.1,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Dataset:
    """Draw ``subjects`` people and write them as a data set folder, split by subject.

    Each person is seen in all 120 combinations of expression and lighting, or in ``images_per_subject`` of them drawn at
    random. The folder depends on the numbers given alone, not on ``workers`` (processes; 1 draws in this one).
    ``progress`` is called with the number of images drawn since the last call. Raises DataError for numbers out of range,
    all of them at once, and where ``out`` exists.
    """
    _check(subjects, size, seed, images_per_subject, workers)
    check_shares(subjects, val_share=val_share, test_share=test_share)
    refuse_existing(Path(out), FILE, overwrite=overwrite)

    names = [f"rendered-{identity:05d}" for identity in range(subjects)]
    orders = [PortraitOrder(identity, size, seed, _wanted(identity, seed, images_per_subject)) for identity in range(subjects)]

    rows, hulls = [], []
    for order, name in zip(orders, names, strict=True):
        points = face_landmarks(order.identity, size=size, seed=seed)
        for expression, lightings in order.wanted:
            own = points[EXPRESSIONS.index(expression)]
            hulls += [pack_mask(hull_mask(own, size))] * len(lightings)
            rows += [(name, expression, lighting, own.ravel(), 0.0) for lighting in lightings]
    faces = pd.DataFrame(rows, columns=["subject", "expression", "lighting", "landmarks", "yaw"])
    splits = split_people(faces, val_share=val_share, test_share=test_share, seed=seed)
    eyes = {"left_eye": [0.5 - EYE_DISTANCE / 2, EYE_LEVEL], "right_eye": [0.5 + EYE_DISTANCE / 2, EYE_LEVEL]}

    return write_dataset(
        out,
        name=Path(out).name,
        schema=SCHEMA,
        faces=faces.assign(split=faces["subject"].map(splits)),
        images=_drawn(orders, workers, progress),
        hulls=np.stack(hulls),
        source="rendered",
        alignment={"image_size": size, **eyes},
        info={"renderer": 1, "seed": seed, "subjects": subjects, "landmarks": "68 points (iBUG order), exact"},
        overwrite=overwrite,
    )


def _check(subjects: int, size: int, seed: int, images_per_subject: int | None, workers: int) -> None:
    problems = []
    if subjects < 3:
        problems.append(Problem("subjects", f"at least 3 are needed, one for each split, not {subjects}"))
    if not SIZES[0] <= size <= SIZES[1]:
        problems.append(Problem("size", f"it must be from {SIZES[0]} to {SIZES[1]}, not {size}"))
    if seed < 0:
        problems.append(Problem("seed", f"it must not be negative, as {seed} is"))
    if images_per_subject is not None and not 1 <= images_per_subject <= _COMBINATIONS:
        problems.append(Problem("images_per_subject", f"there can be 1 to {_COMBINATIONS}, not {images_per_subject}"))
    if workers < 1:
        problems.append(Problem("workers", f"at least 1 is needed, not {workers}"))

    if problems:
        raise DataError(f"no faces can be rendered: {'; '.join(map(str, problems))}.")


def _wanted(identity: int, seed: int, count: int | None) -> tuple[tuple[str, tuple[str, ...]], ...]:
    chosen: Sequence[int] = range(_COMBINATIONS)
    if count is not None:
        rng = np.random.default_rng([seed, identity, 4])
        chosen = sorted(int(c) for c in rng.choice(_COMBINATIONS, count, replace=False))
    lit: dict[str, list[str]] = {}
    for combination in chosen:
        expression, lighting = divmod(combination, len(LIGHTINGS))
        lit.setdefault(EXPRESSIONS[expression], []).append(LIGHTINGS[lighting])
    return tuple((expression, tuple(lightings)) for expression, lightings in lit.items())


def _drawn(orders: list[PortraitOrder], workers: int, progress: Callable[[int], None] | None) -> Iterator[NDArray[np.uint8]]:
    for images in _in_processes(orders, workers):
        yield from images
        if progress is not None:
            progress(len(images))


def _in_processes(orders: list[PortraitOrder], workers: int) -> Iterator[NDArray[np.uint8]]:
    if workers == 1:
        yield from map(draw, orders)
        return
    # Started afresh: a forked child would inherit the locks of OpenCV's and torch's threads.
    with multiprocessing.get_context("spawn").Pool(min(workers, len(orders)), be_single_threaded) as pool:
        yield from pool.imap(draw, orders)
