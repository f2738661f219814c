"""How many faces of each split show each class, and which classes a split lacks."""

from collections import Counter

import numpy as np

from legan.platform.data.dataset import SPLITS, Dataset, LeftOut, Split

_MOST_NAMED = 8
_LACKING: dict[Split, str] = {
    "train": "nothing can be trained on it",
    "val": "no checkpoint can be called best",
    "test": "no model can be evaluated on it",
}


def class_counts(data: Dataset) -> dict[tuple[str, str], dict[Split, int]]:
    """Faces of each split by kind and name of class, in the schema's order; rows that are in no split don't count."""
    counts: dict[tuple[str, str], dict[Split, int]] = {}
    for kind, names in (("expression", data.schema.expressions), ("lighting", data.schema.lightings)):
        faces = Counter(zip(data.faces[kind], data.faces["split"], strict=True))
        counts |= {(kind, name): {split: faces[name, split] for split in SPLITS} for name in names}
    return counts


def count_lines(data: Dataset) -> list[str]:
    """``class_counts`` of what there is a choice of, its sums, and the people of each split, as aligned lines of text."""
    present = [split for split in SPLITS if split in data.splits]
    faces = {split: len(data.rows(split)) for split in present}
    people = {split: len(data.splits[split]) for split in present}
    sizes = {"expression": len(data.schema.expressions), "lighting": len(data.schema.lightings)}
    counted = {f"{kind} {name}": counts for (kind, name), counts in class_counts(data).items() if sizes[kind] > 1}

    width = max([24, *(len(name) + 1 for name in counted)])
    lines = [f"{'faces':{width}}" + "".join(f"{name:>9}" for name in (*present, "all"))]
    for name, counts in {**counted, "together": faces, "subjects": people}.items():
        own = [counts[split] for split in present]
        lines.append(f"{name:{width}}" + "".join(f"{count:>9}" for count in (*own, sum(own))))
    return lines


def unshown(data: Dataset, *, mirrored: bool) -> LeftOut:
    """The classes that no training image shows; where some are ``mirrored``, what the schema makes of their lightings counts."""
    train = data.faces.iloc[data.rows("train")]
    expressions, lightings = set(train["expression"]), set(train["lighting"])
    if mirrored:
        lightings |= {data.schema.flip[name] for name in lightings if name in data.schema.flip}
    return LeftOut(
        tuple(name for name in data.schema.expressions if name not in expressions),
        tuple(name for name in data.schema.lightings if name not in lightings),
    )


def left_out_notes(data: Dataset, left_out: LeftOut) -> list[str]:
    """Which classes of the whole data set are not trained, with their faces by split: a sentence for each remedy."""
    shown_mirrored = set(left_out.names) - set(unshown(data, mirrored=True).names)
    named: dict[str, list[str]] = {}
    for (kind, name), counts in class_counts(data).items():
        if f"{kind} {name}" in left_out.names:
            remedy = "set flip=true" if f"{kind} {name}" in shown_mirrored else "put people who show that into the split train"
            faces = ", ".join(f"{count} in {split}" for split, count in counts.items())
            named.setdefault(remedy, []).append(f"{kind} {name} ({faces})")
    return [
        f"note: no training image shows {', '.join(classes)}, so {'this is' if len(classes) == 1 else 'these are'} left out; "
        f"to train {'it' if len(classes) == 1 else 'them'}, {remedy}."
        for remedy, classes in named.items()
    ]


def split_notes(data: Dataset, *, lighting: bool = True) -> list[str]:
    """A sentence for each split that has nobody, and for val and test where nobody shows some class that there is.

    Without ``lighting``, expressions alone count.
    """
    counts, notes = class_counts(data), []
    for split, what in _LACKING.items():
        if split not in data.splits:
            notes.append(f"note: nobody is in the split {split} of {data.name}, so {what}.")
            continue
        asked = {f"{kind} {name}": faces for (kind, name), faces in counts.items() if lighting or kind == "expression"}
        lacking = [name for name, faces in asked.items() if not faces[split] and any(faces.values())]
        if lacking and split != "train":
            notes.append(f"note: nobody in the split {split} of {data.name} shows {_listed(lacking)}.")
    return notes


def pair_notes(data: Dataset, *, mirrored: bool) -> list[str]:
    """A sentence where no training image shows some pairs of expression and lighting; ``mirrored`` as for ``unshown``."""
    rows = data.rows("train")
    shown = np.zeros((len(data.schema.expressions), len(data.schema.lightings)), np.bool_)
    shown[data.expression[rows], data.lighting[rows]] = True
    flips = data.schema.flip_indices() if mirrored else None
    if flips is not None:
        shown |= shown[:, flips.numpy()]

    lacking = [f"{data.schema.expressions[e]} × {data.schema.lightings[light]}" for e, light in np.argwhere(~shown)]
    if not lacking:
        return []
    return [f"note: no training image shows {len(lacking)} of {shown.size} domains, which are not learned: {_listed(lacking)}."]


def people_notes(data: Dataset) -> list[str]:
    """A sentence where too few are held out to tell people apart."""
    people = len(set(data.subject[data.real_rows("val")]))
    if people >= 2:
        return []
    return [f"note: T is not validated: that takes two people in the split val of {data.name}, which has {people or 'none'}."]


def _listed(names: list[str]) -> str:
    """The names in a sentence, the rest of many as their number."""
    if len(names) <= _MOST_NAMED:
        return ", ".join(names)
    return f"{', '.join(names[:_MOST_NAMED])} and {len(names) - _MOST_NAMED} more"
