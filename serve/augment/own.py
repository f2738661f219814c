"""A face's own classes, where a job keeps them: what the input says, and where it says none, what the model reads.

Shapes: N source faces.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from legan.serve.augment.plan import UNKNOWN, Labels, Wanted
from legan.serve.augment.worker import OWN, part_path
from legan.serve.classes import KINDS, Kind


def kept_kinds(wanted: Wanted) -> tuple[Kind, ...]:
    """The kinds of which jobs keep a face's own class: those that --labels keeps, and the one that is not balanced."""
    if wanted.balance is not None:
        return tuple(kind for kind in KINDS if wanted.balance not in (kind, "both"))
    return tuple(kind for place, kind in enumerate(KINDS) if any(pair[place] == UNKNOWN for pair in wanted.labels))


def unsaid(labels: Labels, kinds: tuple[Kind, ...]) -> dict[Kind, int]:
    """How many faces have no class of these kinds that the model knows; kinds of which all have one are left out."""
    counts = {kind: int((getattr(labels, kind) == UNKNOWN).sum()) for kind in kinds}
    return {kind: count for kind, count in counts.items() if count}


def with_read(labels: Labels, kinds: tuple[Kind, ...], folder: Path) -> Labels:
    """The labels, those of ``kinds`` that are not known as the finished parts say."""
    read: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}
    for part in range(-(-len(labels) // OWN)):
        with np.load(part_path(folder, "own", part), allow_pickle=False) as found:
            for kind in KINDS:
                read[kind].append(found[kind])
    filled = {}
    for kind in kinds:
        own = getattr(labels, kind)
        filled[kind] = np.where(own == UNKNOWN, np.concatenate(read[kind]), own)
    return replace(labels, **filled)
