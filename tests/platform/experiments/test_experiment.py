from pathlib import Path

import pytest
import yaml

from legan.platform.config import check_settings
from legan.platform.errors import CheckpointError, ConfigError
from legan.platform.experiments.experiment import (
    FILE,
    ExperimentSettings,
    create_experiment,
    experiments_home,
    open_experiment,
)

VALUES = {"question": "expression", "data": Path("/data/faces"), "model": "box:rendered", "test_data": Path("/data/faces")}


def test_an_experiment_is_opened_as_it_was_made(tmp_path):
    folder = experiments_home(tmp_path) / "first"
    made = create_experiment(folder, ExperimentSettings(**VALUES, seeds=2))
    assert open_experiment(folder) == made
    assert made.name == "first"
    assert made.trial("legan", 1) == folder / "trials" / "legan-1"
    assert made.data("none") == Path("/data/faces")
    assert made.data("copies") == folder / "data" / "copies"


def test_the_same_again_opens_it_and_other_settings_are_told(tmp_path):
    first = create_experiment(tmp_path / "first", ExperimentSettings(**VALUES))
    assert create_experiment(tmp_path / "first", ExperimentSettings(**VALUES)) == first
    with pytest.raises(ConfigError, match=r"other settings \(seeds was 3 and is now 4\); repeat them to go on"):
        create_experiment(tmp_path / "first", ExperimentSettings(**VALUES, seeds=4))


def test_a_folder_that_is_something_else_is_left_alone(tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letter.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is there and is no experiment"):
        create_experiment(tmp_path / "taken", ExperimentSettings(**VALUES))
    assert (tmp_path / "taken" / "letter.txt").read_text() == "mine"


def test_a_name_that_leads_elsewhere_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be an experiment's name"):
        create_experiment(tmp_path / "-x", ExperimentSettings(**VALUES))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"arms": ("legan", "copies")}, "the arm none is missing"),
        ({"arms": ("none", "real")}, "name it with --real"),
        ({"real": Path("/data/more")}, "the arm real is not asked for"),
        ({"arms": ("none", "mirror")}, "none"),
        ({"seeds": 0}, "seeds"),
        ({"colour": "red"}, "there is no such setting"),
    ],
)
def test_settings_that_do_not_fit_are_told(change, said):
    settings, problems = check_settings(ExperimentSettings, {**VALUES, **change})
    assert settings is None
    assert said in "; ".join(map(str, problems))


def test_a_damaged_file_is_named(tmp_path):
    create_experiment(tmp_path / "first", ExperimentSettings(**VALUES))
    file = tmp_path / "first" / FILE
    file.write_text(yaml.safe_dump({"question": "taste"}))
    with pytest.raises(ConfigError, match=r"experiment\.yaml"):
        open_experiment(tmp_path / "first")
    file.unlink()
    with pytest.raises(CheckpointError, match="is no experiment"):
        open_experiment(tmp_path / "first")
