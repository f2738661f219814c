import json
import shutil

import numpy as np
import pytest
from tests.platform.experiments.conftest import translated
from tests.tiny import keep_faces

from legan.platform.data.dataset import open_dataset
from legan.platform.errors import ConfigError
from legan.platform.experiments.experiment import Experiment, create_experiment
from legan.platform.experiments.plan import (
    check_experiment,
    describe,
    equal_steps,
    evaluation_step,
    open_trial,
    remember,
    training_step,
    translation_arguments,
)
from legan.platform.settings import IdentitySettings
from legan.platform.training.checks import Inputs


@pytest.fixture
def checked(asked, tmp_path):
    """What is wrong with the settings after these changes, the translations being there already."""
    done = Experiment(tmp_path / "done", asked)
    translated(done)

    def problems(**changes):
        with pytest.raises(ConfigError) as told:
            check_experiment(done._replace(settings=asked.model_copy(update=changes)), Inputs())
        return "\n".join(map(str, told.value.problems))

    return problems


def test_what_can_be_done_is_described(asked, tmp_path):
    made = Experiment(tmp_path / "first", asked)
    facts = check_experiment(made, Inputs(), workers=0)
    text = describe(made, facts)
    assert "8 trainings (4 arms, 2 seeds) of `legan train identity`, each 4 steps of 4 images" in text
    assert "--random 1 --train-only --no-originals" in text
    assert not made.folder.exists()


def test_all_that_is_wrong_is_told_at_once(checked, tmp_path):
    told = checked(test_data=tmp_path / "nowhere", overrides=("steps=0", "colour=red"), real=tmp_path / "neither")
    for place in ("steps", "colour", "--test-data", "--real"):
        assert place in told


def test_data_that_are_missing_are_told_once_and_the_list_beside_them(checked, tmp_path):
    nowhere = tmp_path / "nowhere"
    told = checked(data=nowhere, test_data=nowhere, pairs=tmp_path / "none.csv").splitlines()
    assert [line for line in told if "is no data set" in line] == [line for line in told if line.startswith("--data: ")]
    assert len([line for line in told if line.startswith("--data: ")]) == 1
    assert any(line.startswith("--list: ") for line in told)


def test_what_an_experiment_began_with_is_told_with_all_else(asked, tmp_path):
    made = create_experiment(tmp_path / "first", asked)
    translated(made)
    changed = made._replace(settings=asked.model_copy(update={"seeds": 4, "arms": ("none", "legan"), "real": tmp_path / "no"}))
    with pytest.raises(ConfigError) as told:
        check_experiment(changed, Inputs())
    said = "\n".join(map(str, told.value.problems))
    assert "arms was none, legan, jitter, copies and is now none, legan; seeds was 2 and is now 4)" in said
    assert "--real: " in said


def test_a_folder_of_runs_that_is_a_file_is_told(asked, tmp_path):
    (tmp_path / "home").touch()
    with pytest.raises(ConfigError, match=r"cannot be kept in .*: .*home is a file; name another folder"):
        check_experiment(Experiment(tmp_path / "home" / "first", asked.model_copy(update={"data": tmp_path / "none"})), Inputs())


def test_pairs_of_people_who_are_learned_from_are_refused(checked, tmp_path):
    rows = "\n".join(f"{one},{other},{int(one // 12 == other // 12)}" for one in range(12) for other in range(12, 24))
    (tmp_path / "known.csv").write_text(f"first,second,same\n0,1,1\n{rows}\n")
    assert "2 of the 2 people of the pairs are in the training split of --data" in checked(pairs=tmp_path / "known.csv")


def test_a_list_that_is_missing_or_names_nobody_is_told(checked, tmp_path):
    assert "is no file" in checked(pairs=tmp_path / "nowhere.csv")
    (tmp_path / "odd.csv").write_text("first,second,same\n900,901,1\n")
    assert "names 2 faces" in checked(pairs=tmp_path / "odd.csv")


def test_expressions_that_only_one_side_shows_are_named(checked, tiny_data, tmp_path):
    whole = open_dataset(tiny_data)
    gone = (whole.faces["expression"] == "scream") & (whole.faces["split"] == "test")
    lacking = keep_faces(whole, tmp_path / "lacking", ~gone)
    told = checked(question="expression", pairs=None, protocol=None, test_data=lacking, overrides=("steps=4",))
    assert "show other expressions (scream)" in told


def test_a_model_of_another_size_is_told_before_anything_is_made(asked, tmp_path):
    made = Experiment(tmp_path / "first", asked.model_copy(update={"model": "box:rendered"}))
    with pytest.raises(ConfigError, match="64") as told:
        check_experiment(made, Inputs())
    assert all(problem.place == "--model" for problem in told.value.problems)
    assert not (tmp_path / "first").exists()


def test_arms_are_trained_for_equal_steps():
    by_epochs = IdentitySettings(epochs=2, batch_size=10)
    assert equal_steps(by_epochs, 101).steps == 21
    assert equal_steps(by_epochs, 101).epochs is None
    assert equal_steps(IdentitySettings(steps=7), 101).steps == 7


def test_steps_are_commands_that_a_user_could_type(asked, tmp_path):
    made = Experiment(tmp_path / "first", asked)
    run = str(tmp_path / "first" / "trials" / "legan-1")
    assert training_step(made, "legan", 1, None).arguments == ("train", "identity", "--resume", run)
    assert training_step(made, "legan", 1, "head:6379").arguments[-2:] == ("--address", "head:6379")
    scored = evaluation_step(made, "legan", 1).arguments
    assert scored[:3] == ("evaluate", "verification", run)
    assert scored[scored.index("--list") + 1] == str(asked.pairs)
    balance = translation_arguments(asked.model_copy(update={"question": "expression"}), tmp_path, 0, None)
    assert balance[-5:] == ("--balance", "expression", "--no-originals", "--workers", "0")


def test_a_training_is_done_once_its_run_is_finished_too(asked, tmp_path):
    made = Experiment(tmp_path / "first", asked)
    run = made.trial("none", 0)
    (run / "model").mkdir(parents=True)
    (run / "model" / "network.json").write_text("{}")
    done = training_step(made, "none", 0, None).done
    assert not done()
    for status, expected in (("KILLED", False), ("FINISHED", True)):
        with (run / "tracking.jsonl").open("a") as record:
            record.write(json.dumps({"kind": "metrics", "time": 0, "step": 1, "values": {"loss/total": 1.0}}) + "\n")
            record.write(json.dumps({"kind": "close", "time": 0, "status": status}) + "\n")
        assert done() is expected


def test_trials_of_a_seed_differ_in_their_data_alone(asked, tmp_path):
    made = create_experiment(tmp_path / "first", asked)
    inputs = Inputs()
    one, other = (open_trial(made._replace(settings=asked), "none", seed, inputs, 48, 0, None) for seed in (0, 1))
    assert one.settings.model_copy(update={"seed": 1}) == other.settings
    assert one.tags["variant"] == "none"
    assert not one.register
    assert open_trial(made, "none", 0, inputs, 48, 0, None).settings == one.settings


def test_what_changed_since_is_told(asked, tiny_data, tmp_path):
    shutil.copytree(tiny_data, tmp_path / "faces")
    made = create_experiment(tmp_path / "first", asked.model_copy(update={"data": tmp_path / "faces"}))
    remember(made, Inputs())
    remember(made, Inputs())
    whole = open_dataset(tmp_path / "faces")
    shutil.rmtree(tmp_path / "faces")
    keep_faces(whole, tmp_path / "faces", np.arange(72) < 71)
    with pytest.raises(ConfigError, match="has changed since first began"):
        remember(made, Inputs())
