"""How well a model does what it was asked, on subjects it never saw, beside *copy input* and *real images*.

Where the data has an image of the same subject with the wanted expression and lighting, the output is compared with it; where
it has none, with the source, and every such number says ``to_source`` in its name. A generator that copies its input scores
well against the source and badly on accuracy; one that forgets the person does the opposite: read all columns.

Shapes: n pairs, B batch, H×W pixels. Images inside are float32 B×3×H×W in [-1, 1].
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from legan.models.expression import AttributeClassifier
from legan.models.identity import FacenetIdentity, LightCNN
from legan.platform.data.dataset import Dataset, Split
from legan.platform.errors import ConfigError, DataError
from legan.platform.evaluation.metrics import feature_correlation, is_class, l1_distance, structural_similarity
from legan.platform.model import Model, StoredNetwork, weights_hash

Rows = NDArray[np.int64]
Reference = Literal["target", "source"]

METHODS = ("output", "copy input", "real images")
OUTSIDE_HULL = -1.0  # black
BATCH = 64


@dataclass(frozen=True)
class Judges:
    """Who scores: networks that the model was not trained with."""

    classifier: AttributeClassifier
    matcher: LightCNN | FacenetIdentity


@dataclass(frozen=True)
class Evaluation:
    """What came out.

    ``scores`` has a row per pair and method; ``table`` the means, a row per method and a column per metric; ``classes`` the
    accuracy per expression and per lighting. ``strangers`` is the mean match of real images of different subjects: a match of
    that size says nothing about the person. None where all pairs are of one subject.
    """

    reference: Reference
    pairs: pd.DataFrame
    scores: pd.DataFrame
    table: pd.DataFrame
    classes: pd.DataFrame
    strangers: float | None


def choose_pairs(data: Dataset, count: int, seed: int, split: Split = "test") -> pd.DataFrame:
    """At most ``count`` translations to ask for on a split, the same for the same seed.

    Columns: source_row, target_row (missing where the data has no targets), subject, source_expression, source_lighting,
    expression, lighting (names; the last two are what is asked for). Where there are targets, all combinations that occur get
    an equal share, each target comes once before any comes twice, and sources of the target's own session go first. Exact
    duplicates are left out. Raises DataError when the split is empty.
    """
    rows = data.rows(split)
    rows = rows[data.faces["duplicate_of"].isna().to_numpy()[rows]]
    if len(rows) == 0:
        raise DataError(f"the data set {data.path} has no {split} split to evaluate on; prepare it with held-out subjects.")
    rng = np.random.default_rng(seed)
    rows = rng.permutation(rows)
    chosen = list(_with_targets(data, rows, count, rng)) or list(_without_targets(data, rows, count, rng))
    source, target, expression, lighting = (list(column) for column in zip(*chosen, strict=True))
    return pd.DataFrame(
        {
            "source_row": source,
            "target_row": pd.array([pd.NA if row < 0 else row for row in target], dtype="Int64"),
            "subject": data.subject[source],
            "source_expression": [data.schema.expressions[data.expression[row]] for row in source],
            "source_lighting": [data.schema.lightings[data.lighting[row]] for row in source],
            "expression": [data.schema.expressions[index] for index in expression],
            "lighting": [data.schema.lightings[index] for index in lighting],
        }
    )


def reference_of(pairs: pd.DataFrame) -> Reference:
    """What outputs are compared with: the true targets, or the sources where there are none."""
    return "source" if pairs["target_row"].isna().any() else "target"


def check_judges(model: Model, data: Dataset, classifier: StoredNetwork, matcher: StoredNetwork) -> Judges:
    """The judges, if all four belong together and the judges are independent.

    Raises ConfigError with every problem: other classes, other image sizes, networks of another kind, a matcher that the
    generator was trained with.
    """
    problems = []
    wanted = model.schema.to_dict()
    if _differs(wanted, data.schema.to_dict()):
        problems.append(f"the data set has other classes than the model; {_difference(wanted, data.schema.to_dict())}")
    if not isinstance(classifier.module, AttributeClassifier):
        problems.append(f"--classifier is a {classifier.kind}; give a network of `legan train classifier`")
    elif "schema" not in classifier.info:
        problems.append("--classifier does not say which classes it knows; train it anew with `legan train classifier`")
    elif _differs(wanted, classifier.info["schema"]):
        problems.append(f"--classifier knows other classes than the model; {_difference(wanted, classifier.info['schema'])}")
    if not isinstance(matcher.module, LightCNN | FacenetIdentity):
        problems.append(f"--matcher is a {matcher.kind}; give a network of `legan train identity`")
    elif weights_hash(matcher.module) == model.info.get("identity_weights"):
        problems.append(
            "--matcher is the T that the generator was trained with, so its score would reward that; give another one"
        )
    sizes = {
        "the data set": data.image_size,
        "--classifier": classifier.numbers.get("image_size"),
        "--matcher": matcher.numbers.get("image_size"),
    }
    problems += [
        f"{name} is for {size}×{size} images, the model for {model.image_size}×{model.image_size}"
        for name, size in sizes.items()
        if size not in (None, model.image_size)
    ]
    if problems:
        raise ConfigError(problems)
    return Judges(cast("AttributeClassifier", classifier.module), cast("LightCNN | FacenetIdentity", matcher.module))


def evaluate_pairs(model: Model, data: Dataset, pairs: pd.DataFrame, judges: Judges, device: torch.device) -> Evaluation:
    """Translate every pair's source and score output, copied input and real image; networks are moved to ``device``.

    The model is used in float32. Images are streamed; only one number per pair, method and metric is kept.
    """
    for network in (model.generator, model.quality, judges.classifier, judges.matcher):
        if network is not None:
            network.to(device).eval()
    reference = reference_of(pairs)
    parts, features = [], []
    for start in range(0, len(pairs), BATCH):
        piece = pairs.iloc[start : start + BATCH]
        with torch.inference_mode():
            by_method, real_features = _score_batch(model, data, piece, judges, reference, device)
            features.append(real_features.cpu())
            for method, metrics in by_method.items():
                values = {name: value.double().cpu().numpy() for name, value in metrics.items()}
                parts.append(pd.DataFrame({"pair": piece.index, "method": method, **values}))
    scores = pd.concat(parts, ignore_index=True)
    strangers = match_of_strangers(torch.cat(features), pairs["subject"].to_numpy(np.str_))
    return Evaluation(reference, pairs, scores, _table(scores), _classes_table(scores, pairs), strangers)


def match_of_strangers(features: Tensor, subjects: NDArray[np.str_]) -> float | None:
    """Mean Pearson correlation of features n×F over all pairs of different subjects (n); None where there is but one."""
    names, label = np.unique(subjects, return_inverse=True)
    if len(names) == 1:
        return None
    centred = features.double() - features.double().mean(dim=1, keepdim=True)
    unit = F.normalize(centred, dim=1)
    correlation = unit @ unit.T
    different = torch.from_numpy(label[:, None] != label[None, :])
    return float(correlation[different].mean())


def load_batch(data: Dataset, rows: Rows, device: torch.device) -> Tensor:
    """Images of these rows, float32 B×3×H×W in [-1, 1]."""
    images = torch.from_numpy(np.ascontiguousarray(data.images[rows])).to(device)
    return images.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1


def label_batch(data: Dataset, pairs: pd.DataFrame, device: torch.device) -> tuple[Tensor, Tensor]:
    """Wanted expression and lighting classes, int64 B each."""
    expression = [data.schema.expression_index(name) for name in pairs["expression"]]
    lighting = [data.schema.lighting_index(name) for name in pairs["lighting"]]
    return torch.tensor(expression, device=device), torch.tensor(lighting, device=device)


def _score_batch(
    model: Model, data: Dataset, pairs: pd.DataFrame, judges: Judges, reference: Reference, device: torch.device
) -> tuple[dict[str, dict[str, Tensor]], Tensor]:
    """Every method's metrics, B values each, and the matcher's features of the real images, B×F."""
    source_rows = pairs["source_row"].to_numpy(np.int64)
    x, source_hull = load_batch(data, source_rows, device), _hulls(data, source_rows, device)
    wanted = label_batch(data, pairs, device)
    output = model.generator(x, data.schema.encode(*wanted)).image.float().clamp(-1, 1)
    if reference == "target":
        real_rows = pairs["target_row"].to_numpy(np.int64)
        real, real_labels, real_hull = load_batch(data, real_rows, device), wanted, _hulls(data, real_rows, device)
    else:
        real, real_hull = x, source_hull
        real_labels = (
            torch.from_numpy(data.expression[source_rows]).to(device),
            torch.from_numpy(data.lighting[source_rows]).to(device),
        )
    real_features = judges.matcher.features(real)
    scores = {}
    for method, image, labels, hull in (
        ("output", output, wanted, source_hull),
        ("copy input", x, wanted, source_hull),
        ("real images", real, real_labels, real_hull),
    ):
        expression, lighting = judges.classifier(image)
        scores[method] = {
            f"ssim_to_{reference}": structural_similarity(image, real),
            f"l1_to_{reference}": l1_distance(image, real),
            "expression_accuracy": is_class(expression, labels[0]),
            "lighting_accuracy": is_class(lighting, labels[1]),
            f"match_to_{reference}": feature_correlation(judges.matcher.features(image), real_features),
        }
        if model.quality is not None:
            scores[method]["quality"] = model.quality(torch.where(hull, image, OUTSIDE_HULL))
    return scores, real_features


def _hulls(data: Dataset, rows: Rows, device: torch.device) -> Tensor:
    return torch.from_numpy(data.hulls(rows)).unsqueeze(1).to(device)


def _table(scores: pd.DataFrame) -> pd.DataFrame:
    table = scores.drop(columns="pair").groupby("method").mean().loc[list(METHODS)]
    table.insert(0, "pairs", scores.groupby("method").size())
    return table


def _classes_table(scores: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Columns: attribute, name, pairs, and a column per method with the accuracy on pairs that ask for this class."""
    parts = []
    for attribute in ("expression", "lighting"):
        named = scores.assign(name=pairs[attribute].loc[scores["pair"]].to_numpy())
        means = named.pivot_table(index="name", columns="method", values=f"{attribute}_accuracy", aggfunc="mean")[list(METHODS)]
        means.insert(0, "pairs", pairs[attribute].value_counts())
        means = means.reset_index()
        means.insert(0, "attribute", attribute)
        parts.append(means)
    return pd.concat(parts, ignore_index=True).rename_axis(columns=None)


def _with_targets(data: Dataset, rows: Rows, count: int, rng: np.random.Generator) -> Iterator[tuple[int, int, int, int]]:
    """Source row, target row, expression, lighting; nothing when no subject has two different combinations."""
    combination = data.expression * len(data.schema.lightings) + data.lighting
    turn = pd.Series(combination[rows]).groupby(combination[rows]).cumcount().to_numpy()
    targets = rows[np.argsort(turn, kind="stable")]
    of_subject = {subject: rows[data.subject[rows] == subject] for subject in np.unique(data.subject[rows])}
    session = data.faces["session"].astype(str).to_numpy() if "session" in data.faces else np.zeros(len(data), np.str_)
    sources: dict[int, Rows] = {}
    given, again = 0, True
    for turn_number in range(len(rows)):
        if not again:
            return
        again = False
        for target in targets:
            if given == count:
                return
            if target not in sources:
                others = of_subject[data.subject[target]]
                others = rng.permutation(others[combination[others] != combination[target]])
                sources[target] = others[np.argsort(session[others] != session[target], kind="stable")]
            if turn_number < len(sources[target]):
                yield int(sources[target][turn_number]), int(target), int(data.expression[target]), int(data.lighting[target])
                given, again = given + 1, True


def _without_targets(data: Dataset, rows: Rows, count: int, rng: np.random.Generator) -> Iterator[tuple[int, int, int, int]]:
    for row in rows[:count]:
        yield int(row), -1, int(rng.integers(len(data.schema.expressions))), int(rng.integers(len(data.schema.lightings)))


def _differs(wanted: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    return any(list(wanted[kind]) != list(given[kind]) for kind in ("expressions", "lightings"))


def _difference(wanted: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """The first list of classes that differs, both ways."""
    kind = "expressions" if list(wanted["expressions"]) != list(given["expressions"]) else "lightings"
    return f"its {kind}: {', '.join(given[kind])}; the model's: {', '.join(wanted[kind])}"
