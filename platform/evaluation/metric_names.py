"""What every metric is: one table, from which tables, reports, progress lines, objectives and docs take names and directions.

Metrics named ``eval/…`` are measured on the test split, those named ``val/…`` on the validation split. Nothing here is measured,
and nothing heavy is imported.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

Better = Literal["lower", "higher"]
Need = Literal["inception", "alexnet", "matcher", "classifier", "quality", "masks", "lamps", "strangers"]
Prefix = Literal["eval/", "val/"]
Average = Literal["mean", "median"]
Reference = Literal["target", "source"]
"""What outputs are compared with: the true image of what was asked for, or the input where the data has none."""

PREFIXES: dict[str, Prefix] = {"val": "val/", "test": "eval/"}
"""How the names of what an evaluation measures on a split begin."""
SPLITS = ("train", "val", "test")
ABOVE = "†"
ABOVE_NOTE = f"{ABOVE}: above what the judge gives real images, so more of it is no better; it is what this judge likes."
"""Beside an accuracy that outputs reach and real images do not, and what that means."""
COPY_INPUT, REAL_IMAGES = "Copy input", "Real images"
"""The rows that every table has beside its methods; an evaluation names them in small letters."""


@dataclass(frozen=True)
class Metric:
    """A row of the table: ``title`` for people, ``scale`` the range of its values, ``better`` None where neither way is.

    ``name`` stands behind ``prefix`` in MLflow and alone in tables; ``{reference}`` and ``{split}`` in it are filled in.
    ``needs`` is what it is left out without: networks, the model's masks, lamps. A metric ``of_sets`` is a distance between two
    sets of images: it depends on their number N and has no interval. Of the others a table has the ``average`` over images.
    Those that are not ``main`` are for files alone, not for the tables that people read.

    >>> SSIM.key("target"), SSIM.better, SSIM.names
    ('ssim_to_target', 'higher', ('eval/ssim_to_target', 'eval/ssim_to_source'))
    """

    name: str
    title: str
    scale: str
    better: Better | None
    needs: tuple[Need, ...] = ()
    of_sets: bool = False
    prefix: Prefix = "eval/"
    average: Average = "mean"
    main: bool = True

    @property
    def compared(self) -> bool:
        """Whether it compares each output with a reference, which is then part of its name."""
        return "{reference}" in self.name

    @property
    def arrow(self) -> str:
        """Which way it is better, as a sign."""
        return {"lower": "↓", "higher": "↑", None: ""}[self.better]

    @property
    def names(self) -> tuple[str, ...]:
        """All its names in MLflow."""
        return self.names_under(self.prefix)

    def names_under(self, prefix: Prefix) -> tuple[str, ...]:
        """The same where it is measured on the split of this prefix."""
        return tuple(f"{prefix}{filled}" for filled in _filled(self.name))

    @property
    def stem(self) -> str:
        """Its name without what it is compared with."""
        return self.name.removesuffix("_to_{reference}")

    def key(self, reference: Reference) -> str:
        """Its name in a table of an evaluation whose outputs are compared with ``reference``."""
        return self.name.format(reference=reference)


FID = Metric("fid", "FID", "0 and up", "lower", ("inception",), of_sets=True)
KID = Metric("kid", "KID", "about 0 and up", "lower", ("inception",), of_sets=True, main=False)
LPIPS = Metric("lpips_to_{reference}", "LPIPS", "0 and up", "lower", ("alexnet",))
SSIM = Metric("ssim_to_{reference}", "SSIM", "-1 to 1", "higher")
MATCH = Metric("match_to_{reference}", "Match", "-1 to 1", "higher", ("matcher",))
SAME_PERSON = Metric("same_person_to_{reference}", "Same person", "0 to 1", "higher", ("matcher", "strangers"))
QUALITY = Metric("quality", "Quality", "about 0 to 10", "higher", ("quality",))
FD_IDENTITY = Metric("fd_identity", "FD identity", "0 and up", "lower", ("matcher",), of_sets=True)
KD_IDENTITY = Metric("kd_identity", "KD identity", "about 0 and up", "lower", ("matcher",), of_sets=True, main=False)
FID_TO_TRAIN = Metric("fid_to_train", "FID to training images", "0 and up", "lower", ("inception",), of_sets=True, main=False)
FD_IDENTITY_TO_TRAIN = Metric(
    "fd_identity_to_train", "FD identity to training images", "0 and up", "lower", ("matcher",), of_sets=True, main=False
)
L1 = Metric("l1_to_{reference}", "L1", "0 to 2", "lower")
EXPRESSION_ACCURACY = Metric("expression_accuracy", "Expression accuracy", "0 to 1", "higher", ("classifier",))
LIGHTING_ACCURACY = Metric("lighting_accuracy", "Lighting accuracy", "0 to 1", "higher", ("classifier",))
MASK_EXPRESSION = Metric("mask_expression", "Me shows the change", "-1 to 1", "higher", ("masks",), average="median")
MASK_LIGHTING = Metric("mask_lighting", "Ml shows the change", "-1 to 1", "higher", ("masks",), average="median")
SIDE_LIGHT = Metric("side_light_to_{reference}", "Left–right light", "0 to 100 (L*)", "lower", main=False)
HEIGHT_LIGHT = Metric("height_light_to_{reference}", "Top–bottom light", "0 to 100 (L*)", "lower", main=False)
LIGHT_ANGLE = Metric("light_angle", "Light's direction", "0 to 180 degrees", "lower", ("lamps",), average="median")
TONE = Metric("ita_to_{reference}", "Skin tone", "0 to 360 degrees (ITA)", "lower")
TONE_CHANGE = Metric("ita_change", "Skin lighter than the source", "degrees (ITA)", None, main=False)
FACE_FOUND = Metric("face_found", "Face found", "0 to 1", "higher")

EVALUATION = (
    FID, LPIPS, SSIM, MATCH, SAME_PERSON, QUALITY, FD_IDENTITY, EXPRESSION_ACCURACY, LIGHTING_ACCURACY, KID, L1, KD_IDENTITY,
    MASK_EXPRESSION, MASK_LIGHTING, LIGHT_ANGLE, TONE, SIDE_LIGHT, HEIGHT_LIGHT, TONE_CHANGE,
    FACE_FOUND, FID_TO_TRAIN, FD_IDENTITY_TO_TRAIN,
)  # fmt: skip
"""What an evaluation measures, the most telling first: ``eval/…`` of test people, ``val/…`` of those by whom is chosen."""

RATING_MAE = Metric("rating_mae", "Error of the rating", "0 to 10", "lower")
RATING_PEARSON = Metric("rating_pearson", "Pearson with the rating", "-1 to 1", "higher")
RATING_SPEARMAN = Metric("rating_spearman", "Spearman with the rating", "-1 to 1", "higher")
RATING_INSIDE = Metric("rating_inside_margin", "Inside the raters' margin", "0 to 1", "higher")

RATED = (RATING_MAE, RATING_PEARSON, RATING_SPEARMAN, RATING_INSIDE)
"""What trials that train Q are compared by."""

EXPRESSION_AUC = Metric("expression_auc", "Expression ROC AUC", "0 to 1", "higher")
"""What ``legan evaluate expression`` measures of Table 5's classifier: the mean over the classes."""

VALIDATION = (
    Metric("l1_to_target", "L1 to target", "0 to 2", "lower", prefix="val/"),
    Metric("l1_cycle", "L1 after there and back", "0 to 2", "lower", prefix="val/"),
    Metric("luma_error", "L1 of the brightness", "0 to 2", "lower", prefix="val/"),
    Metric("chroma_share", "Chroma, of the originals' 1", "0 and up", None, prefix="val/"),
    Metric("verification_auc", "Verification AUC", "0 to 1", "higher", prefix="val/"),
    Metric("rating_error", "Error of the rating", "0 to 10", "lower", prefix="val/"),
    Metric("rating_correlation", "Correlation with the rating", "-1 to 1", "higher", prefix="val/"),
    Metric("share_inside_margin", "Share inside the raters' margin", "0 to 1", "higher", prefix="val/"),
    Metric("expression_accuracy", "Expression accuracy", "0 to 1", "higher", prefix="val/"),
    Metric("lighting_accuracy", "Lighting accuracy", "0 to 1", "higher", prefix="val/"),
    Metric("both_accuracy", "Accuracy of both", "0 to 1", "higher", prefix="val/"),
    Metric("expression_auc", "Expression ROC AUC", "0 to 1", "higher", prefix="val/"),
)
"""What trainings measure on the way: translators the first two, a recolourer the first, the third and the fourth (and SSIM, which
evaluations have too), then T, Q, the judge and the classifier of expressions."""

RATINGS = (
    Metric("ratings/{split}/error", "Error", "0 to 10", "lower", ("quality",)),
    Metric("ratings/{split}/pearson", "Pearson", "-1 to 1", "higher", ("quality",)),
    Metric("ratings/{split}/spearman", "Spearman", "-1 to 1", "higher", ("quality",)),
    Metric("ratings/{split}/inside_margin", "Inside margin", "0 to 1", "higher", ("quality",)),
    Metric("ratings/{split}/mean_rating", "Mean rating", "0 to 10", None),
    Metric("ratings/{split}/mean_prediction", "Mean prediction", "about 0 to 10", None, ("quality",)),
    Metric("ratings/{split}/constant_error", "Constant error", "0 to 10", None),
    Metric("ratings/{split}/constant_inside", "Constant inside", "0 to 1", None),
)
"""What ``legan ratings report`` measures of Q."""

VERIFICATION = (
    Metric("tpr_at_fpr_0.01_of_folds", "TPR at FPR 1 %, mean of folds", "0 to 1", "higher"),
    Metric("tpr_at_fpr_0.01_sd_of_folds", "TPR at FPR 1 %, sd of folds", "0 to 1", None),
    Metric("fpr_of_folds", "FPR of folds", "0 to 1", None),
    Metric("tpr_at_fpr_0.01", "TPR at FPR 1 %", "0 to 1", "higher"),
    Metric("tpr_at_fpr_0.001", "TPR at FPR 0.1 %", "0 to 1", "higher"),
    Metric("fnmr_at_fmr_0.01", "FNMR at FMR 1 %", "0 to 1", "lower"),
    Metric("fnmr_at_fmr_0.001", "FNMR at FMR 0.1 %", "0 to 1", "lower"),
    Metric("equal_error_rate", "Equal error rate", "0 to 1", "lower"),
    Metric("roc_auc", "ROC AUC", "0 to 1", "higher"),
    Metric("failure_to_acquire", "Failure to acquire", "0 to 1", "lower"),
)
"""What ``legan evaluate verification`` measures of T: Table 4. The list of pairs stands between ``eval/`` and the name."""

LACKING: dict[Need, str] = {
    "inception": "its weights are not here; get them with `legan weights inception`",
    "alexnet": "its weights are not here; get them with `legan weights alexnet`",
    "quality": "there is no Q to measure it; give one with --quality",
    "matcher": "there is no face matcher to measure it; give one with --matcher",
    "classifier": "there is no classifier to measure it; give one with --classifier",
    "lamps": "where the light comes from is known of rendered faces alone",
    "strangers": "val shows fewer than 100 pairs of strangers; give data with more people in the split val",
    "masks": "the generator makes no masks; LEGAN does, with generator.disentangled=true",
}
"""What to say of a metric that needs what is missing."""

METRICS = (*EVALUATION, *RATED, EXPRESSION_AUC, *VALIDATION, *VERIFICATION, *RATINGS)

_OLD_PREFIX = "validation/"
_VALIDATED = {f"eval/{metric.name}" for metric in VALIDATION}


def canonical(name: str) -> str:
    """Today's name of a metric: ``validation/x`` is ``val/x``, and so is ``eval/x`` where x is measured on validation only.

    >>> canonical("validation/l1_to_target"), canonical("eval/both_accuracy"), canonical("loss/g_total")
    ('val/l1_to_target', 'val/both_accuracy', 'loss/g_total')
    """
    if name in _VALIDATED and name not in _TESTED:
        return f"val/{name.removeprefix('eval/')}"
    return f"val/{name.removeprefix(_OLD_PREFIX)}" if name.startswith(_OLD_PREFIX) else name


def find(name: str) -> Metric | None:
    """The row of a metric by its name in MLflow or in an evaluation's table, or by its stem; None for what is in no row.

    >>> find("eval/lpips_to_source").title, find("val/ssim_to_target").better, find("validation/l1_cycle").prefix
    ('LPIPS', 'higher', 'val/')
    >>> find("loss/g_total")
    """
    return _BY_NAME.get(canonical(name)) or _BY_NAME.get(f"eval/{name}") or _BY_STEM.get(name)


def titled(title: str) -> Metric | None:
    """The metric of an evaluation by its title; None for a column that no evaluation measures."""
    return next((metric for metric in (*EVALUATION, *RATED) if metric.title == title), None)


def metric_key(title: str, reference: Reference) -> str | None:
    """The name in an evaluation of a column; ``reference`` is what images are compared with. None for what isn't evaluated."""
    found = titled(title)
    return None if found is None else found.key(reference)


def lower_is_better(title: str) -> bool:
    """Whether the smaller number of a column is the better one."""
    found = titled(title)
    return found is not None and found.better == "lower"


def arrow(title: str) -> str:
    """Which way a column is better."""
    return "↓" if lower_is_better(title) else "↑"


def fixed_row(method: str, title: str, reference: Reference) -> str | None:
    """The row of an evaluation from which *Copy input* or *Real images* takes a column's number; None where it has none.

    Real images held against themselves say nothing. Their match is that of two real images of one person, as of copied inputs;
    so is the share of the same person.
    """
    found = titled(title)
    if method == REAL_IMAGES and found is not None and found.compared:
        return COPY_INPUT.lower() if found in (MATCH, SAME_PERSON) and reference == "target" else None
    return method.lower()


def above_real(metric: str, value: float | None, real: float | None) -> bool:
    """Whether a judge gives outputs a higher accuracy than real images; ``metric`` is its name in an evaluation, or its title.

    >>> above_real("lighting_accuracy", 0.98, 0.97), above_real("SSIM", 0.98, 0.97)
    (True, False)
    """
    accuracy = any(metric in (each.name, each.title) for each in (EXPRESSION_ACCURACY, LIGHTING_ACCURACY))
    return accuracy and value is not None and real is not None and value > real


def needing(need: Need) -> list[Metric]:
    """The metrics of an evaluation that are left out where something is missing."""
    return [metric for metric in EVALUATION if need in metric.needs]


def heading(name: str) -> str:
    """A metric's name in a table, for people: its title, what it is compared with and which way it is better.

    >>> heading("ssim_to_target"), heading("fid"), heading("pairs")
    ('SSIM to target ↑', 'FID ↓', 'pairs')
    """
    metric = find(name)
    if metric is None:
        return name.replace("_", " ")
    return " ".join([metric.title, *(["to", name.rpartition("_")[2]] if metric.compared else []), metric.arrow]).rstrip()


def shown(names: Iterable[str]) -> list[str]:
    """Those columns of a table that people read: what is no metric, and the main ones of what is.

    >>> shown(["pairs", "fid", "kid"])
    ['pairs', 'fid']
    """
    return [name for name in names if (metric := find(name)) is None or metric.main]


def _filled(name: str) -> Iterator[str]:
    """A name with each reference or split in its place."""
    references: tuple[Reference, ...] = ("target", "source")
    if "{reference}" in name:
        yield from (name.format(reference=reference) for reference in references)
    elif "{split}" in name:
        yield from (name.format(split=split) for split in SPLITS)
    else:
        yield name


_BY_STEM = {metric.stem: metric for metric in EVALUATION}
_BY_NAME = {name: metric for metric in (*EVALUATION, *RATED) for name in metric.names_under("val/")}
_BY_NAME |= {name: metric for metric in METRICS for name in metric.names}
_TESTED = {name for metric in (*EVALUATION, *RATED, EXPRESSION_AUC, *VERIFICATION, *RATINGS) for name in metric.names}
