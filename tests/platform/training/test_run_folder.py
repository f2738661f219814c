from pathlib import Path

import pytest
import yaml

from legan.platform.errors import ConfigError, LeganError, Problem, TrackingError
from legan.platform.settings import IdentitySettings, LeganSettings
from legan.platform.training.loop import Interrupted, StoppedEarly
from legan.platform.training.run_folder import Run, create_run, open_run, raise_status, with_settings, write_status


@pytest.mark.parametrize(
    ("ended", "raised"),
    [
        (StoppedEarly(), StoppedEarly),
        (Interrupted("step 7"), Interrupted),
        (LeganError("the loss became nan"), LeganError),
        (ConfigError([Problem("loss.q", "one"), Problem("", "two")]), LeganError),
        (TrackingError("another process holds the record"), TrackingError),  # which is worth another try
    ],
)
def test_whoever_started_workers_is_told_what_ended_them(
    ended: BaseException, raised: type[BaseException], tmp_path: Path
) -> None:
    run = Run(tmp_path, "identity", IdentitySettings(data=tmp_path, steps=1))
    write_status(run, ended)  # type: ignore[arg-type]
    with pytest.raises(raised) as caught:
        raise_status(run)
    assert type(caught.value) is raised
    assert str(caught.value) == str(ended)
    write_status(run, None)
    raise_status(run)


def test_workers_that_left_no_word_are_no_success(tmp_path: Path) -> None:
    with pytest.raises(LeganError, match="ended without a word; continue it with --resume"):
        raise_status(Run(tmp_path, "identity", IdentitySettings(data=tmp_path, steps=1)))


def test_a_run_folder_has_its_settings_from_the_start_or_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = IdentitySettings(data=tmp_path, steps=1)

    def full(document: object, **how: object) -> str:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(yaml, "safe_dump", full)
        with pytest.raises(OSError, match="No space left"):
            create_run(tmp_path, "identity", settings, "first")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "first").mkdir()  # as an older version left it
    assert create_run(tmp_path, "identity", settings, "first").folder == tmp_path / "first"
    assert open_run(tmp_path, "first").settings == settings


def test_of_two_processes_that_make_a_run_one_is_told_that_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = IdentitySettings(data=tmp_path, steps=1)
    dump = yaml.safe_dump

    def slow(*document: object, **how: object) -> str:
        monkeypatch.setattr(yaml, "safe_dump", dump)
        create_run(tmp_path, "identity", settings.model_copy(update={"seed": 5}), "first")
        return str(dump(*document, **how))

    monkeypatch.setattr(yaml, "safe_dump", slow)
    with pytest.raises(ConfigError, match="there is a run first already; continue it with --resume"):
        create_run(tmp_path, "identity", settings, "first")
    assert open_run(tmp_path, "first").settings.seed == 5
    assert [path.name for path in tmp_path.iterdir()] == ["first"]


def test_a_moved_home_takes_what_is_below_it_along(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = LeganSettings(data=Path("/data/faces"), identity=home / "T/model", quality=home.parent / "Q", steps=1)
    run = create_run(home, "legan", settings, "first")
    stored = yaml.safe_load((run.folder / "config.yaml").read_text())["settings"]
    assert (stored["data"], stored["identity"]) == ("/data/faces", "../T/model")
    assert stored["quality"] == str(home.parent / "Q")
    assert open_run(home, "first").settings == settings

    moved = home.parent / "elsewhere"
    home.rename(moved)
    monkeypatch.setenv("LEGAN_HOME", str(moved))
    for name in ("first", str(moved / "first")):
        assert open_run(moved, name).settings == settings.model_copy(update={"identity": moved / "T/model"})
    monkeypatch.chdir(moved / "first")
    assert open_run(Path("/"), ".").settings.identity == moved / "T/model"  # type: ignore[attr-defined]


def test_a_run_remembers_where_its_inputs_are_now_and_all_else_that_its_file_says(home: Path) -> None:
    run = create_run(home, "identity", IdentitySettings(data=Path("/data"), steps=1), "first", {"suite": "q"}, register=False)
    file = run.folder / "config.yaml"
    file.write_text(file.read_text() + "later: 1\n")
    changed = with_settings(run, run.settings.model_copy(update={"data": home / "faces", "threads": 3}))
    assert open_run(home, "first") == changed
    assert changed.tags == {"suite": "q"}
    assert yaml.safe_load(file.read_text())["later"] == 1
    assert yaml.safe_load(file.read_text())["settings"]["data"] == "../faces"
