"""`legan evaluate table`, from runs to files."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from legan.platform.commands import evaluate
from legan.platform.data.dataset import Dataset
from legan.platform.errors import ConfigError
from legan.platform.evaluation.report import FILE
from legan.platform.evaluation.tables.collect import parse_models

Run = Callable[..., Any]


@pytest.fixture
def run() -> Run:
    def command(*arguments: str) -> Any:
        app = typer.Typer()
        app.callback()(lambda: None)
        evaluate.mount(app)
        return CliRunner().invoke(app, ["evaluate", *arguments], env={"COLUMNS": "200"}, catch_exceptions=False)

    return command


def save_run(tiny: Any, home: Path, name: str, seed: int) -> None:
    """A finished run as `legan train` leaves it, so that its name is enough."""
    (home / name).mkdir(parents=True)
    (home / name / "config.yaml").touch()
    tiny.folder = home / name
    tiny.save("model", tiny.model(seed=seed, run=name))


@pytest.fixture
def judges(data: Dataset, tiny: Any, home: Path) -> list[str]:
    classifier, matcher = tiny.save_judges()
    for seed, name in enumerate(("first", "second", "star")):
        save_run(tiny, home, name, seed)
    return ["--data", str(data.path), "--classifier", str(classifier), "--matcher", str(matcher), "--pairs", "10"]


def test_a_table_of_what_was_evaluated_before_and_of_what_was_not(
    run: Run, judges: list[str], data: Dataset, home: Path, tmp_path: Path
) -> None:
    assert run("first", *judges).exit_code == 0
    out = ["--out", str(tmp_path / "table")]
    result = run("table", "1", "--models", "LEGAN=first,second", "StarGAN=star", *judges, *out)
    assert result.exit_code == 0
    assert "first: evaluated already" in result.output
    assert "second: evaluated already" not in result.output
    assert result.output.count("lpips is left out") == 1, "once, not for every model"
    with (tmp_path / "table" / "table1.csv").open() as file:
        cells = {(row["method"], row["metric"]): row for row in csv.DictReader(file)}
    values = [
        json.loads((home / "evaluations" / f"{name}-on-tiny" / FILE).read_text())["methods"]["output"]["ssim_to_target"]
        for name in ("first", "second", "star")
    ]
    assert float(cells["LEGAN", "SSIM"]["mean"]) == pytest.approx((values[0] + values[1]) / 2)
    assert cells["LEGAN", "SSIM"]["seeds"] == "2"
    assert float(cells["StarGAN", "SSIM"]["mean"]) == pytest.approx(values[2])
    assert cells["StarGAN", "SSIM"]["runs"] == "star (not in MLflow)"
    assert cells["StarGAN-v2", "SSIM"]["mean"] == ""

    again = run("table", "1", "-m", "LEGAN=first,second", "-m", "StarGAN=star", "--data", str(data.path), *out)
    assert again.exit_code == 0, "now they are all there, and no judge is needed"
    assert "Translating" not in again.output
    with (tmp_path / "table" / "table1.csv").open() as file:
        assert {(row["method"], row["metric"]): row for row in csv.DictReader(file)} == cells


def test_without_judges_every_evaluation_that_is_missing_is_named(run: Run, judges: list[str], data: Dataset) -> None:
    with pytest.raises(ConfigError) as caught:
        run("table", "1", "--models", "LEGAN=first,second", "--data", str(data.path))
    assert len(caught.value.problems) == 2
    assert "second has not been evaluated on tiny" in str(caught.value)


def test_one_model_under_two_names_is_refused_before_anything_runs(run: Run, judges: list[str], home: Path) -> None:
    with pytest.raises(ConfigError, match=r"first and .*first are one model"):
        run("table", "1", "--models", f"LEGAN=first,{home / 'first'}", *judges)
    assert not (home / "evaluations").exists()


def test_evaluations_of_other_weights_or_other_pairs_are_not_taken(
    run: Run, judges: list[str], data: Dataset, tiny: Any, home: Path
) -> None:
    run("first", *judges)
    run("second", *judges, "--seed", "5")
    with pytest.raises(ConfigError, match="first and second are not comparable: they differ in pairs"):
        run("table", "1", "--models", "LEGAN=first,second", "--data", str(data.path))
    tiny.folder = home / "first"
    tiny.save("model", tiny.model(seed=9))
    with pytest.raises(ConfigError, match="is of other data or of other weights than first has now"):
        run("table", "1", "--models", "LEGAN=first", "--data", str(data.path))
    result = run("table", "1", "--models", "LEGAN=first", *judges)
    assert "Translating 10" in result.output, "with judges it is evaluated again"


def test_models_with_qs_of_their_own_are_refused_before_anything_runs(run: Run, judges: list[str], tiny: Any, home: Path) -> None:
    tiny.folder = home / "second"
    tiny.save("model", tiny.model(quality=False))
    with pytest.raises(ConfigError, match="they differ in quality"):
        run("table", "1", "--models", "LEGAN=first,second", *judges)
    assert not (home / "evaluations").exists()


def test_the_folder_of_an_evaluation_stands_for_its_model(
    run: Run, judges: list[str], data: Dataset, home: Path, tmp_path: Path
) -> None:
    run("first", *judges, "--out", str(tmp_path / "kept here"))
    result = run("table", "2", "--models", f"my own={tmp_path / 'kept here'}", "--data", str(data.path))
    assert result.exit_code == 0
    assert "the paper compares them with the source" in result.output
    assert "| my own |" in result.output
    assert (home / "evaluations" / "table2-on-tiny" / "table2.png").is_file()


def test_all_problems_are_said_at_once(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError) as caught:
        run("table", "1", "--models", "LEGAN", "--data", "nowhere", "--matcher", "m", "--out", str(tmp_path / "file"))
    text = str(caught.value)
    assert len(caught.value.problems) == 4
    for part in ("'LEGAN' is not NAME=RUN", "nowhere is no data set", "give both --classifier and --matcher", "is a file"):
        assert part in text


def test_how_to_evaluate_means_nothing_without_judges(run: Run) -> None:
    with pytest.raises(ConfigError, match="--quality, --seed: nothing is evaluated without judges; give --classifier"):
        run("table", "1", "--models", "LEGAN=a", "--data", "d", "--quality", "Q", "--seed", "0")


def test_models_are_parsed_and_every_mistake_is_named() -> None:
    assert parse_models(["LEGAN=a,b", "my own=c"]) == {"LEGAN": ["a", "b"], "my own": ["c"]}
    with pytest.raises(ConfigError) as caught:
        parse_models(["LEGAN=a", "legan=b", "StarGAN=", "=c", "x=d,d"])
    assert len(caught.value.problems) == 4


def test_there_is_no_table_four(run: Run) -> None:
    assert run("table", "4", "--models", "LEGAN=a", "--data", "d").exit_code == 2
