import os

import pytest

from legan.platform.experiments.steps import Step, StepFailedError, Steps, start


def test_a_step_that_is_done_is_not_begun(tmp_path):
    said = []
    (tmp_path / "done").touch()
    Steps(said.append).run(Step("first", ("no", "such", "command"), (tmp_path / "done").is_file))
    assert said == []


def test_what_a_step_says_is_passed_on_and_what_it_failed_of_told(tmp_path):
    said: list[str] = []
    with pytest.raises(StepFailedError, match=r"first failed \(exit code 2\): .*is no data set"):
        Steps(said.append).run(Step("first", ("data", "show", "nowhere"), (tmp_path / "done").is_file))
    assert said[0] == "first: legan data show nowhere"
    assert all(line.startswith("first: ") for line in said)


def test_a_step_that_leaves_nothing_has_failed(tmp_path):
    with pytest.raises(StepFailedError, match="exit code 0"):
        Steps(lambda line: None).run(Step("first", ("--version",), (tmp_path / "done").is_file))


def test_a_child_is_in_no_group_that_the_terminal_tells_of_ctrl_c():
    with start(("--version",)) as child:
        assert os.getpgid(child.pid) == child.pid != os.getpgid(0)
        assert child.stdout is not None
        assert child.stdout.read().startswith("legan ")
