"""How well a model does what it was asked, on people held out of a data set, beside *copy input* and *real images*.

The output is compared with the true target, the same subject's image with the wanted expression and lighting. Data without such
images compares it with the source, and every such number says ``to_source`` in its name. A generator that copies its input
scores well against the source and badly on accuracy; one that forgets the person does the opposite. So read all columns.

Shapes: n pairs, B batch, H×W pixels. Images inside are float32 B×3×H×W in [-1, 1].
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from legan.models.dlib_identity import FaceJudge
from legan.models.expression import AttributeClassifier
from legan.models.quality import QualityModel
from legan.platform.data.dataset import Dataset, Split
from legan.platform.data.faces.find import Detector
from legan.platform.errors import CheckpointError
from legan.platform.evaluation.distances import DistancesTo, by_size, frechet_distance_of_few, kernel_distance
from legan.platform.evaluation.features import Extractor, identity_extractor
from legan.platform.evaluation.intervals import averages, intervals_table
from legan.platform.evaluation.measures.masks import mask_scores
from legan.platform.evaluation.measures.own_hull import RealFaces, own_hulls
from legan.platform.evaluation.measures.shade import known_lamps, people_bands, shade_of, towards_lamps
from legan.platform.evaluation.measures.turn import turn_bands, turn_of
from legan.platform.evaluation.metric_names import Need, Reference
from legan.platform.evaluation.pairs import Rows, label_batch, load_batch, reference_of, same_classes
from legan.platform.evaluation.scoring import FeatureDistances, ImageScores, Scorer, Seen, image_metrics
from legan.platform.model import Model

METHODS = ("output", "copy input", "real images")
BATCH = 64
TONES, TURNS = "skin tone", "head turn"
LEAST_APART = 50
"""Real images in no pair, from which on sets are compared with these alone."""


@dataclass(frozen=True)
class Judges:
    """Who scores: networks that the model was not trained with, save Q.

    ``perceptual`` is LPIPS's network and ``inception`` FID's; their metrics are left out where they are None. ``detector``
    finds the faces of outputs; without it they have their source's hull. ``strangers`` says
    of classifier and matcher whether they know people whom they judge, ``other_raters`` whether Q is a judging one (judges.py).
    ``one_person_from`` is the match from which on two faces are one person (same_person.py); None where that is not known.
    """

    classifier: AttributeClassifier
    matcher: FaceJudge
    quality: QualityModel | None = None
    perceptual: nn.Module | None = None
    inception: Extractor | None = None
    detector: Detector | None = None
    strangers: Mapping[str, str] = field(default_factory=dict)
    other_raters: str | None = None
    one_person_from: float | None = None

    def lacking(self) -> frozenset[Need]:
        """What metrics need and these judges lack; those metrics are left out."""
        optional: dict[Need, object] = {
            "inception": self.inception,
            "alexnet": self.perceptual,
            "quality": self.quality,
            "strangers": self.one_person_from,
        }
        return frozenset(need for need, network in optional.items() if network is None)

    def extractors(self) -> list[Extractor]:
        """The networks whose features compare sets of images."""
        return [identity_extractor(self.matcher), *([self.inception] if self.inception is not None else [])]


@dataclass(frozen=True)
class Evaluation:
    """What came out.

    ``scores`` has a row per pair and method; ``table`` the means and distances, a row per method and a column per metric;
    ``classes`` the same for each expression and lighting that is asked for, each skin tone, and each band of the source's |yaw|
    where there are several, a row per group and method.
    ``intervals`` are bootstrap intervals by method and metric. ``strangers`` is the mean match of real images of different
    subjects, None where all pairs are of one subject; a match of that size says nothing about the person. ``real_images`` is the
    number of real images of the ``split``, which the Fréchet and kernel distances are to: those ``in_no_pair``, where there are
    enough. ``train_images`` is that of the training split. ``sizes`` are Fréchet distances by the number of images taken.
    """

    reference: Reference
    pairs: pd.DataFrame
    scores: pd.DataFrame
    table: pd.DataFrame
    classes: pd.DataFrame
    strangers: float | None
    intervals: Mapping[str, Mapping[str, tuple[float, float]]]
    real_images: int
    split: Split = "test"
    in_no_pair: bool = True
    train_images: int = 0
    sizes: pd.DataFrame = field(default_factory=pd.DataFrame)


def evaluate_pairs(
    model: Model,
    data: Dataset,
    pairs: pd.DataFrame,
    judges: Judges,
    real: Mapping[str, Tensor],
    device: torch.device,
    split: Split = "test",
    train: Mapping[str, Tensor] | None = None,
) -> Evaluation:
    """Translate every pair's source and score output, copied input and real image; networks are moved to ``device``.

    ``real`` are the features (m×F) of all real images of the ``split`` by name of the extractor (reference.py), ``train`` some of
    the training split's. The model is used in float32. Images are streamed; only numbers and features are kept.

    Sets are compared with the real images that are source or target of no pair: held against themselves, copied inputs and true
    targets would be nearer to the real ones than any other images of the same people.
    """
    for network in (model.generator, judges.quality, judges.classifier, judges.matcher, judges.perceptual):
        if network is not None:
            network.to(device).eval()
    extractors = judges.extractors()
    for extractor in extractors:
        extractor.network.to(device)

    reference = reference_of(pairs)
    lamps = known_lamps(data, model.schema)
    functions = image_metrics(
        reference, extractors[0].name, judges.quality, judges.perceptual, lamps is not None, judges.detector is not None,
        judges.one_person_from,
    )  # fmt: skip
    scores = {method: ImageScores(functions) for method in METHODS}
    rows, alone = reference_rows(data, pairs, split)
    kept = torch.from_numpy(np.isin(data.real_rows(split), rows))
    to_real = {name: DistancesTo(features[kept]) for name, features in real.items()}
    to_train = {name: DistancesTo(features) for name, features in (train or {}).items()}
    distances = {
        method: [FeatureDistances(each, to_real[each.name], to_train.get(each.name)) for each in extractors] for method in METHODS
    }

    faces = RealFaces(data, judges.detector) if judges.detector is not None else None
    for start in range(0, len(pairs), BATCH):
        piece = pairs.iloc[start : start + BATCH]
        with torch.inference_mode():
            for method, seen in zip(METHODS, _views(model, data, piece, judges, extractors, faces, device), strict=True):
                scorers: Sequence[Scorer] = (scores[method], *distances[method])
                for scorer in scorers:
                    scorer.update(seen)

    frame = pd.concat(
        [pd.DataFrame({"pair": pairs.index, "method": method, **scores[method].values()}) for method in METHODS],
        ignore_index=True,
    )
    for name, values in mask_scores(model, data, pairs, device).items():
        frame.loc[frame["method"] == "output", str(name)] = values.to_numpy()
    numbers = {method: {**averages(_numbers(frame, method)), **_computed(distances[method])} for method in METHODS}
    table = pd.DataFrame(numbers).T.rename_axis("method")
    table.insert(0, "pairs", len(pairs))

    return Evaluation(
        reference,
        pairs,
        frame,
        table.astype({"pairs": int}),
        _classes_table(frame, *_groups(pairs, data, rows, split), distances),
        match_of_strangers(distances["real images"][0].features, pairs["subject"].to_numpy(np.str_)),
        intervals_table(frame, pairs["subject"]),
        len(rows),
        split,
        alone,
        max((len(features) for features in (train or {}).values()), default=0),
        _sizes_table(distances, numbers),
    )


def reference_rows(data: Dataset, pairs: pd.DataFrame, split: Split) -> tuple[Rows, bool]:
    """The real images of a split that sets are compared with, and whether they are those in no pair.

    Where fewer than LEAST_APART are in none, all are taken: a distance to a handful says less than one that knows the targets.
    """
    rows = data.real_rows(split)
    paired = pairs[["source_row", "target_row"]].to_numpy(np.float64)
    apart = rows[~np.isin(rows, paired[~np.isnan(paired)])]
    return (apart, True) if len(apart) >= LEAST_APART else (rows, False)


def _sizes_table(distances: Mapping[str, Sequence[FeatureDistances]], numbers: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """Columns: metric, method, images, distance; a row per number of images, the last one ``inf`` where it can be told.

    The distances of all images are in ``numbers``, by method and metric.
    """
    parts = []
    for method, of_method in distances.items():
        for each in of_method:
            against = {each.extractor.frechet: each.real, f"{each.extractor.frechet}_to_train": each.train}
            for name, real in against.items():
                found = {} if real is None else by_size(each.features, real.real, numbers[method][name])
                parts += [{"metric": name, "method": method, "images": size, "distance": value} for size, value in found.items()]
    return pd.DataFrame(parts)


def translate(model: Model, x: Tensor, asked: tuple[Tensor, Tensor]) -> Tensor:
    """What the model makes of images, float32 B×3×H×W in [-1, 1], asked for these classes; CheckpointError for NaN."""
    output: Tensor = model.generator(x, model.schema.encode(*asked)).image.float().clamp(-1, 1)
    if output.isnan().any():
        raise CheckpointError("the model's pictures are not numbers (NaN), so it cannot be scored; take an earlier checkpoint.")
    return output


def match_of_strangers(features: Tensor, subjects: NDArray[np.str_]) -> float | None:
    """Mean Pearson correlation of features n×F over all pairs of different subjects (n); None where there is but one."""
    names, label = np.unique(subjects, return_inverse=True)
    if len(names) == 1:
        return None
    centred = features.double() - features.double().mean(dim=1, keepdim=True)
    unit = F.normalize(centred, dim=1)
    # All pairs less those within a subject, from sums over images: no n×n matrix.
    counts = torch.from_numpy(np.bincount(label))
    of_subject = torch.zeros(len(names), unit.shape[1], dtype=torch.float64).index_add_(0, torch.from_numpy(label), unit)
    total = of_subject.sum(dim=0).square().sum() - of_subject.square().sum()
    return float(total / (counts.sum().square() - counts.square().sum()))


def _views(
    model: Model, data: Dataset, pairs: pd.DataFrame, judges: Judges, extractors: Sequence[Extractor], faces: RealFaces | None,
    device: torch.device,
) -> Iterator[Seen]:  # fmt: skip
    """What the metrics see of each method, in the order of METHODS."""
    source_rows = pairs["source_row"].to_numpy(np.int64)
    x, source_hull = load_batch(data, source_rows, device), _hulls(data, source_rows, device)
    asked = label_batch(model.schema, pairs, device)
    wanted: tuple[Tensor | None, Tensor | None] = asked
    output = translate(model, x, asked)
    if reference_of(pairs) == "target":
        real_rows = pairs["target_row"].to_numpy(np.int64)
        real, shown, real_hull = load_batch(data, real_rows, device), wanted, _hulls(data, real_rows, device)
    else:
        real_rows = source_rows
        real, shown, real_hull = x, _labels(model, data, source_rows, device), source_hull
    of_real = {each.name: each(real) for each in extractors}
    lamps = known_lamps(data, model.schema)
    of_source, of_target = shade_of(x, source_hull), shade_of(real, real_hull)
    own, found = (source_hull, None) if judges.detector is None else own_hulls(output, source_hull, judges.detector)
    found_in_source = None if faces is None else faces.found(source_rows, device)
    found_in_real = None if faces is None else faces.found(real_rows, device)
    views = ((output, wanted, own, found), (x, wanted, source_hull, found_in_source), (real, shown, real_hull, found_in_real))
    for image, labels, hull, has_face in views:
        features = of_real if image is real else {each.name: each(image) for each in extractors}
        shade = of_target if image is real else of_source if image is x else shade_of(image, hull)
        lamp = towards_lamps(lamps, labels[1]) if lamps is not None and labels[1] is not None else None
        expression, lighting = judges.classifier(image)
        yield Seen(
            image, real, hull, *labels, expression, lighting, features, of_real, shade, of_target, of_source, lamp,
            has_face,
        )  # fmt: skip


def _labels(model: Model, data: Dataset, rows: Rows, device: torch.device) -> tuple[Tensor | None, Tensor | None]:
    """The images' own classes, where the data names the model's."""
    if not same_classes(model.schema, data.schema):
        return None, None
    return torch.from_numpy(data.expression[rows]).to(device), torch.from_numpy(data.lighting[rows]).to(device)


def _hulls(data: Dataset, rows: Rows, device: torch.device) -> Tensor:
    return torch.from_numpy(data.hulls(rows)).unsqueeze(1).to(device)


def _numbers(scores: pd.DataFrame, method: str) -> pd.DataFrame:
    """The scores of a method, a row per pair."""
    return scores[scores["method"] == method].drop(columns=["pair", "method"])


def _computed(distances: Sequence[FeatureDistances]) -> dict[str, float]:
    found: dict[str, float] = {}
    for distance in distances:
        found.update(distance.compute())
    return found


def _groups(pairs: pd.DataFrame, data: Dataset, rows: Rows, split: Split) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the pairs, and the real images in ``rows``, are grouped by: classes, the person's skin tone, and the head's turn."""
    bands, turns = people_bands(data, data.real_rows(split)), turn_bands(turn_of(data))
    asked = pairs[["expression", "lighting"]].assign(**{TONES: pairs["subject"].astype(str).map(bands)})
    shown = data.faces[["expression", "lighting"]].iloc[rows].assign(**{TONES: [bands[str(each)] for each in data.subject[rows]]})
    own = turns[pairs["source_row"].to_numpy(np.int64)]
    return (asked.assign(**{TURNS: own}), shown.assign(**{TURNS: turns[rows]})) if len(set(own)) > 1 else (asked, shown)


def _classes_table(
    scores: pd.DataFrame, asked: pd.DataFrame, real: pd.DataFrame, distances: Mapping[str, Sequence[FeatureDistances]]
) -> pd.DataFrame:
    """Columns: attribute, name, method, pairs, and every metric over the pairs that ask for this class, or are of this group.

    ``asked`` and ``real`` are the groups of pairs and of real images. Fréchet and kernel distances are to those of the same
    group; a class that the data doesn't name has none.
    """
    parts: list[dict[str, Any]] = []
    for attribute in asked:
        labels = real[attribute].to_numpy()
        for name in dict.fromkeys(sorted(asked[attribute])):
            chosen = np.flatnonzero((asked[attribute] == name).to_numpy())
            same = np.flatnonzero(labels == name)
            for method in METHODS:
                part = averages(_numbers(scores, method).iloc[chosen])
                row: dict[str, Any] = {"attribute": attribute, "name": name, "method": method, "pairs": len(chosen), **part}
                for distance in distances[method]:
                    row |= _distances_of_class(distance, chosen, same)
                parts.append(row)
    return pd.DataFrame(parts)


def _distances_of_class(distance: FeatureDistances, asked: Rows, real: Rows) -> dict[str, float]:
    x, y = distance.features[asked], distance.real.real[real]
    return {distance.extractor.frechet: frechet_distance_of_few(x, y), distance.extractor.kernel: kernel_distance(x, y)}
