"""A verification as files: tables for people and programs, and the ROC as numbers and as a picture."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from legan.platform.evaluation.figures import csv_text
from legan.platform.evaluation.metric_names import heading
from legan.platform.evaluation.verification.pair_lists import RATES
from legan.platform.evaluation.verification.result import Verification, numbers_of, of_folds
from legan.platform.files import whole_file, write_whole

FILE = "verification.json"
POINTS = 500
"""Points of the ROC, at most, in files: evenly spread over the logarithm of the rate."""
READING = (
    "The score of a pair is the Pearson correlation of its features. TPR at FPR r: the share of the pairs of one person that "
    "reach the lowest score which at most r of the pairs of strangers reach. It is over all pairs of the list. A pair that could "
    "not be compared, since the data set could not use an image, passes nothing. FNMR at FMR are as in ISO/IEC 19795-1, over the "
    "comparisons that were made; the share of the others is the failure to acquire."
)
FOLDS = (
    "TPR of folds: the threshold of each fold is set on the pairs of all other folds, at FPR {rate:.0%} of those, and the fold "
    "is scored by it. So nothing is chosen on what is scored, and FPR on the folds is near {rate:.0%}, not equal. ± is the "
    "standard deviation between folds. The other numbers are pooled over all pairs: a fold has too few strangers for 0.1 %."
)


def write_report(out: Path, done: Verification, about: Mapping[str, Any]) -> list[Path]:
    """Write verification.md, roc.csv, roc.png and last verification.json into ``out``, and name them."""
    out.mkdir(parents=True, exist_ok=True)
    (out / FILE).unlink(missing_ok=True)
    write_whole(out / "verification.md", markdown_report(done, about))
    points = thinned(done)
    write_whole(out / "roc.csv", csv_text(("fmr", "tmr", "threshold"), points.tolist()))
    with whole_file(out / "roc.png") as draft:
        draft.write_bytes(roc_picture(done, f"{about['network']} on {about['list']} ({about['data']})"))
    write_whole(out / FILE, json.dumps(json_report(done, about), indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return [out / name for name in ("verification.md", "roc.csv", "roc.png", FILE)]


def json_report(done: Verification, about: Mapping[str, Any]) -> dict[str, Any]:
    """All numbers as plain values."""
    return {
        **about,
        "metrics": numbers_of(done),
        "rates": [
            {
                "rate": each.rate,
                "threshold": each.every_pair.threshold,
                "fpr": each.every_pair.false_positives,
                "tpr": each.every_pair.true_positives,
                "tpr_interval": each.interval,
                "fmr": each.made.false_positives,
                "fnmr": 1 - each.made.true_positives,
            }
            for each in done.at_rates
        ],
        "folds": [
            {
                "fold": fold.number,
                "threshold": fold.passing.threshold,
                "fpr": fold.passing.false_positives,
                "tpr": fold.passing.true_positives,
            }
            for fold in done.folds
        ],
    }


def rows_of(done: Verification) -> list[tuple[str, str, str]]:
    """A row per number, for people: what it is, its value, and its 95 % interval or the folds' standard deviation."""
    spans = {f"tpr_at_fpr_{each.rate:g}": each.interval for each in done.at_rates}
    rows, folds = [], of_folds(done)
    for name, value in numbers_of(done).items():
        span = spans.get(name)
        beside = "" if span is None else f"{span[0]:.4f} – {span[1]:.4f}"
        if folds is not None and name == f"tpr_at_fpr_{RATES[0]:g}_of_folds":
            beside = f"± {folds[1]:.4f} over {len(done.folds)} folds"
        if not name.endswith("_sd_of_folds"):
            rows.append((heading(name), f"{value:.4f}", beside))
    return rows


def markdown_report(done: Verification, about: Mapping[str, Any]) -> str:
    """All numbers as Markdown, with what was compared above and how to read them below."""
    lines = [f"# Verification: {about['network']} on {about['list']}", ""]
    lines += [f"- {name.replace('_', ' ')}: {_said(value)}" for name, value in about.items() if value not in (None, {}, [])]
    over = about["intervals_over"]
    lines += ["", f"| | value | 95 % over draws of a {over}, or ± |", "| --- | --- | --- |"]
    lines += [f"| {' | '.join(row)} |" for row in rows_of(done)]
    lines += ["", READING]
    if done.folds:
        lines += ["", "| fold | threshold | FPR | TPR |", "| --- | --- | --- | --- |"]
        lines += [f"| {each.number} | {_score(each.passing.threshold)} | {each.passing.false_positives:.4f} | "
                  f"{each.passing.true_positives:.4f} |" for each in done.folds]  # fmt: skip
        lines += ["", FOLDS.format(rate=RATES[0])]
    return "\n".join(lines) + "\n"


def thinned(done: Verification) -> NDArray[np.float64]:
    """At most POINTS + 2 points of the ROC, both ends among them: FMR, TMR (1 - FNMR) and threshold each, float64 n×3."""
    curve = np.stack(done.roc, axis=1)
    if len(curve) > POINTS:
        least = curve[curve[:, 0] > 0, 0].min()
        wanted = np.geomspace(least, 1, POINTS)
        curve = curve[np.unique([0, len(curve) - 1, *(np.searchsorted(curve[:, 0], wanted, side="right") - 1)])]
    return np.where(np.isinf(curve), np.nan, curve)


def roc_picture(done: Verification, title: str) -> bytes:
    """The ROC as PNG, FMR on a logarithmic axis, with the rates of Table 4."""
    import io

    from matplotlib.figure import Figure  # takes longer to import than a photograph to compare

    points = thinned(done)
    least = max(1 / max(done.compared.pairs[0] - done.compared.lost[0], 1), 1e-7)
    figure = Figure(figsize=(6, 5), dpi=130, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    axes.step(np.maximum(points[:, 0], least), points[:, 1], where="post", color="#2a5d9f")
    for each in done.at_rates:
        axes.plot([each.rate], [each.made.true_positives], "o", color="#b5432a")
        label = f"{each.made.true_positives:.3f} at {each.rate:.1%}"
        axes.annotate(label, (each.rate, each.made.true_positives), xytext=(6, -12), textcoords="offset points", fontsize=8)
    axes.set(xscale="log", xlim=(least, 1), ylim=(0, 1.02), xlabel="FMR (false positives)", ylabel="1 − FNMR (true positives)")
    axes.set_title(title, fontsize=9, parse_math=False)
    axes.grid(visible=True, which="both", color="#e4e4e0", linewidth=0.6)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _said(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {each}" for key, each in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _score(threshold: float | None) -> str:
    return "–" if threshold is None else f"{threshold:.6f}"
