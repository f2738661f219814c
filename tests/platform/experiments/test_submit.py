import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests.processes import without_rays
from typer.testing import CliRunner

from legan.cli import app
from legan.platform.errors import ClusterError, ConfigError
from legan.platform.experiments.submit import arguments, submit_experiment

NOWHERE = "http://127.0.0.1:9"


def test_the_command_there_is_the_one_that_was_asked_for(asked):
    words = arguments("first", asked, {"--workers": 1, "--gpu": True, "--address": None, "--at-once": 8})
    assert words[:2] == ["experiment", "verification"]
    assert "--address" not in words
    text = shlex.join(words)
    assert f"--data {asked.data} " in text
    assert "--workers 1 --gpu --at-once 8" in text
    assert "--arm none --arm legan --arm jitter --arm copies" in text
    assert "--set network=lightcnn9" in text
    done = CliRunner().invoke(app, [*words, "--help"])
    assert done.exit_code == 0, done.output


def test_what_can_be_seen_here_is_told_before_the_cluster_is_asked(asked):
    wrong = asked.model_copy(update={"data": Path("faces"), "overrides": ("colour=red", "steps=0")})
    with pytest.raises(ConfigError) as told:
        submit_experiment(NOWHERE, "first", wrong, {}, "runs", False, print)
    assert {problem.place for problem in told.value.problems} == {"--home", "--data", "colour", "steps"}
    with pytest.raises(ClusterError, match="no Ray dashboard answers"):
        submit_experiment(NOWHERE, "first", asked, {}, None, False, print)


def test_options_of_a_cluster_need_one(tiny_data):
    words = ["experiment", "expression", "--data", str(tiny_data), "--model", "box:rendered", "--home", "/srv", "--ship-code"]
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, ConfigError)
    assert [problem.place for problem in done.exception.problems] == ["--home", "--ship-code"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--name", "a/b"), ("--name", "'a/b' cannot be an experiment's name")),
        (("--name", ".."), ("--name", "'..' cannot be an experiment's name")),
        (("--set", " seed=4"), ("--set  seed=4", "by --seeds; leave it out")),
        (("--arm", "none", "--arm", "none"), ("--arm none", "given twice")),
        (("--arm", "none", "--arm", "mirror"), ("--arm", "'mirror' is unknown")),
        (("--arm", "legan"), ("--arm", "the arm none is missing")),
    ],
)
def test_what_cannot_be_asked_names_the_option(tiny_data, words, told):
    asked = ["experiment", "expression", "--data", str(tiny_data), "--model", "box:rendered", "--dry-run", *words]
    done = CliRunner().invoke(app, asked)
    assert isinstance(done.exception, ConfigError)
    (problem,) = done.exception.problems
    assert problem.place == told[0]
    assert told[1] in problem.message


@pytest.mark.long
@pytest.mark.kills
def test_table_5_is_made_by_a_job_of_a_cluster(head_node, sparse_data, translator, tmp_path):
    settings = [part for change in ("steps=4", "width=4", "batch_size=4") for part in ("--set", change)]
    asked = ["--data", str(sparse_data), "--model", str(translator), "--seeds", "1", "--arm", "none", "--workers", "0"]
    submit = ["--submit", head_node.dashboard, "--home", str(tmp_path / "there"), "--name", "first"]

    def legan(*words):
        command = [sys.executable, "-m", "legan", "experiment", *words]
        environment = without_rays() | {"RAY_AUTH_TOKEN": head_node.token}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=250, check=False)

    sent = legan("expression", *asked, *submit, *settings)
    assert sent.returncode == 0, sent.stderr
    assert "submitted the experiment first" in sent.stdout
    told = legan("logs", "first", "--follow", "--address", head_node.dashboard)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "| Original | 36 (4) | 0 |" in told.stdout
    assert "mean of all" in told.stdout
    assert (tmp_path / "there" / "experiments" / "first" / "report" / "table5.md").is_file()
    assert "first SUCCEEDED" in legan("status", "first", "--address", head_node.dashboard).stdout
