"""`legan evaluate MODEL`, from the command line to the files and MLflow."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import torch
import typer
from typer.testing import CliRunner

from legan.models.attributes import AttributeSchema
from legan.platform.commands import evaluate
from legan.platform.data.dataset import Dataset
from legan.platform.data.write import write_dataset
from legan.platform.errors import ConfigError
from legan.platform.evaluation.evaluate import EvaluationRequest, default_folder, default_table_folder, plain_name, prepare
from legan.platform.evaluation.tables.evaluated import Evaluated
from legan.platform.evaluation.tables.files import title
from legan.platform.evaluation.tables.tables import make_table
from legan.platform.model import numbers_of, save_network
from legan.platform.tracking.places import default_tracking_uri, run_in_store
from legan.platform.tracking.tracker import Tracker, sync_run

Run = Callable[..., Any]


@pytest.fixture
def run(data: Dataset, tiny: Any, home: Path) -> Run:
    """The command on the tiny model, judges and data, with 10 pairs, in a home of its own."""
    tiny.save("model", tiny.model())
    classifier, matcher = tiny.save_judges()

    def command(*more: str, model: Path = tiny.folder / "model", judge: Path = classifier, match: Path = matcher) -> Any:
        app = typer.Typer()
        app.callback()(lambda: None)
        evaluate.mount(app)
        given = [str(model), "--data", str(data.path), "--classifier", str(judge), "--matcher", str(match)]
        arguments = ["evaluate", *given, "--pairs", "10", *more]
        return CliRunner().invoke(app, arguments, env={"COLUMNS": "200"}, catch_exceptions=False)

    return command


def test_the_command_prints_the_table_and_where_the_files_are(run: Run, data: Dataset, tmp_path: Path) -> None:
    result = run("--out", str(tmp_path / "out"))
    assert result.exit_code == 0
    for word in (
        "10 images of 1 subject of tiny's test split",
        "copy input",
        "real images",
        "SSIM to target ↑",
        str(tmp_path / "out"),
    ):
        assert word in result.output
    assert "N = 10 against the 12 real images of the test split, which hold" in result.output
    assert (tmp_path / "out" / "pictures.png").is_file()
    values = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert values["data_hash"] == data.content_hash
    assert values["matcher_is_not_the_trained_T"].startswith("unknown")
    assert values["people_are_new_to_the_model"] == "unknown, the model does not name its data"


def test_a_collapsed_model_is_named(run: Run, data: Dataset, tiny: Any, tmp_path: Path) -> None:
    assert "has collapsed" not in run("--out", str(tmp_path / "out")).output
    model = tiny.model()
    with torch.no_grad():
        model.generator.target.conv5.weight.zero_()
    tiny.save("collapsed", model)
    printed = run("--out", str(tmp_path / "again"), model=tiny.folder / "collapsed").output
    assert "The model has collapsed: its output does not depend on the expression asked for (it changes by 0 of" in printed


def test_what_needs_a_download_is_left_out_and_said_with_file_origin_and_folder(run: Run, tmp_path: Path) -> None:
    result = run("--out", str(tmp_path / "out"))
    left_out = [line for line in result.output.splitlines() if " left out: " in line]
    assert len(left_out) == 2
    assert "fid, kid and fid_to_train are left out: the weights weights-inception-2015-12-05-6726825d.pth" in left_out[0]
    assert "lpips is left out: the weights alexnet-owt-7be5be79.pth" in left_out[1]
    assert all(str(tmp_path / "no-weights") in line and "https://" in line for line in left_out)
    values = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert values["left_out"]["lpips"].startswith("alexnet-owt-7be5be79.pth, published by torchvision")
    assert set(values["left_out"]) == {"fid, kid, fid_to_train", "lpips", "light_angle", "same_person"}
    assert str(tmp_path) not in str(values["left_out"]), "tables are shown elsewhere"
    assert not {"fid", "kid", "lpips_to_target"} & set(values["methods"]["output"])
    assert values["methods"]["output"]["fd_identity"] > 0


def test_one_pair_has_no_distances(run: Run, tmp_path: Path) -> None:
    assert run("--out", str(tmp_path / "out"), "--pairs", "1").exit_code == 0
    values = json.loads((tmp_path / "out" / "evaluation.json").read_text())["methods"]["output"]
    assert (values["fd_identity"], values["kd_identity"]) == (None, None)
    assert values["ssim_to_target"] > 0


def test_models_are_scored_on_the_pairs_of_a_file(run: Run, tiny: Any, tmp_path: Path) -> None:
    assert run("--out", str(tmp_path / "first"), "--seed", "3").exit_code == 0
    tiny.save("other", tiny.model(seed=7))
    file = str(tmp_path / "first" / "pairs.csv")
    assert run("--out", str(tmp_path / "second"), "--pairs-file", file, model=tmp_path / "other").exit_code == 0
    first, second = (json.loads((tmp_path / name / "evaluation.json").read_text()) for name in ("first", "second"))
    assert first["compared_by"] == second["compared_by"]
    assert first["generator_hash"] != second["generator_hash"]
    assert first["methods"]["copy input"] == pytest.approx(second["methods"]["copy input"])
    assert (tmp_path / "first" / "pairs.csv").read_text() == (tmp_path / "second" / "pairs.csv").read_text()


def test_another_q_can_score(run: Run, tiny: Any, tmp_path: Path) -> None:
    save_network(tmp_path / "Q", "quality", {"image_size": 32, "width": 4, "layers": 3, "hidden": 8}, tiny.quality(seed=11))
    tiny.save("without", tiny.model(quality=False))
    result = run("--out", str(tmp_path / "none"), model=tmp_path / "without")
    assert "quality is left out: the model has no Q" in result.output
    run("--out", str(tmp_path / "given"), "--quality", str(tmp_path / "Q"), model=tmp_path / "without")
    values = json.loads((tmp_path / "given" / "evaluation.json").read_text())
    assert values["methods"]["output"]["quality"] is not None
    assert values["compared_by"]["quality"] is not None
    assert values["quality_is_of_other_raters"] == "checked"
    own = run("--out", str(tmp_path / "own"))
    assert "Quality is by no judging Q: it is the Q of the model's own loss." in own.output
    assert "- quality is of other raters: no, it is the Q of the model's own loss" in (tmp_path / "own/evaluation.md").read_text()


def test_judges_that_know_people_are_refused_and_told_where_they_were_asked_for(
    run: Run, data: Dataset, tiny: Any, tmp_path: Path
) -> None:
    tiny.save("model", replace(tiny.model(), people=data.people("train")))
    known = tiny.classifier(people=data.people("train"))
    save_network(tmp_path / "known", known.kind, known.numbers, known.module, **known.info)
    with pytest.raises(ConfigError, match="--classifier: it learned from 4 of the 4 people that the model or its T learned from"):
        run(judge=tmp_path / "known")
    result = run("--known-judges", "--out", str(tmp_path / "out"), judge=tmp_path / "known")
    said = "The classifier is no stranger: it learned from 4 of the 4 people that the model or its T learned from"
    assert said in result.output
    assert "people of the test split, by judges that are no strangers (classifier)" in " ".join(result.output.split())
    report = (tmp_path / "out" / "evaluation.md").read_text()
    assert report.startswith("# Evaluation, by judges that are no strangers (classifier)\n")
    assert "- classifier is a stranger: no, it learned from 4 of the 4 people" in report
    assert "- matcher is a stranger: unknown, it does not name its people" in report
    values = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert make_table(1, {"LEGAN": [Evaluated("model", values)]}).notes.count(f"{said}; asked for with --known-judges.") == 1
    assert title(make_table(1, {"LEGAN": [Evaluated("model", values)]})).endswith("by judges that are no strangers (classifier)")


def test_files_go_beside_the_runs_by_default(run: Run, tmp_path: Path, home: Path) -> None:
    assert run().exit_code == 0
    assert (home / "evaluations" / f"{tmp_path.name}-on-tiny" / "evaluation.md").is_file()


def copy(data: Dataset, out: Path, name: str) -> Dataset:
    """Negatives of the same faces, so that the hash is another."""
    return write_dataset(
        out,
        name=name,
        schema=data.schema,
        faces=data.faces,
        images=255 - data.images[:],
        hulls=data.packed_hulls[:],
        source="tests",
    )


def test_results_are_logged_to_the_models_run(run: Run, data: Dataset, tiny: Any, tmp_path: Path, ready: Path) -> None:
    tracker = Tracker(ready / "trained", experiment="e", run_name="trained", params={}, tags={}, say=lambda line: None)
    assert tracker.close() == 0
    tiny.save("model", tiny.model(run_id=tracker.run_id, identity_weights="another", data_hash=data.content_hash))
    result = run("--out", str(tmp_path / "out"))
    assert f"Logged as eval/… to the model's MLflow run {tracker.run_id}, the files under evaluation/tiny." in result.output
    client = mlflow.MlflowClient(tracking_uri=default_tracking_uri())
    values = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    logged = client.get_run(tracker.run_id).data.metrics
    assert logged["eval/match_to_target"] == pytest.approx(values["methods"]["output"]["match_to_target"])
    assert "eval/copy_input/fd_identity" in logged
    names = {Path(each.path).name for each in client.list_artifacts(tracker.run_id, "evaluation/tiny")}
    assert {"evaluation.md", "evaluation.json", "pairs.csv", "classes.csv", "pictures.png", "worst.png"} <= names

    assert values["people_are_new_to_the_model"] == "checked"
    assert "in its training is unknown" not in result.output

    strange = copy(data, tmp_path / "strange", "strange faces (2)")
    result = run("--data", str(strange.path), "--out", str(tmp_path / "other"))
    assert "saw the people of strange faces (2) in its training is unknown, the model was trained on other data." in result.output
    report = (tmp_path / "other" / "evaluation.md").read_text()
    assert "- people are new to the model: unknown, the model was trained on other data" in report
    assert "Logged as eval/strange faces -2-/… to" in result.output
    again = client.get_run(tracker.run_id).data.metrics
    assert {name: again[name] for name in logged} == logged, "the first evaluation stays"
    assert {"eval/strange faces -2-/match_to_target", "eval/strange faces -2-/copy_input/fd_identity"} <= set(again)
    assert len(client.list_artifacts(tracker.run_id, "evaluation/strange faces -2-")) == len(names)


def test_a_run_remembers_how_often_it_was_scored_on_test_people_and_val_is_not_counted(
    run: Run, data: Dataset, tiny: Any, tmp_path: Path, ready: Path
) -> None:
    tracker = Tracker(ready / "trained", experiment="e", run_name="trained", params={}, tags={}, say=lambda line: None)
    assert tracker.close() == 0
    info = {"run": "trained", "run_uid": tracker.uid, "run_id": tracker.run_id, "data_hash": data.content_hash}
    tiny.save("model", tiny.model(**info))
    client = mlflow.MlflowClient(tracking_uri=default_tracking_uri())

    chosen = run("--split", "val", "--out", str(tmp_path / "val"))
    assert "10 images of 1 subject of tiny's val split" in chosen.output
    assert "people of the val split" in chosen.output
    assert "N = 10 against the 12 real images of the val split, which hold" in chosen.output
    assert json.loads((tmp_path / "val" / "evaluation.json").read_text())["split"] == "val"
    found = client.get_run(tracker.run_id).data
    assert {name.split("/")[0] for name in found.metrics} == {"val"}
    assert "scored_on_test" not in found.tags
    assert [each.path for each in client.list_artifacts(tracker.run_id)] == ["validation"]

    first, second = (run("--out", str(tmp_path / "out")).output for _ in range(2))
    assert "Its run is scored on tiny's test people for the 1st time.\n" in first
    assert "for the 2nd time: what was chosen by the times before is no longer tested by them" in second
    assert client.get_run(tracker.run_id).data.tags["scored_on_test"] == "2"
    assert "- times scored on test: 2" in (tmp_path / "out" / "evaluation.md").read_text()

    other = copy(data, tmp_path / "strange", "strange faces (2)")
    assert "for the 1st time" in run("--data", str(other.path), "--out", str(tmp_path / "other")).output
    assert client.get_run(tracker.run_id).data.tags["scored_on_test/strange faces -2-"] == "1"
    (ready / "trained" / "tested.json").unlink()
    assert "for the 3rd time" in run("--out", str(tmp_path / "out")).output, "MLflow remembers too"


def test_pairs_of_test_people_are_refused_where_val_is_asked_for(run: Run, tmp_path: Path) -> None:
    run("--out", str(tmp_path / "first"))
    with pytest.raises(ConfigError, match="it is not in the data set's val split"):
        run("--split", "val", "--pairs-file", str(tmp_path / "first" / "pairs.csv"), "--out", str(tmp_path / "second"))


def test_a_run_that_ended_without_mlflow_is_logged_to_once_it_was_sent(
    run: Run, data: Dataset, tiny: Any, tmp_path: Path, ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.folder = ready / "trained"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    tracker = Tracker(ready / "trained", experiment="e", run_name="trained", params={}, tags={}, say=lambda line: None)
    assert tracker.close(timeout_s=1) > 0
    model = tiny.save("model", tiny.model(run="trained", run_uid=tracker.uid, run_id="", data_hash=data.content_hash))

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{ready}/mlflow.db")
    result = run("--out", str(tmp_path / "out"), model=model)
    why = f"trained is not in MLflow at sqlite:///{ready}/mlflow.db; send it with: legan sync {ready}/trained"
    assert f"The scores are in these files and not in MLflow: {why}" in result.output
    assert sync_run(ready / "trained") > 0
    result = run("--out", str(tmp_path / "out"), model=model)
    sent = run_in_store(ready / "trained").run_id
    assert f"Logged as eval/… to the model's MLflow run {sent}, the files under evaluation/tiny." in result.output
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["run_id"] == sent

    alone = tmp_path / "alone"
    shutil.copytree(model, alone)
    assert f"Logged as eval/… to the model's MLflow run {sent}" in run("--out", str(tmp_path / "again"), model=alone).output


def test_a_model_of_no_run_is_not_logged_and_that_is_said(run: Run, tmp_path: Path) -> None:
    result = run("--out", str(tmp_path / "out"))
    why = "nothing says which run of MLflow it comes from."
    assert f"The scores are in these files and not in MLflow: {why}" in result.output


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("http://127.0.0.1:9", "nothing can be added to the run in MLflow at http://127.0.0.1:9: it does not answer."),
        (None, "has no run run7; name the store that has it in MLFLOW_TRACKING_URI."),
    ],
)
def test_scores_are_kept_when_mlflow_cannot_take_them(
    uri: str | None, why: str, run: Run, tiny: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.save("model", tiny.model(run_id="run7", identity_weights="another"))
    if uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    else:
        home.mkdir()
    result = run("--out", str(home / "out"))
    assert result.exit_code == 0
    said = next(line for line in result.output.splitlines() if line.startswith("The scores are in these files and not in"))
    assert why in said
    assert (home / "out" / "evaluation.json").is_file()


def test_everything_wrong_is_said_at_once_before_anything_runs(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    wrong = ["--out", str(tmp_path / "file"), "--pairs-file", "nowhere.csv", "--quality", "no-q"]
    with pytest.raises(ConfigError) as caught:
        run(*wrong, model=Path("nowhere"), judge=Path("no-judge"), match=Path("no-matcher"))
    text = str(caught.value)
    assert len(caught.value.problems) == 6
    for part in (
        *(f"there is no run '{name}'" for name in ("nowhere", "no-judge", "no-matcher", "no-q")),
        "nowhere.csv does not exist",
        "is a file",
    ):
        assert part in text
    with pytest.raises(
        ConfigError, match=r"--classifier: .*matcher is an identity network \(T\); give a run of `legan train classifier`"
    ):
        run(judge=tmp_path / "matcher")


def test_simulated_raters_of_the_q_that_rates_are_named(data: Dataset, tiny: Any) -> None:
    classifier, matcher = tiny.save_judges()
    Q = tiny.quality()
    save_network(tiny.folder / "asked", "quality", numbers_of(Q), Q, simulated_ratings=False)
    model = str(tiny.save("model", tiny.model(simulated_ratings=True)))
    bench = prepare(model, EvaluationRequest(data.path, classifier, matcher))
    assert bench.about()["raters_of_quality"] == "simulated, no person was asked"
    assert any("simulated raters" in line for line in bench.advice)
    bench = prepare(model, EvaluationRequest(data.path, classifier, matcher, tiny.folder / "asked"))
    assert bench.about()["raters_of_quality"] is None


def test_facenet_as_matcher_needs_its_file(data: Dataset, tiny: Any) -> None:
    tiny.save("model", tiny.model())
    classifier, _ = tiny.save_judges()
    with pytest.raises(ConfigError, match=r"20180402-114759-vggface2\.pt .* are not in"):
        prepare(str(tiny.folder / "model"), EvaluationRequest(data.path, classifier, Path("facenet")))


@pytest.mark.long
def test_dlib_judges_photographs_that_nobody_trained_it_for(run: Run, data: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("dlib", reason="the extra dlib is not installed: pip install 'legan[dlib]'")
    result = run("--out", str(tmp_path / "out"), match=Path("dlib"))
    assert result.exit_code == 0
    assert "Whether the matcher is a stranger to these people is unknown, it does not name its people." in result.output
    table = pd.read_csv(tmp_path / "out" / "table.csv", index_col="method")
    assert table.loc["real images", "match_to_target"] == pytest.approx(1)
    assert 0 < table.loc["copy input", "match_to_target"] < 1
    assert table.loc["copy input", "fd_identity"] > 0


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("models:/legan@champion", "legan-champion"),
        ("runs:/12ab/model", "12ab-model"),
        ("here/first/model", "first"),
        ("first", "first"),
    ],
)
def test_folders_are_named_after_the_model(source: str, name: str) -> None:
    assert plain_name(source) == name


def test_a_data_sets_name_leads_nowhere_else(data: Dataset, home: Path) -> None:
    crooked = replace(data, name="x/../../../../tmp/evil")
    for folder in (default_folder("first", crooked), default_table_folder(1, crooked)):
        assert folder.parent == home / "evaluations"
        assert folder.name.endswith("-on-x-..-..-..-..-tmp-evil")
    assert default_folder("first", replace(data, name="Köpfe 2")).name == "first-on-Köpfe 2"


def test_help_shows_both_commands_and_how_a_model_is_evaluated(run: Run) -> None:
    app = typer.Typer()
    app.callback()(lambda: None)
    evaluate.mount(app)
    text = CliRunner().invoke(app, ["evaluate", "--help"], env={"COLUMNS": "120"}).output
    assert "legan evaluate MODEL --data DATA" in text
    assert "table" in text
    text = CliRunner().invoke(app, ["evaluate", "model", "--help"], env={"COLUMNS": "120"}).output
    assert "--pairs-file" in text
    options_first = CliRunner().invoke(app, ["evaluate", "--pairs", "0", "model-folder"], env={"COLUMNS": "120"})
    assert "--pairs" in options_first.output
    assert options_first.exit_code == 2


def test_a_data_set_of_the_wild_is_compared_with_the_source(run: Run, data: Dataset, tiny: Any, tmp_path: Path) -> None:
    any_one = data.faces.assign(expression="any", lighting="any")
    wild = write_dataset(
        tmp_path / "wild", name="wild", schema=AttributeSchema(("any",), ("any",)), faces=any_one, images=data.images[:],
        hulls=data.packed_hulls[:], source="tests",
    )  # fmt: skip
    result = run("--out", str(tmp_path / "out"), "--data", str(wild.path))
    assert result.exit_code == 0
    values = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert values["reference"] == "source"
    assert values["methods"]["real images"]["lighting_accuracy"] is None
    assert values["data_hash"] == wild.content_hash
