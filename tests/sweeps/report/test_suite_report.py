import csv
import io
import json
import math
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from legan.platform.errors import ConfigError
from legan.platform.evaluation.figures import markdown, picture
from legan.platform.evaluation.metric_names import ABOVE_NOTE
from legan.platform.tracking.places import Delivered
from legan.platform.tracking.spool import Spool
from legan.sweeps.report.report import write_trials
from legan.sweeps.report.results import read_results
from legan.sweeps.report.suite_report import as_csv, as_sheet, suite_table, write_suite
from legan.sweeps.sweep import Outcome, Sweep, SweepSettings, create_sweep, suite_trials, write_outcome

SSIM = {
    "Bilinear Interpolation": (0.50, 0.52, 0.54),
    "Transposed Convolution": (0.61, 0.60, 0.65),
    "Pixel Shuffling": (0.60, 0.61, 0.62),
}
L1 = {"Bilinear Interpolation": (0.3, 0.3, 0.3), "Transposed Convolution": (0.1, 0.2, 0.3), "Pixel Shuffling": (0.1, 0.1, 0.1)}
FIXED = {"eval/copy_input/ssim_to_target": 0.25, "eval/copy_input/match_to_target": 0.5, "eval/real_images/ssim_to_target": 1.0}


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """Table 12's suite with three seeds, nothing run yet."""
    monkeypatch.setenv("LEGAN_HOME", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    settings = SweepSettings(
        suite="upsampling", data=tmp_path / "faces", classifier=tmp_path / "judge", matcher=tmp_path / "matcher"
    )
    return create_sweep(tmp_path, "up", settings)


def finish(sweep: Sweep, name: str, metrics: dict[str, float] | None = None, **changes: object) -> None:
    spool = Spool(sweep.trials / name)
    spool.mark_sent(Delivered(0, f"sqlite:///{sweep.folder.parents[1]}/mlflow.db", f"id-of-{name}"))
    spool.close()
    outcome = Outcome("finished", metrics or {})
    write_outcome(sweep, name, outcome._replace(**changes))


def finish_all(sweep: Sweep) -> None:
    for trial in suite_trials(sweep.settings):
        metrics = {
            "eval/ssim_to_target": SSIM[trial.variant][trial.seed],
            "eval/l1_to_target": L1[trial.variant][trial.seed],
            "eval/quality": 5.0,
        }
        finish(sweep, trial.name, metrics | FIXED)


def test_cells_are_mean_deviation_difference_and_verdict(sweep: Sweep) -> None:
    finish_all(sweep)
    cells = suite_table(sweep).cells
    bilinear = cells["Bilinear Interpolation", "SSIM"]
    assert (bilinear.mean, bilinear.sd, bilinear.paper) == (pytest.approx(0.52), pytest.approx(0.02), 0.630)
    # differences -0.10, -0.09, -0.08: mean -0.09, sd 0.01, half-width 4.30265 · 0.01 / √3 = 0.02484
    assert bilinear.difference is not None
    assert bilinear.difference.interval == pytest.approx((-0.11484, -0.06516), abs=1e-5)
    assert bilinear.difference.verdict(lower_is_better=False) == "worse"
    # 0.01, -0.01, 0.03: mean 0.01, sd 0.02
    transposed = cells["Transposed Convolution", "SSIM"]
    assert transposed.difference is not None
    assert transposed.difference.interval == pytest.approx((-0.03968, 0.05968), abs=1e-5)
    assert transposed.difference.verdict(lower_is_better=False) == "within seed spread"
    assert cells["Pixel Shuffling", "SSIM"].difference is None
    assert cells["Bilinear Interpolation", "L1"].difference.verdict(lower_is_better=True) == "worse"


def test_the_best_mean_of_each_column_is_marked_by_its_own_direction(sweep: Sweep) -> None:
    finish_all(sweep)
    table = suite_table(sweep)
    best = {metric: [name for name in table.variants if table.cells[name, metric].best] for metric in table.metrics}
    assert best["SSIM"] == ["Transposed Convolution"]
    assert best["L1"] == ["Pixel Shuffling"]
    assert best["FID"] == []
    assert len(best["Quality"]) == 3, "equal means are equally good"


def test_one_lucky_seed_and_rounding_mark_nobody(sweep: Sweep) -> None:
    finish_all(sweep)
    for trial in suite_trials(sweep.settings):
        lucky = trial.variant == "Bilinear Interpolation"
        if lucky and trial.seed > 0:
            finish(sweep, trial.name, status="failed")
        else:
            spread = (0.1, 0.2, 0.3) if trial.variant == "Pixel Shuffling" else (0.2, 0.2, 0.2)
            finish(sweep, trial.name, {"eval/ssim_to_target": 0.9 if lucky else 0.5, "eval/l1_to_target": spread[trial.seed]})
    table = suite_table(sweep)
    best = {metric: [name for name in table.variants if table.cells[name, metric].best] for metric in ("SSIM", "L1")}
    assert best["SSIM"] == best["L1"] == ["Transposed Convolution", "Pixel Shuffling"]


def test_columns_are_the_papers_and_those_of_ours_that_are_there(sweep: Sweep) -> None:
    finish_all(sweep)
    assert suite_table(sweep).metrics == ("FID", "LPIPS", "SSIM", "Match", "Quality", "L1")


def test_markdown_shows_ours_the_papers_verdict_and_runs(sweep: Sweep) -> None:
    finish_all(sweep)
    text = markdown(as_sheet(suite_table(sweep)))
    assert text.startswith("# Table 12: ours on faces beside the paper's on CMU Multi-PIE")
    rows = {line.split(" | ")[0]: line for line in text.splitlines() if line.startswith("| ")}
    assert "| 0.520 ± 0.020<br>paper 0.630<br>*worse* |" in rows["| Bilinear Interpolation [1–3]"]
    assert "| **0.620 ± 0.026**<br>paper 0.635<br>within seed spread |" in rows["| Transposed Convolution [4–6]"]
    assert "| 0.610 ± 0.010<br>paper 0.649 |" in rows["| Pixel Shuffling [7–9]"]
    assert "| –<br>paper 29.933 |" in rows["| Bilinear Interpolation [1–3]"]
    assert "-0.090 [-0.115, -0.065]" in rows["| Bilinear Interpolation"]
    assert "| Copy input | – | – | 0.250 | 0.500 | – | – |" in text
    assert "| Real images | – | – | – | 0.500 | – | – |" in text, "real images held against themselves say nothing"
    assert "2. `id-of-bilinear-interpolation-1` Bilinear Interpolation, seed 1" in text
    assert "Of 6 such comparisons, about 0.3 would be called better or worse by chance alone;" in text
    assert "Absent: FID, LPIPS, Match:" in text


def test_failed_and_unfinished_trials_are_named_and_not_counted(sweep: Sweep) -> None:
    finish_all(sweep)
    finish(
        sweep,
        "pixel-shuffling-2",
        status="failed",
        error="step 7: the loss term gp became nan.",
        metrics={"eval/ssim_to_target": 9.0},
    )
    (sweep.trials / "transposed-convolution-1/outcome.json").unlink()
    (sweep.trials / "transposed-convolution-1/config.yaml").touch()
    (sweep.trials / "bilinear-interpolation-1/outcome.json").unlink()

    table = suite_table(sweep)
    full = table.cells["Pixel Shuffling", "SSIM"]
    assert (len(full.ours), full.mean) == (2, pytest.approx(0.605))
    assert table.cells["Transposed Convolution", "SSIM"].difference.seeds == 1, "seed 0 is the only one that both have"

    text = markdown(as_sheet(table))
    assert "0.605 ± 0.007 (N = 2)" in text
    assert "one seed only" in text
    assert "Not in this table: pixel-shuffling-2: failed: step 7: the loss term gp became nan." in text
    assert "Not in this table: transposed-convolution-1: has not finished." in text
    assert "Not in this table: bilinear-interpolation-1: has not been started." in text
    assert "id-of-pixel-shuffling-2" not in text


def test_a_metric_that_is_no_number_counts_as_absent(sweep: Sweep) -> None:
    finish_all(sweep)
    finish(sweep, "pixel-shuffling-0", {"eval/ssim_to_target": math.nan, "eval/quality": 5.0})
    cells = suite_table(sweep).cells
    assert sorted(cells["Pixel Shuffling", "SSIM"].ours) == [1, 2]
    assert sorted(cells["Pixel Shuffling", "Quality"].ours) == [0, 1, 2]


def test_without_the_full_model_there_is_no_verdict(sweep: Sweep) -> None:
    finish(sweep, "bilinear-interpolation-0", {"eval/ssim_to_target": 0.5})
    finish(sweep, "bilinear-interpolation-1", {"eval/ssim_to_target": 0.6})
    table = suite_table(sweep)
    assert table.cells["Bilinear Interpolation", "SSIM"].difference is None
    assert not table.cells["Bilinear Interpolation", "SSIM"].best, "there is nothing to be better than"
    assert "chance alone" not in markdown(as_sheet(table))


def test_trials_that_were_judged_otherwise_are_named(sweep: Sweep) -> None:
    finish_all(sweep)
    finish(sweep, "bilinear-interpolation-1", {"eval/ssim_to_target": 0.5} | FIXED | {"eval/copy_input/ssim_to_target": 0.26})
    (note,) = (note for note in suite_table(sweep).notes if note.startswith("Not comparable"))
    assert (
        "Bilinear Interpolation, seed 1 was judged on other pairs or by other judges than Bilinear Interpolation, seed 0" in note
    )


def test_runs_are_links_where_they_go_to_a_server(sweep: Sweep) -> None:
    finish_all(sweep)
    spool = Spool(sweep.trials / "pixel-shuffling-0")
    spool.mark_sent(Delivered(0, "https://user:secret@tracking.example/mlflow/", "id-of-pixel-shuffling-0"))
    spool.close()
    text = markdown(as_sheet(suite_table(sweep)))
    assert "[`id-of-pixel-shuffling-0`](https://tracking.example/mlflow/#/runs/id-of-pixel-shuffling-0)" in text
    assert "secret" not in text
    assert text.count("](http") == 1, "there is no page of a SQLite file"


def test_csv_has_every_number_and_verdict(sweep: Sweep) -> None:
    finish_all(sweep)
    rows = list(csv.DictReader(io.StringIO(as_csv(suite_table(sweep)))))
    row = next(each for each in rows if (each["variant"], each["metric"]) == ("Bilinear Interpolation", "SSIM"))
    assert (row["verdict"], row["best"], row["seeds"], row["paper"]) == ("worse", "0", "3", "0.63")
    assert float(row["difference"]) == pytest.approx(-0.09)
    assert row["runs"].split() == [f"id-of-bilinear-interpolation-{seed}" for seed in range(3)]
    absent = next(each for each in rows if each["metric"] == "FID")
    assert (absent["mean"], absent["verdict"], absent["paper"]) == ("", "", "29.933")


def test_trials_are_listed_with_settings_errors_and_metrics(sweep: Sweep, tmp_path: Path) -> None:
    finish_all(sweep)
    finish(sweep, "pixel-shuffling-2", status="failed", error="the disk, it is full")
    rows = list(csv.DictReader(io.StringIO(write_trials(tmp_path, read_results(sweep)).read_text(encoding="utf-8"))))
    assert len(rows) == 9
    failed = next(row for row in rows if row["trial"] == "pixel-shuffling-2")
    assert (failed["status"], failed["error"], failed["eval/ssim_to_target"]) == ("failed", "the disk, it is full", "")
    assert rows[0]["generator.upsampling"] == "bilinear"
    assert float(rows[0]["eval/l1_to_target"]) == 0.3
    assert "eval/copy_input/ssim_to_target" not in rows[0]


def test_the_picture_is_as_wide_as_its_columns(sweep: Sweep) -> None:
    finish_all(sweep)
    with Image.open(io.BytesIO(picture(as_sheet(suite_table(sweep))))) as image:
        assert image.size[0] > 1500
        assert image.size[1] > 500


def test_nothing_finished_says_why(sweep: Sweep) -> None:
    finish(sweep, "pixel-shuffling-0", status="failed", error="no such data")
    with pytest.raises(
        ConfigError, match=r"no trial of up has finished \(failed: no such data; has not been started\); .* resume up"
    ):
        suite_table(sweep)


def test_a_row_that_the_paper_lacks_stands_beside_its_rows(tmp_path: Path, sweep: Sweep) -> None:
    losses = create_sweep(tmp_path, "losses", sweep.settings.model_copy(update={"suite": "losses"}))
    finish(losses, "legan-0", {"eval/ssim_to_target": 0.6})
    finish(losses, "wo-disentangling-0", {"eval/ssim_to_target": 0.5})
    finish(losses, "wo-disentangling-matched-0", {"eval/ssim_to_target": 0.55})
    table = suite_table(losses)
    assert table.cells["wo/ disentangling", "SSIM"].paper == 0.557
    assert table.cells["wo/ disentangling, matched", "SSIM"].paper is None
    assert "wo/ disentangling, matched" in markdown(as_sheet(table))
    assert len(as_csv(table).splitlines()) == 1 + 8 * len(table.metrics)


def test_judges_that_are_no_strangers_stand_in_the_title_and_the_notes(sweep: Sweep) -> None:
    finish_all(sweep)
    assert "strangers" not in as_sheet(suite_table(sweep)).title
    report = sweep.trials / suite_trials(sweep.settings)[0].name / "evaluation" / "evaluation.json"
    report.parent.mkdir()
    said = {"classifier_is_a_stranger": "checked", "matcher_is_a_stranger": "no, it learned from 2 people; asked for"}
    report.write_text(json.dumps(said))
    table = suite_table(sweep)
    assert as_sheet(table).title.endswith(", by judges that are no strangers (matcher)")
    assert "The matcher is no stranger: it learned from 2 people; asked for." in table.notes


def test_the_notes_say_which_q_rated(sweep: Sweep, tmp_path: Path) -> None:
    finish_all(sweep)
    assert [note for note in suite_table(sweep).notes if note.startswith("Quality is by no judging Q: it is the Q that most")]
    judged = sweep._replace(settings=sweep.settings.model_copy(update={"quality_judge": tmp_path / "other-Q" / "model"}))
    said = "Quality is by the judging Q other-Q, of other raters and faults than the Q that trials were trained with."
    assert said in suite_table(judged).notes
    report = sweep.trials / suite_trials(sweep.settings)[1].name / "evaluation" / "evaluation.json"
    report.parent.mkdir()
    report.write_text(json.dumps({"quality_is_of_other_raters": "no, the same simulated raters saw the same faults"}))
    notes = suite_table(judged).notes
    assert "Quality is by the Q other-Q." in notes
    assert any(note.startswith("Quality is by no judging Q: the same simulated raters saw the same faults.") for note in notes)


def test_a_suite_that_the_paper_has_no_table_of_stands_alone(tmp_path: Path, sweep: Sweep) -> None:
    suite = create_sweep(tmp_path, "cls", sweep.settings.model_copy(update={"suite": "classification"}))
    for trial in suite_trials(suite.settings):
        shift = {"Binary, mean": 0.0, "Binary, sum": 0.1, "Softmax": -0.1}[trial.variant]
        finish(suite, trial.name, {"eval/ssim_to_target": 0.5 + shift + trial.seed / 100} | FIXED)
    table = suite_table(suite)
    assert table.metrics == ("SSIM",)
    assert (table.called, table.paper, table.full) == ("classification", None, "Binary, mean")
    assert table.cells["Binary, sum", "SSIM"].difference.mean == pytest.approx(0.1)
    text, files = write_suite(tmp_path / "out", table)
    assert {file.name for file in files} == {"classification.md", "classification.csv", "classification.png"}
    assert text.startswith("# Suite classification on faces\n")
    assert "paper" not in text
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "classification.csv").read_text())))
    assert {(row["table"], row["paper"]) for row in rows} == {("classification", "")}


def test_a_difference_that_other_people_might_not_show_is_called_that(sweep: Sweep) -> None:
    finish_all(sweep)
    for trial in suite_trials(sweep.settings):
        folder = sweep.trials / trial.name / "evaluation"
        folder.mkdir()
        ssim = SSIM[trial.variant][trial.seed]
        spread = {"Bilinear Interpolation": 1.0}.get(trial.variant, 0.0)  # one person far below, the other above
        values = [ssim - spread, ssim + spread]
        scores = [{"pair": pair, "method": "output", "ssim_to_target": value} for pair, value in enumerate(values)]
        pd.DataFrame(scores).to_csv(folder / "scores.csv", index=False)
        pd.DataFrame({"pair": [0, 1], "subject": ["a", "b"]}).to_csv(folder / "pairs.csv", index=False)
    table = suite_table(sweep)
    difference = table.cells["Bilinear Interpolation", "SSIM"].difference
    assert difference is not None
    assert difference.people == pytest.approx((-1.09, 0.91))
    assert difference.verdict(lower_is_better=False) == "within people's spread"
    assert "-0.090 [-0.115, -0.065]<br>[-1.090, +0.910]" in markdown(as_sheet(table))
    rows = {(row["variant"], row["metric"]): row for row in csv.DictReader(io.StringIO(as_csv(table)))}
    row = rows["Bilinear Interpolation", "SSIM"]
    assert (float(row["people_low"]), float(row["people_high"])) == pytest.approx((-1.09, 0.91))


def test_an_accuracy_above_that_of_real_images_is_marked_and_explained(sweep: Sweep) -> None:
    for trial in suite_trials(sweep.settings):
        accuracy = {"eval/expression_accuracy": 0.9 + 0.05 * (trial.variant == "Pixel Shuffling")}
        finish(sweep, trial.name, accuracy | {"eval/real_images/expression_accuracy": 0.92})
    table = suite_table(sweep)
    text = markdown(as_sheet(table))
    assert text.count("0.950 ± 0.000 †") == 1
    assert "0.900 ± 0.000 †" not in text
    assert ABOVE_NOTE in table.notes
