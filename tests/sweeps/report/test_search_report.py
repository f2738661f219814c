import csv
import io
from pathlib import Path

import pytest

from legan.platform.errors import ConfigError
from legan.platform.evaluation.figures import markdown
from legan.platform.settings import LeganSettings
from legan.platform.training.run_folder import create_run
from legan.sweeps.report.choice import choose
from legan.sweeps.report.report import write_trials
from legan.sweeps.report.results import read_results
from legan.sweeps.report.search_report import as_csv, as_sheet, search_table
from legan.sweeps.search.space import SearchSettings
from legan.sweeps.sweep import Outcome, Sweep, SweepSettings, write_outcome


def search(folder: Path, seeds: int = 1, **objectives: str) -> Sweep:
    """A search without trials; ``objectives`` without their val/."""
    named = {f"val/{name}": way for name, way in objectives.items()}
    parameters = {"loss.q": {"float": [5, 10]}, "generator.upsampling": {"choices": ["bilinear", "transposed"]}}
    asked = SearchSettings.model_validate({"objectives": named, "parameters": parameters, "points": []})
    settings = SweepSettings(search=asked, seeds=seeds, data=Path("faces"), classifier=Path("c"), matcher=Path("m"))
    return Sweep(folder / "sweep", settings)


def trial(sweep: Sweep, name: str, seed: int = 0, q: float = 8.0, upsampling: str = "bilinear", **metrics: float | None) -> None:
    """A trial's folder as its run leaves it; it failed where it has no metrics."""
    given = {"steps": 2, "seed": seed, "loss": {"q": q, "lambda_3": 0, "lambda_4": 0}, "generator": {"upsampling": upsampling}}
    create_run(sweep.trials, "legan", LeganSettings.model_validate(given), name, register=False)
    numbers = {f"val/{key}": value for key, value in metrics.items() if value is not None}
    outcome = Outcome("finished", numbers) if metrics else Outcome("failed", {}, "it broke.")
    write_outcome(sweep, name, outcome)


def test_the_best_come_first_with_what_was_varied(tmp_path: Path) -> None:
    sweep = search(tmp_path, l1_to_target="minimize")
    trial(sweep, "t0", q=8.0, upsampling="bilinear", l1_to_target=0.30)
    trial(sweep, "t1", q=6.5, upsampling="transposed", l1_to_target=0.10)
    trial(sweep, "t2", q=7.0, upsampling="transposed", l1_to_target=0.20)
    trial(sweep, "t3", q=5.0)
    text = markdown(as_sheet(search_table(sweep)))
    assert text.startswith("# sweep: best trials of 3 on faces")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert rows[0] == "|  | val/l1_to_target ↓ | loss.q | generator.upsampling |"
    assert rows[2:] == [
        "| t1 [1] | **0.100** | 6.5 | transposed |",
        "| t2 [2] | 0.200 | 7 | transposed |",
        "| t0 [3] | 0.300 | 8 | bilinear |",
    ]
    assert "Not in this table: t3: failed: it broke." in text
    assert "1. `t1: not in MLflow` t1, seed 0" in text


def test_at_most_ten_are_shown(tmp_path: Path) -> None:
    sweep = search(tmp_path, quality="maximize")
    for i in range(12):
        trial(sweep, f"t{i}", q=5 + i / 4, quality=float(i))
    table = search_table(sweep)
    assert [each.name for each in table.shown] == [f"t{i}" for i in range(11, 1, -1)]
    assert table.finished == 12


def test_several_objectives_give_the_pareto_set(tmp_path: Path) -> None:
    sweep = search(tmp_path, l1_to_target="minimize", quality="maximize")
    trial(sweep, "best-l1", q=5.0, l1_to_target=0.1, quality=4.0)
    trial(sweep, "between", q=6.0, l1_to_target=0.2, quality=5.0)
    trial(sweep, "beaten", q=7.0, l1_to_target=0.2, quality=4.5)
    trial(sweep, "best-quality", q=8.0, l1_to_target=0.9, quality=6.0)
    trial(sweep, "same-as-between", q=9.0, l1_to_target=0.2, quality=5.0)
    table = search_table(sweep)
    assert [each.name for each in table.shown] == ["best-l1", "between", "same-as-between", "best-quality"]
    rows = list(csv.DictReader(io.StringIO(as_csv(table))))
    assert (rows[1]["suggestion"], rows[1]["objective"], rows[1]["direction"]) == ("best-l1", "val/quality", "maximize")
    assert rows[1]["mean"] == "4.0"
    assert "Pareto set of 5" in as_sheet(table).title


def test_seeds_of_one_suggestion_are_one_row_and_all_have_to_be_there(tmp_path: Path) -> None:
    sweep = search(tmp_path, seeds=2, quality="maximize")
    trial(sweep, "t0-0", 0, q=6.0, quality=4.0)
    trial(sweep, "t0-1", 1, q=6.0, quality=5.0)
    trial(sweep, "t1-0", 0, q=7.0, quality=9.0)
    table = search_table(sweep)
    (only,) = table.shown
    assert (only.name, only.mean("val/quality")) == ("t0", 4.5)
    assert as_sheet(table).rows == ("t0 [1,2]",)
    assert as_sheet(table).places[0][0].text == "4.500 ± 0.707"
    assert choose(sweep, read_results(sweep), "val/quality").result.trial.name == "t0-1"


def test_a_suggestion_made_twice_is_two_rows(tmp_path: Path) -> None:
    sweep = search(tmp_path, seeds=2, quality="maximize")
    for name, quality in (("t0", 4.0), ("t1", 6.0)):
        for seed in (0, 1):
            trial(sweep, f"{name}-{seed}", seed, q=6.0, quality=quality + seed)
    assert [(each.name, each.mean("val/quality")) for each in search_table(sweep).shown] == [("t1", 6.5), ("t0", 4.5)]


def test_a_search_trial_without_settings_is_listed_with_its_error(tmp_path: Path) -> None:
    sweep = search(tmp_path, quality="maximize")
    trial(sweep, "t0", q=6.0, quality=4.0)
    trial(sweep, "t1", q=7.0, quality=3.0)
    (sweep.trials / "t2").mkdir()
    write_outcome(sweep, "t2", Outcome("failed", {}, "the settings do not fit"))
    rows = list(csv.DictReader(io.StringIO(write_trials(tmp_path, read_results(sweep)).read_text(encoding="utf-8"))))
    assert [(row["trial"], row["loss.q"], row["error"]) for row in rows] == [
        ("t0", "6.0", ""), ("t1", "7.0", ""), ("t2", "", "the settings do not fit"),
    ]  # fmt: skip


def test_nothing_to_rank_is_said(tmp_path: Path) -> None:
    sweep = search(tmp_path, quality="maximize")
    with pytest.raises(ConfigError, match=r"no trial of sweep has finished \(none was begun\)"):
        search_table(sweep)
    trial(sweep, "t0", l1_to_target=0.5)
    with pytest.raises(ConfigError, match="no finished trial of sweep has val/quality"):
        search_table(sweep)
