"""What raters said, as files: report.md for people, CSV tables for programs, and a ratings table for Q.

Ratings: images.csv, sources.csv, raters.csv, answers.csv, and ratings.csv with its images (image, mean, std, source, split; read
by ``legan train quality --ratings``). Line-ups: preferences.csv, lineups.csv, places.csv, raters.csv, answers.csv. The last
answer of a task counts; a task that timed out (twice) has none.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from legan.platform.data.dataset import SPLITS
from legan.platform.data.ratings.ratings import histogram
from legan.platform.data.ratings.table import LEAST_SCORES
from legan.platform.errors import DataError, counted
from legan.platform.files import refuse_existing, whole_folder
from legan.serve.study.agreement import fleiss_kappa, krippendorff_alpha, two_way_bootstrap, wilson_interval
from legan.serve.study.store import IMAGES, Study

SHARES = (0.8, 0.1, 0.1)
"""Of train, val and test, where the study's table named no splits."""

_ANSWERS = """
SELECT raters.name, items.name, items.item, items.source, items.split, items.image, items.expression, items.lighting,
       tasks.models, answers.round, answers.score, answers.model, answers.seconds, answers.at
FROM answers JOIN tasks USING (task) JOIN items USING (item) JOIN raters USING (rater)
ORDER BY raters.rater, answers.at, tasks.task
"""
_COLUMNS = (
    "rater", "image", "item", "source", "split", "file", "expression", "lighting",
    "models", "round", "score", "model", "seconds", "at",
)  # fmt: skip


def write_report(study: Study, out: Path, *, overwrite: bool = False) -> str:
    """Write the report's folder, whole or not at all, and return report.md's text.

    Raises DataError where ``out`` exists or nobody has answered yet.
    """
    refuse_existing(out, "report.md", overwrite=overwrite)
    answers = pd.DataFrame(study.rows(_ANSWERS), columns=list(_COLUMNS))
    answers["timed_out"] = answers["score"].isna() & answers["model"].isna()
    if answers["timed_out"].all():
        raise DataError(f"nobody has answered in the study {study.folder} yet, so there is nothing to report.")
    with whole_folder(out) as draft:
        raters = rater_table(study, answers)
        raters.to_csv(draft / "raters.csv", index=False)
        body = _ratings(study, answers, draft) if study.about.kind == "ratings" else _lineups(study, answers, draft)
        text = "\n\n".join([_head(study, answers, raters), *body, "## Raters", _markdown(raters)]) + "\n"
        (draft / "report.md").write_text(text, encoding="utf-8")
    return text


def rater_table(study: Study, answers: pd.DataFrame) -> pd.DataFrame:
    """A row per rater: tasks, answered, time-outs (all, final), median and 90 % seconds of answers, for ratings mean and sd."""
    rows = []
    asked = study.rows("SELECT name, COUNT(*) FROM tasks JOIN raters USING (rater) GROUP BY rater ORDER BY rater")
    for name, tasks in asked:
        own = answers[answers["rater"] == name]
        given = own[~own["timed_out"]]
        row = {
            "rater": name, "asked": tasks, "answered": len(given), "timeouts": int(own["timed_out"].sum()),
            "given_up": int((own["timed_out"] & (own["round"] == 2)).sum()),
            "median_s": given["seconds"].median(), "p90_s": given["seconds"].quantile(0.9),
        }  # fmt: skip
        if study.about.kind == "ratings":
            row |= {"mean": given["score"].mean(), "sd": given["score"].std(ddof=0)}
        rows.append(row)
    return pd.DataFrame(rows)


def image_table(answers: pd.DataFrame) -> pd.DataFrame:
    """A row per rated image: raters, mean, std (population's, as in ratings for Q), time-outs."""
    given = answers[~answers["timed_out"]]
    groups = given.groupby("item")
    table = groups.agg(
        image=("image", "first"), source=("source", "first"), split=("split", "first"), file=("file", "first"),
        raters=("score", "size"), mean=("score", "mean"),
    )  # fmt: skip
    table["std"] = groups["score"].std(ddof=0)
    table["timeouts"] = answers.groupby("item")["timed_out"].sum().reindex(table.index)
    return table.reset_index()


def preference_table(votes: pd.DataFrame, models: tuple[str, ...], seed: int) -> pd.DataFrame:
    """A row per model: votes, share, 95 % intervals by Wilson and by a bootstrap over raters and subjects; by falling share."""
    who, whose = pd.factorize(votes["rater"])[0], pd.factorize(_subjects(votes))[0]
    chosen = votes["model"].map(models.index).to_numpy(np.int64)
    cast = np.zeros((who.max() + 1, whose.max() + 1, len(models)), np.int64)
    np.add.at(cast, (who, whose, chosen), 1)
    counts = cast.sum(axis=(0, 1))
    low, high = two_way_bootstrap(cast, seed)
    intervals = [wilson_interval(int(count), int(counts.sum())) for count in counts]
    return pd.DataFrame(
        {
            "model": models,
            "votes": counts,
            "share": counts / counts.sum(),
            "low": [interval[0] for interval in intervals],
            "high": [interval[1] for interval in intervals],
            "bootstrap_low": low,
            "bootstrap_high": high,
        }
    ).sort_values("share", ascending=False, kind="stable")


def _head(study: Study, answers: pd.DataFrame, raters: pd.DataFrame) -> str:
    asked, given = int(raters["asked"].sum()), int((~answers["timed_out"]).sum())
    seconds = answers.loc[~answers["timed_out"], "seconds"]
    limit = "no time limit" if study.about.seconds is None else f"{study.about.seconds:g} s for each"
    kind = "Ratings" if study.about.kind == "ratings" else "Line-ups"
    return (
        f"# {kind}: {given} of {asked} answers\n\n"
        f"{counted(answers['item'].nunique(), 'item')} judged, "
        f"{counted(study.about.raters_per_item, 'rater')} intended for each, {limit}. "
        f"{int((raters['answered'] > 0).sum())} of {counted(len(raters), 'rater')} answered, in "
        f"{seconds.median():.1f} s (median; 90 % "
        f"within {seconds.quantile(0.9):.1f} s). Time-outs: {int(answers['timed_out'].sum())}, "
        f"{int(raters['given_up'].sum())} of them for good."
    )


def _ratings(study: Study, answers: pd.DataFrame, draft: Path) -> list[str]:
    images = image_table(answers)
    sources = images.groupby("source").agg(images=("mean", "size"), mean=("mean", "mean"), sd_between_images=("mean", "std"),
                                           mean_sd_of_raters=("std", "mean")).reset_index()  # fmt: skip
    images.drop(columns=["item", "file"]).to_csv(draft / "images.csv", index=False)
    sources.to_csv(draft / "sources.csv", index=False)
    answers[["rater", "image", "round", "score", "timed_out", "seconds", "at"]].astype({"score": "Int64"}).to_csv(
        draft / "answers.csv", index=False
    )
    exported = _export(study, images, draft)

    given = answers[~answers["timed_out"]]
    alpha = krippendorff_alpha([group.to_list() for _, group in given.groupby("item")["score"]])
    return [
        f"Mean rating {images['mean'].mean():.2f} over {counted(len(images), 'image')}. "
        f"Agreement: Krippendorff's α (interval) = {_or_none(alpha)}.",
        exported,
        "## Images by mean rating",
        f"```\n{histogram(images['mean'].to_numpy(np.float32))}\n```",
        "## Sources",
        _markdown(sources),
    ]


def _export(study: Study, images: pd.DataFrame, draft: Path) -> str:
    enough = images[images["raters"] >= LEAST_SCORES].copy()
    if enough.empty:
        return "No image has two ratings, which a standard deviation needs, so there is no ratings.csv."
    (draft / "images").mkdir()
    enough["name"] = enough["image"]
    enough["image"] = [f"images/{item:06}.png" for item in enough["item"]]
    for file, name in zip(enough["file"], enough["image"], strict=True):
        shutil.copyfile(study.folder / IMAGES / f"{file}.png", draft / name)
    if (enough["split"] == "").any():
        enough["split"] = _splits(len(enough), study.about.seed)
    enough[["image", "mean", "std", "source", "split", "raters", "name"]].to_csv(draft / "ratings.csv", index=False)
    left = len(images) - len(enough)
    return f"ratings.csv holds {counted(len(enough), 'image')}" + (
        f"; {left} with a single rating are left out." if left else "."
    )


def _splits(count: int, seed: int) -> NDArray[np.str_]:
    bounds = np.rint(np.cumsum(SHARES) * count).astype(int)
    order = np.random.default_rng([seed, 15]).permutation(count)
    return np.asarray(SPLITS)[np.searchsorted(bounds, order, side="right")]


def _lineups(study: Study, answers: pd.DataFrame, draft: Path) -> list[str]:
    models = study.about.models
    votes = answers[~answers["timed_out"]].copy()
    orders = votes["models"].map(json.loads)
    votes["place"] = [order.index(model) + 1 for order, model in zip(orders, votes["model"], strict=True)]
    preferences = preference_table(votes, models, study.about.seed)
    preferences.to_csv(draft / "preferences.csv", index=False)

    by_item = pd.crosstab(votes["item"], votes["model"]).reindex(columns=list(models), fill_value=0).to_numpy(np.int64)
    named = votes.groupby("item")[["image", "expression", "lighting"]].first().reset_index(drop=True)
    pd.concat([named, pd.DataFrame(by_item, columns=list(models))], axis=1).to_csv(draft / "lineups.csv", index=False)

    places = (
        votes["place"]
        .value_counts()
        .reindex(range(1, len(models) + 1), fill_value=0)
        .rename_axis("place")
        .reset_index(name="votes")
    )
    places.to_csv(draft / "places.csv", index=False)
    columns = ["rater", "image", "expression", "lighting", "round", "model", "place", "timed_out", "seconds", "at"]
    answers.assign(place=votes["place"].astype("Int64"))[columns].to_csv(draft / "answers.csv", index=False)

    unnamed = " (photographs that name nobody count as one each)" if (votes["source"] == "").any() else ""
    drawn = f"{counted(votes['rater'].nunique(), 'rater')} and {counted(_subjects(votes).nunique(), 'subject')}{unnamed}"
    return [
        f"Agreement: Fleiss' κ = {_or_none(fleiss_kappa(by_item))} over {len(by_item)} line-ups.",
        "## Preferences",
        "Share of all votes; intervals of 95 %: Wilson's, which takes every vote as independent, and that of a bootstrap that "
        f"draws anew both of {drawn}.",
        _markdown(preferences),
        "## Votes by place",
        "The order is drawn anew for each rater and line-up, so places should get about equal shares.",
        _markdown(places),
    ]


def _subjects(votes: pd.DataFrame) -> "pd.Series[str]":
    """Whom the photograph of each vote shows; where that is not named, the photograph itself."""
    return votes["source"].where(votes["source"] != "", votes["image"])


def _or_none(value: float | None) -> str:
    return "undefined (too few answers, or no differences)" if value is None else f"{value:.3f}"


def _markdown(table: pd.DataFrame) -> str:
    def cell(value: object) -> str:
        return ("–" if np.isnan(value) else f"{value:.3f}") if isinstance(value, float) else str(value).replace("|", "\\|")

    rows = [list(table.columns), ["---"] * table.shape[1], *table.astype(object).to_numpy().tolist()]
    return "\n".join("| " + " | ".join(cell(value) for value in row) + " |" for row in rows)
