"""Champions are guarded: models whose quality is known, a real MLflow store, and the commands as a user types them."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest
from tests.platform.catalogue.known import make_model, write_negatives
from tests.processes import free_port, wait_for_page
from tests.tiny import save_networks
from typer.testing import CliRunner

from legan.cli import app
from legan.models.expression import AttributeClassifier
from legan.platform.data.dataset import open_dataset
from legan.platform.errors import ConfigError, LeganError, NotBetterError, TrackingError
from legan.platform.model import save_network, write_model
from legan.platform.tracking.places import default_home, default_tracking_uri
from legan.platform.tracking.ui import QUIET, command, end_group
from legan.platform.training.run_folder import Run, create_run

NewRun = Callable[..., Run]


def run(*words: object) -> str:
    """What a command prints that ends well."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    if done.exception is not None:
        raise done.exception
    return done.output


def champion(name: str = "legan") -> str | None:
    client = mlflow.MlflowClient(tracking_uri=default_tracking_uri())
    version = client.get_registered_model(name).aliases.get("champion")
    return None if version is None else str(version)


def versions() -> set[str]:
    client = mlflow.MlflowClient(tracking_uri=default_tracking_uri())
    return {str(each.version) for each in client.search_model_versions("name = 'legan'")}


def test_a_worse_model_takes_nobodys_place_until_it_is_forced_and_goes_back(new_run: NewRun) -> None:
    good, bad = new_run("good", "grey", register=True), new_run("bad", "noise")
    said = r"^bad is worse than the champion \(version 1\): SSIM to target (-?0\.\d{3}) against (-?0\.\d{3}), over 2 translations"
    for words in ([], ["--dry-run"]):
        with pytest.raises(NotBetterError, match=said) as refused:
            run("models", "promote", "bad", *words)
        assert str(refused.value).endswith("1 person of negatives's validation split; to promote it all the same, use --force.")
        own, others = map(float, re.match(said, str(refused.value)).groups())
        assert own < others
    assert (champion(), versions()) == ("1", {"1"})

    assert "bad would become models:/legan@champion; nothing was changed." in run(
        "models", "promote", "bad", "--force", "--dry-run"
    )
    assert versions() == {"1"}
    printed = run("models", "promote", bad.folder, "--force")
    assert "Forced, although bad is worse than the champion (version 1): " in printed
    assert "models:/legan@champion is now version 2, of the MLflow run " in printed
    assert "Before, it was version 1; `legan models rollback legan` brings that back." in printed
    assert champion() == "2"

    assert run("models", "rollback") == "models:/legan@champion is version 1 again; it was version 2.\n"
    assert champion() == "1"
    with pytest.raises(TrackingError, match="nothing is known of a champion of legan before version 1"):
        run("models", "rollback", "legan")
    shown = run("models", "show")
    assert "version 1, elsewhere\n" in shown
    assert re.search(r"version 2, forced at \S+ \S+ UTC\n  version 1, rolled back at ", shown)
    assert good.folder.name in shown


def test_a_better_model_takes_its_place_and_keeps_its_version(new_run: NewRun) -> None:
    new_run("bad", "noise", register=True)
    new_run("good", "grey", register=True)
    printed = run("models", "promote", "good", "--dry-run")
    assert re.search(r"^ +good +the champion \(version 1\) +copied input$", printed, re.MULTILINE)
    assert re.search(r"^SSIM to target ↑ +0\.\d{3} +-?0\.\d{3} +-0\.\d{3}$", printed, re.MULTILINE)
    assert champion() == "1"

    printed = run("models", "promote", "good")
    assert "models:/legan@champion is now version 2" in printed
    assert versions() == {"1", "2"}, "its training had registered it already"
    client = mlflow.MlflowClient(tracking_uri=default_tracking_uri())
    assert set(client.get_model_version("legan", "2").tags) >= {"val/ssim_to_target", "val/l1_to_target"}
    assert "good is version 2, which models:/legan@champion is already." in run("models", "promote", "good")
    assert "is version 2, which models:/legan@champion is already." in run("models", "promote", "models:/legan@champion")
    with pytest.raises(NotBetterError, match=r"models:/legan/1 is worse than the champion \(version 2\)"):
        run("models", "promote", "1")
    assert run("models", "rollback").startswith("models:/legan@champion is version 1 again")
    assert "is now version 2" in run("models", "promote", "models:/legan/2")


def test_below_copied_input_nothing_becomes_champion(new_run: NewRun, tiny_data: Path) -> None:
    new_run("noise", "noise", data=tiny_data)
    with pytest.raises(NotBetterError, match="noise is worse than copied input: SSIM to target "):
        run("models", "promote", "noise")
    printed = run("models", "promote", "noise", "--force")
    assert "There was no champion before." in printed
    assert champion() == "1"


def test_a_collapsed_model_becomes_champion_only_by_force(new_run: NewRun) -> None:
    new_run("bad", "noise", register=True)
    new_run("dull", "constant")
    with pytest.raises(
        NotBetterError, match=r"^dull has collapsed: its output does not depend on the lighting asked for \(it changes"
    ):
        run("models", "promote", "dull")
    assert "Forced, although dull has collapsed: its output" in run("models", "promote", "dull", "--force")
    assert champion() == "2"


def test_a_champion_of_other_classes_or_sizes_cannot_be_compared(new_run: NewRun, tmp_path: Path) -> None:
    new_run("first", "grey", register=True)
    new_run("lights", "grey", data=write_negatives(tmp_path / "lights", lightings=("plain", "sunset")))
    new_run("large", "grey", data=write_negatives(tmp_path / "large", size=64))
    for name, why in (
        ("lights", "that one does not know the lightings sunset"),
        ("large", "that one makes images of 32×32, not of 64×64"),
    ):
        with pytest.raises(NotBetterError) as refused:
            run("models", "promote", name)
        assert str(refused.value) == (
            f"{name} cannot be compared with the champion (version 1): {why}; compare both with `legan evaluate`, each "
            "on its own data; to promote it all the same, use --force."
        )
    assert "is now version 2" in run("models", "promote", "large", "--force")


def test_a_champion_trained_on_other_data_is_compared_on_the_candidates(new_run: NewRun, tmp_path: Path) -> None:
    new_run("first", "noise", register=True)
    new_run("second", "grey", data=write_negatives(tmp_path / "others", seed=1))
    printed = run("models", "promote", "second")
    assert "The champion was trained on other data than others; it may have seen these people." in printed
    assert champion() == "2"


def test_data_that_moved_is_named_and_other_data_refused(new_run: NewRun, negatives: Path, tmp_path: Path) -> None:
    new_run("first", "grey", register=True)
    new_run("second", "grey")
    moved = tmp_path / "moved"
    shutil.move(negatives, moved)
    with pytest.raises(
        NotBetterError,
        match=r"second cannot be compared with anything: the data \S*negatives that it was trained on is not there",
    ):
        run("models", "promote", "second")
    others = write_negatives(tmp_path / "others", seed=1)
    with pytest.raises(NotBetterError, match=r"others is other data than it was trained on .*, so it may have seen these people"):
        run("models", "promote", "second", "--data", others)
    assert "is now version 2" in run("models", "promote", "second", "--data", moved)
    assert "is now version 1" in run("models", "promote", "models:/legan/1", "--data", moved)


def test_without_targets_judges_decide(new_run: NewRun, tiny_data: Path, tmp_path: Path) -> None:
    single = write_negatives(tmp_path / "single", paired=False)
    new_run("first", "noise", data=single, register=True)
    second = new_run("second", "grey", data=single)
    with pytest.raises(NotBetterError) as refused:
        run("models", "promote", second.folder)
    for option in ("--classifier", "--matcher"):
        assert f"{option}: single has no true targets, so that outputs need a judge; give one" in str(refused.value)

    saved = save_networks(tmp_path / "networks", tiny_data)
    judges = ("--classifier", saved["classifier"], "--matcher", saved["matcher"])
    with pytest.raises(NotBetterError, match="--classifier: it knows other classes than the model"):
        run("models", "promote", "second", *judges)

    numbers = {"expressions": 1, "lightings": 2, "image_size": 32, "width": 4}
    schema = open_dataset(single).schema.to_dict()
    save_network(saved["classifier"], "attribute_classifier", numbers, AttributeClassifier(**numbers), schema=schema)
    printed = run("models", "promote", "second", "--force", *judges)
    assert re.search(r"^accuracy × match +-?\d\.\d{3} +-?\d\.\d{3} +\d\.\d{3}$", printed, re.MULTILINE)
    assert re.search(r"^Match to source ↑ +-?\d\.\d{3} +-?\d\.\d{3} +1\.000$", printed, re.MULTILINE)


def test_what_cannot_become_champion_is_said_at_once(new_run: NewRun, ready: Path, tiny_data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as wrong:
        run("models", "promote", "nobody", "--classifier", tmp_path / "a", "--matcher", tmp_path / "b")
    assert len(wrong.value.problems) == 3
    assert "RUN|VERSION: there is no run 'nobody'; runs under " in str(wrong.value)

    kept = new_run("first", "grey", register=True)
    begun = create_run(ready, "legan", kept.settings, "begun")
    with pytest.raises(ConfigError, match="the run begun has no model yet"):
        run("models", "promote", "begun")
    write_model(begun.model, make_model(kept.settings.data, "grey"))
    with pytest.raises(
        TrackingError, match=r"model cannot be registered: begun is not in MLflow at .*; send it with: legan sync "
    ):
        run("models", "promote", "begun")
    shutil.copytree(save_networks(tmp_path / "networks", tiny_data)["identity"], ready / "T" / "model")
    (ready / "T" / "config.yaml").write_text((kept.folder / "config.yaml").read_text())
    with pytest.raises(ConfigError, match="T is a training of legan, and only models that translate faces have a champion"):
        run("models", "promote", "T")
    with pytest.raises(ConfigError, match=r"models:/legan/7 is unknown: legan has the aliases @champion and the versions 1"):
        run("models", "promote", "7")
    with pytest.raises(TrackingError, match="there is no registered model 'stargan'; registered models: legan"):
        run("models", "rollback", "stargan")


def test_models_are_listed_and_shown(new_run: NewRun, monkeypatch: pytest.MonkeyPatch) -> None:
    new_run("bad", "noise", register=True)
    new_run("good", "grey", register=True)
    run("models", "promote", "good")
    lines = run("models", "list").splitlines()
    assert [line.split()[0] for line in lines] == ["version", "models:/legan/2", "models:/legan/1"]
    assert re.match(r"models:/legan/2 +@champion +good +ssim_to_target 0\.\d+ +negatives +\d{4}-", lines[1])
    assert re.match(r"models:/legan/1 +bad +l1_to_target 0\.3 +negatives", lines[2])
    shown = run("models", "show", "1")
    assert "val/l1_to_target  0.3" in shown
    card = (default_home() / "bad" / "model" / "README.md").read_text()
    assert card.rstrip() in shown
    assert run("models", "show", "bad").rstrip() == card.rstrip()
    assert run("models", "show", str(default_home() / "bad" / "model")).rstrip() == card.rstrip()

    values = CliRunner().invoke(app, ["models", "list", "legan", "--json"]).output
    assert [each["version"] for each in json.loads(values)] == ["2", "1"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    with pytest.raises(LeganError, match=r"MLflow at http://127\.0\.0\.1:9 cannot do it now \(it does not answer\)"):
        run("models", "list")


@pytest.mark.long
@pytest.mark.kills
def test_a_server_keeps_champions_as_the_file_does(
    new_run: NewRun, ready: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its models are fetched, and a run whose folder is elsewhere is listed and promoted by its version."""
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            command(tmp_path / "server.db", port), env=os.environ | QUIET, stdout=log, stderr=log, start_new_session=True,
            cwd=tmp_path,
        )  # fmt: skip
    try:
        wait_for_page(f"http://127.0.0.1:{port}/health")
        good, bad = new_run("good", "grey", register=True), new_run("bad", "noise", register=True)
        with pytest.raises(NotBetterError, match=r"bad is worse than the champion \(version 1\)"):
            run("models", "promote", "bad")
        run("models", "promote", "bad", "--force")
        assert (champion(), versions()) == ("2", {"1", "2"})
        shutil.rmtree(good.folder)
        lines = run("runs", "list").splitlines()
        assert [line.split()[:3] for line in lines[1:]] == [["bad", "legan", "finished"], ["good", "legan", "finished"]]
        assert f"http://127.0.0.1:{port}/#/runs/" in run("runs", "show", "good")
        assert re.search(r"^batch_size +4$", run("runs", "show", "good"), re.MULTILINE)
        assert "They have the same settings." in run("runs", "compare", "good", bad.folder)
        assert "models:/legan@champion is now version 1" in run("models", "promote", "models:/legan/1")
        assert run("models", "rollback").startswith("models:/legan@champion is version 2 again")
        assert run("models", "list").count("@champion") == 1
    finally:
        end_group(server)
