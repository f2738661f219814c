"""Both ends of a submission without a cluster between them; with one: test_two_nodes.py."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from legan._version import __version__
from legan.platform.errors import ClusterError, ConfigError, Problem
from legan.platform.jobs.travel import built_package
from legan.sweeps.remote.receive import receive
from legan.sweeps.remote.submit import submit_sweep
from legan.sweeps.run.request import elsewhere, settings_from
from legan.sweeps.sweep import Sweep, SweepSettings, create_sweep, open_sweep

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def sent(tmp_path: Path, asked: dict[str, Any]) -> Sweep:
    """What travels, of a preset that the other end does not have."""
    sweep = create_sweep(tmp_path / "here", "tiny", SweepSettings.model_validate(asked | {"suite": "upsampling"}))
    Path(asked["preset"]).unlink()
    return sweep


def test_what_is_sent_becomes_the_same_sweep_there_and_goes_on_the_second_time(sent: Sweep, home: Path) -> None:
    made = receive(sent.folder, "tiny", __version__)
    assert made.folder == home / "sweeps" / "tiny"
    assert made.settings == sent.settings
    assert Path(made.preset).read_text() == Path(sent.preset).read_text()
    assert receive(sent.folder, "tiny", __version__) == open_sweep(home, "tiny")


def test_names_of_runs_are_those_of_the_cluster(sent: Sweep, home: Path) -> None:
    home.mkdir()
    for name in ("T", "Q"):
        (home / name).mkdir()
        (home / name / "config.yaml").touch()
    (home / "T" / "model").symlink_to(sent.settings.identity)
    document = yaml.safe_load((sent.folder / "sweep.yaml").read_text())
    (sent.folder / "sweep.yaml").write_text(yaml.safe_dump(document | {"identity": "T"}))
    assert receive(sent.folder, "tiny", __version__).settings.identity == home / "T" / "model"
    (sent.folder / "sweep.yaml").write_text(yaml.safe_dump(document | {"quality": "Q"}))
    with pytest.raises(ConfigError, match="--quality: the run Q has no model yet"):
        receive(sent.folder, "other", __version__)


def test_another_sweep_of_the_name_is_left_alone(sent: Sweep, home: Path) -> None:
    receive(sent.folder, "tiny", __version__)
    file = sent.folder / "sweep.yaml"
    file.write_text(file.read_text().replace("pairs: 6", "pairs: 7").replace("seeds: 1", "seeds: 2"))
    with pytest.raises(ConfigError, match=r"other settings \(seeds was 1 and is now 2; pairs was 6 and is now 7\); repeat them"):
        receive(sent.folder, "tiny", __version__)


def test_a_changed_preset_is_told(sent: Sweep, home: Path) -> None:
    receive(sent.folder, "tiny", __version__)
    preset = sent.folder / "preset.yaml"
    preset.write_text(preset.read_text().replace("steps: 4", "steps: 5"))
    with pytest.raises(ConfigError, match=r"other settings \(the preset \S+preset\.yaml has changed since\)"):
        receive(sent.folder, "tiny", __version__)


def test_another_version_is_one_sentence(sent: Sweep, home: Path) -> None:
    said = f"this cluster has legan {__version__} and the sweep comes from legan 9.9; install the same on both, or send"
    with pytest.raises(ConfigError, match=said):
        receive(sent.folder, "tiny", "9.9")


@pytest.mark.parametrize("home", ["", "runs"])
def test_a_cluster_without_a_home_is_told(sent: Sweep, home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEGAN_HOME", home)
    with pytest.raises(ConfigError, match="LEGAN_HOME: it is not set on this cluster, or no whole path; give --home FOLDER"):
        receive(sent.folder, "tiny", __version__)


def test_everything_that_is_missing_at_the_cluster_is_told_at_once(sent: Sweep, home: Path) -> None:
    document = yaml.safe_load((sent.folder / "sweep.yaml").read_text())
    wrong = {"data": "/no/data", "classifier": "/no/classifier"}
    (sent.folder / "sweep.yaml").write_text(yaml.safe_dump(document | wrong))
    with pytest.raises(ConfigError) as raised:
        receive(sent.folder, "tiny", __version__)
    assert all(path in str(raised.value) for path in wrong.values())
    assert not (home / "sweeps").exists()


def test_what_can_be_seen_here_is_told_before_the_cluster_is_asked(tmp_path: Path) -> None:
    given = {
        "data": Path("/cluster/data"),
        "classifier": Path("C"),
        "matcher": Path("facenet"),
        "identity": Path("T"),
        "quality": Path("Q"),
    }
    overrides = ["loss.qq=1", "batch_size=-1", "nothing"]
    settings = settings_from("q", given | {"overrides": overrides}, elsewhere)
    assert settings.identity == Path("T")
    with pytest.raises(ConfigError) as raised:
        submit_sweep(NOWHERE, "tiny", settings, "runs", False, print)
    problems = raised.value.problems
    assert sorted(problem.place for problem in problems) == ["--home", "--set nothing", "batch_size", "loss.qq"]
    assert problems[-1].message == "runs is a folder of the cluster; give its whole path"
    with pytest.raises(ClusterError, match="no Ray dashboard answers"):
        submit_sweep(NOWHERE, "tiny", settings.model_copy(update={"overrides": ()}), None, False, print)


def test_paths_that_only_mean_something_here_are_refused() -> None:
    given = {"data": Path("faces"), "classifier": Path("runs/C"), "matcher": Path("facenet")}
    with pytest.raises(ConfigError) as raised:
        settings_from("q", given, elsewhere)
    assert raised.value.problems == [
        Problem("--data", "faces is looked for on the cluster; give the whole path there"),
        Problem("--classifier", "runs/C is looked for on the cluster; give the whole path there or the name of a run"),
    ]


def test_the_code_that_is_sent_is_the_wheels_and_the_source_stays_as_it_is(tmp_path: Path) -> None:
    repository = Path(__file__).parents[3]
    before = subprocess.run(["git", "status", "--porcelain", "--ignored"], cwd=repository, capture_output=True, check=True).stdout
    package = built_package(tmp_path)
    assert (package / "_version.py").read_text() == f'__version__ = "{__version__}"\n'
    packed = {path.relative_to(package) for path in package.rglob("*") if path.suffix in (".py", ".yaml", ".html")}
    folders = ("models", "platform", "sweeps", "serve")
    source = {path.relative_to(repository) for folder in folders for path in (repository / folder).rglob("*.py")}
    assert source <= packed
    assert Path("platform/presets/quick.yaml") in packed
    after = subprocess.run(["git", "status", "--porcelain", "--ignored"], cwd=repository, capture_output=True, check=True).stdout
    assert after == before
