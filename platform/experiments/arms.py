"""The training data of an experiment's arms: the data set's own images, and as many further ones as LEGAN's translations are.

For each translation the controls add one image: of the face that was translated, where people are learned, and of a training face
that really shows the wanted expression, where expressions are.

Shapes: N rows of the data set, n added rows, H = W = image size.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from legan.models.attributes import AttributeSchema
from legan.platform.data.dataset import FILE, Dataset, open_dataset, origin_of_people
from legan.platform.data.masks import pack_mask
from legan.platform.data.stream import Part, write_parts
from legan.platform.errors import DataError, counted
from legan.platform.experiments.experiment import ARMS, Arm, Experiment, Question

AT_ONCE = 256
ROTATION, SHIFT, SCALES = 10.0, 0.05, (0.9, 1.1)
"""Degrees, share of the image's side, and factors."""
BRIGHTNESS, CONTRAST, SATURATION, HUE = 0.3, 0.3, 0.3, 0.05
_KEPT = ["subject", "expression", "lighting", "split", "landmarks", "yaw", "source_path"]

Rows = NDArray[np.int64]
Images = NDArray[np.uint8]
Masks = NDArray[np.bool_]


class Jittered(NamedTuple):
    """Images n×H×H×3 and hulls n×H×H that were changed, and which of them were mirrored, bool n."""

    images: Images
    hulls: Masks
    mirrored: Masks


class Added(NamedTuple):
    """Rows of ``data`` that an arm adds, int64 n.

    ``copies`` says that they are rows of the arm's own data set. ``jitter`` makes their images and hulls, of their places among
    the n, anew.
    """

    data: Dataset
    rows: Rows
    copies: bool = False
    jitter: "Callable[[Images, Masks, Sequence[int]], Jittered] | None" = None


def write_arm(experiment: Experiment, arm: Arm, seed: int = 0) -> Dataset:
    """Write the training data of an arm, whole or not at all; the data set itself for ``none``."""
    base = open_dataset(experiment.settings.data)
    if arm == "none":
        return base
    out = experiment.data(arm)
    if (out / FILE).is_file():
        return open_dataset(out)
    added = added_rows(experiment, arm, base, open_dataset(experiment.translations), seed)
    origin = origin_of_people(base.source, base.info)
    write_parts(
        out,
        _parts(base, added, arm),
        count=len(base) + len(added.rows),
        image_size=base.image_size,
        name=f"{base.name}-{arm}",
        schema=joined_schema(base, added),
        source="augmented",
        alignment=base.alignment,
        info={
            "experiment": experiment.name,
            "arm": ARMS[arm],
            "added": len(added.rows),
            "seed": seed,
            **({} if origin is None else {"people_of": origin}),
            **({} if base.licence is None else {"licence": base.licence}),
        },
    )
    return open_dataset(out)


def added_rows(experiment: Experiment, arm: Arm, base: Dataset, translations: Dataset, seed: int = 0) -> Added:
    """What an arm adds to the data set; DataError where there are too few further real images."""
    asked = experiment.settings
    if arm == "legan":
        return Added(translations, translations.rows())
    if arm == "real" and asked.real is not None:
        further, test = open_dataset(asked.real), open_dataset(asked.test_data)
        return Added(*further_rows(asked.question, base, translations, further, test, seed))
    rows = shown_rows(asked.question, base, translations, seed)
    if arm == "copies":
        return Added(base, rows, copies=True)
    return Added(base, rows, jitter=lambda images, hulls, places: jittered(images, hulls, [(seed, each) for each in places]))


def shown_rows(question: Question, base: Dataset, translations: Dataset, seed: int = 0) -> Rows:
    """For each translation a training row of the data set, int64 n: its own face, or one that shows the expression.

    Of an expression's faces each is taken as often as any other, once more or less.
    """
    if question == "verification":
        return translations.faces["source_row"].to_numpy(np.int64)
    rows = np.empty(len(translations), np.int64)
    training, shown = base.rows("train"), base.faces["expression"].to_numpy()
    for number, (expression, places) in enumerate(translations.faces.groupby("expression", sort=True).indices.items()):
        own = training[shown[training] == expression]
        order = np.random.default_rng([seed, number]).permutation(own)
        rows[places] = np.resize(order, len(places))
    return rows


def further_rows(
    question: Question, base: Dataset, translations: Dataset, further: Dataset, test: Dataset, seed: int = 0
) -> tuple[Dataset, Rows]:
    """As many real training faces of another data set as there are translations, and that data set.

    They are of the same people where both sets name people alike, else of others, who get names of their own; of the same
    expressions, where these are learned. Nobody is among them who is tested or held out, and no image that is there already.
    """
    origin, rows, subjects = origin_of_people(base.source, base.info), further.real_rows("train"), further.subject
    alike = origin is not None and origin == origin_of_people(further.source, further.info)
    held_out = {*base.people("val"), *base.people("test"), *test.people_called(np.unique(test.subject).tolist())}
    held_out -= set(base.people("train"))
    names = {name for name in np.unique(subjects[rows]).tolist() if not held_out & set(further.people_called([name]))}
    if alike and question == "verification":
        names &= set(base.subject[base.rows("train")].tolist())
    if not alike:
        further = replace(further, faces=further.faces.assign(subject=[f"{further.name}/{name}" for name in subjects]))
    there = {_digest(image) for image in _images(base, base.rows("train"))}
    keep = [
        row
        for row, image in zip(rows, _images(further, rows), strict=True)
        if subjects[row] in names and _digest(image) not in there
    ]
    candidates = np.array(keep, np.int64)
    wanted = translations.faces["expression"].value_counts().to_dict() if question == "expression" else {None: len(translations)}
    chosen = np.empty(len(translations), np.int64)
    for number, (expression, count) in enumerate(sorted(wanted.items(), key=str)):
        own = candidates if expression is None else candidates[further.faces["expression"].to_numpy()[candidates] == expression]
        if len(own) < count:
            whom = "" if expression is None else f" that show {expression}"
            raise DataError(
                f"{further.path} has {counted(len(own), 'further real image')}{whom} of people who may be trained on, and "
                f"{count} are needed; give more with --real, or leave it out."
            )
        places = np.arange(count) if expression is None else np.flatnonzero(translations.faces["expression"] == expression)
        chosen[places] = np.random.default_rng([seed, number, 3]).choice(own, int(count), replace=False)
    return further, chosen


def joined_schema(base: Dataset, added: Added) -> AttributeSchema:
    """The data set's classes, and behind them those of added rows that it lacks; both flip maps where there are both."""
    own, more = base.schema, added.data.schema
    faces = added.data.faces.iloc[added.rows]
    expressions = tuple(name for name in more.expressions if name not in own.expressions and (faces["expression"] == name).any())
    lightings = tuple(name for name in more.lightings if name not in own.lightings and (faces["lighting"] == name).any())
    flip = dict(own.flip)
    if lightings:
        flip |= {name: more.flip.get(name, "") for name in lightings}
        whole = set(flip) == {*own.lightings, *lightings}
        flip = flip if whole and all(flip.get(mirrored) == name for name, mirrored in flip.items()) else {}
    return AttributeSchema(own.expressions + expressions, own.lightings + lightings, flip)


def jittered(images: Images, hulls: Masks, seeds: Sequence[Any]) -> Jittered:
    """Images uint8 n×H×H×3, every other one mirrored, turned, shifted, scaled, and changed in colour; hulls bool n×H×H likewise.

    Up to 10 degrees, 5 % of the side, 0.9 to 1.1 of the size; brightness, contrast and saturation by 0.7 to 1.3, hue by 0.05 of
    the circle. Each has a seed, so that an image is the same whatever comes with it.
    """
    import torch
    from torchvision import tv_tensors  # takes seconds to import
    from torchvision.transforms import v2

    change = v2.Compose(
        [
            v2.RandomAffine(ROTATION, (SHIFT, SHIFT), SCALES, interpolation=v2.InterpolationMode.BILINEAR),
            v2.ColorJitter(BRIGHTNESS, CONTRAST, SATURATION, HUE),
        ]
    )
    made = Jittered(np.empty_like(images), np.empty_like(hulls), np.empty(len(images), np.bool_))
    with torch.random.fork_rng(devices=[]):
        for place, seed in enumerate(seeds):
            torch.manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
            made.mirrored[place] = bool(torch.rand(1) < 0.5)
            step = -1 if made.mirrored[place] else 1
            pixels = torch.from_numpy(np.ascontiguousarray(images[place][:, ::step])).permute(2, 0, 1)
            hull = torch.from_numpy(np.ascontiguousarray(hulls[place][None, :, ::step])).to(torch.uint8)
            image, mask = change(tv_tensors.Image(pixels), tv_tensors.Mask(hull))
            made.images[place] = image.permute(1, 2, 0).numpy()
            made.hulls[place] = mask[0].numpy() > 0
    return made


def _parts(base: Dataset, added: Added, arm: Arm) -> Iterator[Part]:
    for rows in _chunks(base.rows()):
        faces = _faces(base, rows, "", base.faces["duplicate_of"].iloc[rows])
        yield Part(faces, np.asarray(base.images[rows]), np.asarray(base.packed_hulls[rows]))
    source = added.data
    for start in range(0, len(added.rows), AT_ONCE):
        rows = added.rows[start : start + AT_ONCE]
        images, hulls = np.asarray(source.images[rows]), np.asarray(source.packed_hulls[rows])
        original = pd.Series(rows if added.copies else [None] * len(rows), dtype="Int64")
        faces = _faces(source, rows, arm, original).assign(split="train")
        if added.jitter is not None:
            images, masks, mirrored = added.jitter(images, source.hulls(rows), range(start, start + len(rows)))
            hulls = pack_mask(masks)
            flipped = faces["lighting"].map(source.schema.flip or {name: name for name in source.schema.lightings})
            faces["lighting"] = faces["lighting"].mask(mirrored, flipped)
            faces["yaw"] = faces["yaw"].mask(mirrored, -faces["yaw"])
        yield Part(faces, images, hulls)


def _faces(data: Dataset, rows: Rows, arm: str, duplicate_of: "pd.Series[int]") -> pd.DataFrame:
    """Rows as an arm's data set has them: no translation or jittered image is one to measure on. Landmarks are the source's."""
    faces = data.faces.iloc[rows]
    before = faces["synthetic"].eq(True).to_numpy(np.bool_) if "synthetic" in faces else np.zeros(len(rows), np.bool_)
    synthetic = np.full(len(rows), True) if arm in ("legan", "jitter") else before
    return faces[_KEPT].assign(
        duplicate_of=duplicate_of.to_numpy(), synthetic=synthetic, added_as=arm, row_there=np.asarray(rows, np.int64)
    )


def _images(data: Dataset, rows: Rows) -> Iterator[Images]:
    for part in _chunks(rows):
        yield from np.asarray(data.images[part])


def _chunks(rows: Rows) -> Iterator[Rows]:
    for start in range(0, len(rows), AT_ONCE):
        yield rows[start : start + AT_ONCE]


def _digest(image: Images) -> bytes:
    return hashlib.sha256(image.tobytes()).digest()


def counts_of(data: Dataset) -> Mapping[str, int]:
    """Images and people that train, and how many of the images were added."""
    rows = data.rows("train")
    added = int((data.faces["added_as"].iloc[rows] != "").sum()) if "added_as" in data.faces else 0
    return {"images": len(rows), "added": added, "people": len(set(data.subject[rows].tolist()))}
