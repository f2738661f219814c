from pathlib import Path

import pytest
from typer.testing import CliRunner

from legan.cli import app
from legan.platform import config
from legan.platform.commands.train import KINDS
from legan.platform.errors import ConfigError


def test_every_kind_of_training_has_a_command_with_inputs_that_its_settings_have() -> None:
    assert list(KINDS) == list(config.KINDS)
    for kind, (_, inputs) in KINDS.items():
        assert set(inputs) <= set(config.KINDS[kind].model_fields)


def test_what_a_kind_is_given_reaches_its_settings(home: Path, tiny_data: Path) -> None:
    given = ["--data", str(tiny_data), "--set", "steps=1", "--workers", "0", "--cpu"]
    done = CliRunner().invoke(app, ["train", "classifier", *given, "--dry-run"], catch_exceptions=False)
    assert "kind: classifier" in done.output
    assert f"data: {tiny_data}" in done.output
    assert "workers: 0" in done.output


def test_a_run_that_goes_on_takes_no_other_settings(ready: Path) -> None:
    (ready / "begun").mkdir()
    (ready / "begun" / "config.yaml").write_text("kind: classifier\nsettings: {steps: 1}\n")
    own = "a run goes on with its own settings"
    cases = {"--preset quick": own, "--workers 0": own, "--name other": own, "--data there": "--data: begun is trained without"}
    for more, said in cases.items():
        with pytest.raises(ConfigError, match=said):
            CliRunner().invoke(app, ["train", "classifier", "--resume", "begun", *more.split()], catch_exceptions=False)


def test_a_command_takes_only_its_kinds_inputs() -> None:
    for kind, option in (("identity", "--quality"), ("quality", "--data"), ("stargan_v2", "--identity")):
        done = CliRunner().invoke(app, ["train", kind, option, "there"])
        assert done.exit_code == 2
        assert f"No such option: {option}" in done.output


def test_a_setting_and_its_option_are_not_both_given(home: Path, tiny_data: Path) -> None:
    given = ["train", "classifier", "--data", str(tiny_data), "--workers", "0", "--dry-run"]
    with pytest.raises(ConfigError) as caught:
        CliRunner().invoke(app, [*given, "--set", "data=there", "--set", "workers=2", "--set", "steps=1"], catch_exceptions=False)
    assert [str(problem) for problem in caught.value.problems] == [
        f"--set data=there: --data says {tiny_data} already; leave one of them out",
        "--set workers=2: --workers says 0 already; leave one of them out",
    ]
