"""`legan sweep run` up to the point where something would start, and `legan sweep list`."""

import io
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.tiny import RATER
from typer.testing import CliRunner

from legan.models.quality import QualityModel
from legan.platform.data.dataset import open_dataset
from legan.platform.errors import ConfigError
from legan.platform.model import load_network, save_network
from legan.sweeps.commands import app as commands
from legan.sweeps.run.request import workers_of
from legan.sweeps.sweep import Outcome, Sweep, sweeps_home, write_outcome

Command = Callable[..., Any]


@pytest.fixture
def legan(home: Path, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command line, with the tiny data and networks unless told otherwise."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    given = {f"--{name}": str(asked[name]) for name in ("data", "identity", "quality", "classifier", "matcher", "preset")}

    def run(what: str, *more: str, **other: Path) -> Any:
        options = given | {f"--{name}": str(path) for name, path in other.items()}
        app = typer.Typer()
        app.callback()(lambda: None)
        commands.mount(app)
        arguments = ["sweep", "run", what, *(part for pair in options.items() for part in pair), "--dry-run", *more]
        return CliRunner().invoke(app, arguments if what != "list" else ["sweep", "list"], catch_exceptions=False)

    return run


def test_a_dry_run_tells_trials_resources_and_settings_and_starts_nothing(legan: Command, home: Path) -> None:
    text = legan("losses", "--seeds", "2", "--name", "mine", "--cpus", "1e-1", "--set", "loss.q=7").output
    assert "wo-lqual-1: wo/ Lqual, seed 1: loss.lambda_4=0" in text
    assert "legan-0: LEGAN, seed 0: as it is" in text
    assert re.search(r"16 trials of 1 worker with 0\.1 CPUs each, \d+ at once on this machine", text)
    assert "q: 7.0" in text
    assert not sweeps_home(home).exists()


@pytest.fixture
def openings(monkeypatch: pytest.MonkeyPatch) -> Counter[Path]:
    """How often each file is opened by Python, from now on; every data set and every network has a JSON file of its own."""
    counts: Counter[Path] = Counter()
    really = io.open

    def counting(file: Any, *arguments: Any, **options: Any) -> Any:
        counts[Path(str(file))] += 1
        return really(file, *arguments, **options)

    monkeypatch.setattr(io, "open", counting)
    return counts


@pytest.mark.parametrize("what", ["losses", "upsampling", "space"])
def test_a_command_opens_each_data_set_and_each_network_once(
    legan: Command, asked: dict[str, Any], tmp_path: Path, openings: Counter[Path], what: str
) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(
        "objectives: {val/quality: maximize}\nparameters: {loss.q: {float: [5, 10]}, loss.lambda_2: {choices: [1, 5, 10]}}"
    )
    done = legan(what if what != "space" else str(space))  # a dry run, which builds a training's networks too
    assert done.exit_code == 0
    assert "images, on the trial's own process" in done.output
    assert openings[asked["data"] / "dataset.json"] == 1
    assert {openings[asked[name] / "network.json"] for name in ("identity", "quality", "classifier", "matcher")} == {1}


def test_settings_are_resolved_without_the_data_and_the_networks(
    new_sweep: Callable[..., Sweep], openings: Counter[Path]
) -> None:
    sweep = new_sweep(data=Path("/no/data"), identity=Path("/no/T"), overrides=["workers=2"])
    openings.clear()
    assert workers_of(sweep) == 2
    assert set(openings) <= {Path(sweep.preset)}


def test_all_problems_come_at_once(legan: Command, tmp_path: Path, networks: dict[str, Path]) -> None:
    with pytest.raises(ConfigError) as caught:
        legan("losses", "--name", "a b", "--set", "loss.qq=1", "--set", "batch_size=-1", matcher=networks["identity"])
    problems = [str(problem) for problem in caught.value.problems]
    assert len(problems) == 4  # though all seven variants have those two
    for start in ("--name: 'a b' cannot be", "loss.qq: there is no such setting", "batch_size: ", "--matcher"):
        assert any(problem.startswith(start) for problem in problems), (start, problems)


def test_objectives_that_cannot_be_measured_here_are_refused(legan: Command, tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(
        "objectives: {val/fid: minimize, val/lpips_to_source: minimize, val/ssim_to_target: maximize}\n"
        "parameters: {loss.q: {float: [5, 10]}}\npoints: []\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        legan(str(space))
    problems = [str(problem).removeprefix("search.objectives.") for problem in caught.value.problems]
    assert "val/fid: its weights are not here; get them with `legan weights inception`" in problems
    assert "val/lpips_to_source: on tiny outputs are compared with the target; take val/lpips_to_target" in problems
    assert not any("ssim" in problem for problem in problems)


ASHA = "objectives: {val/quality: maximize}\npruning: asha\npoints: []\nparameters: {loss.q: {float: [5, 10]}}\n"


@pytest.mark.parametrize(
    ("space", "options", "problem"),
    [
        (ASHA, ("--set", "steps=100"), r"search\.asha\.grace: 200 of 100 steps.* leave none to stop at"),
        (ASHA, ("--set", "epochs=2"), r"search\.pruning: asha counts steps, and the trials' length is in epochs"),
        (
            ASHA + "asha: {metric: validation/l1_cycle, grace: 2}\n", (),
            r"search\.asha\.metric: validation on \S+ measures val/l1_to_target; take that instead of val/l1_cycle",
        ),
        (
            "objectives: {val/quality: maximize}\npoints: []\nparameters: {discriminator.layers: {int: [3, 6]}}\n", (),
            r"discriminator\.layers: 6 layers halve .* too often; take 5 or fewer \(with .*, which the search may suggest\)",
        ),
    ],
)  # fmt: skip
def test_what_a_search_may_suggest_is_checked_before_it_starts(
    legan: Command, tmp_path: Path, space: str, options: tuple[str, ...], problem: str
) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(space, encoding="utf-8")
    with pytest.raises(ConfigError, match=problem):
        legan(str(file), *options)


def test_a_dry_run_of_a_search_tells_what_it_may_suggest(legan: Command, tmp_path: Path) -> None:
    space = tmp_path / "mine.yaml"
    space.write_text(
        "objectives: {val/quality: maximize}\ntrials: 7\nparameters: {loss.q: {float: [5, 10]}, "
        "generator.upsampling: {choices: [pixel_shuffle, bilinear]}}\n"
    )
    text = legan(str(space), "--seeds", "2").output
    assert "7 suggestions by tpe, 2 seeds each: maximize val/quality; nobody is stopped early" in text
    assert "loss.q: float (5.0, 10.0)" in text
    assert "generator.upsampling: choices ('pixel_shuffle', 'bilinear')" in text
    assert "tried early: paper" in text
    assert "14 trials of 1 worker" in text


@pytest.mark.parametrize(("suite", "twins"), [("losses", "LEGAN and wo/ Lqual"), ("q", "q = 6 and q = 5")])
def test_variants_that_are_the_same_training_are_refused(legan: Command, suite: str, twins: str) -> None:
    with pytest.raises(ConfigError, match=f"{twins} are one training"):
        legan(suite, "--set", "loss.lambda_4=0")


def test_a_storage_that_cannot_be_reached_is_told_before_anything_starts(legan: Command, tmp_path: Path, home: Path) -> None:
    space = tmp_path / "space.yaml"
    text = "objectives: {val/quality: maximize}\nparameters: {loss.q: {float: [5, 10]}}\nstorage: "
    for storage, problem in (
        ("postgresql://me@127.0.0.1:1/db", "cannot be used .*refused"),
        (f"sqlite:///{space}/study.db", "cannot be written"),
    ):
        space.write_text(text + storage)
        with pytest.raises(ConfigError, match=rf"search\.storage: .*{problem}"):
            legan(str(space))


def test_what_is_wrong_with_name_and_preset_is_told_beside_wrong_settings(legan: Command) -> None:
    with pytest.raises(ConfigError) as caught:
        legan("q", "--seeds", "0", "--name", "../x", "--preset", "nope")
    assert {"--seeds", "--name", "--preset"} <= {problem.place for problem in caught.value.problems}


def test_a_wrong_number_hides_nothing_that_is_wrong_elsewhere(legan: Command, networks: dict[str, Path]) -> None:
    with pytest.raises(ConfigError) as caught:
        legan("upsampling", "--seeds", "0", "--set", "bogus=1", matcher=networks["identity"])
    said = {problem.place: problem.message for problem in caught.value.problems}
    assert said["--seeds"] == "0 is less than 1"
    assert said["bogus"].startswith("there is no such setting")
    assert set(said) == {"--seeds", "bogus", "--matcher"}


def test_missing_folders_are_named(legan: Command, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        legan("q", data=tmp_path / "nothing", classifier=tmp_path / "nobody")
    assert "nobody" in str(caught.value)


def test_an_unknown_suite_is_refused_with_those_there_are(legan: Command) -> None:
    with pytest.raises(
        ConfigError,
        match=r"there is no suite or search space 'nonsense'; suites: losses, upsampling, q, classification, margin; ",
    ):
        legan("nonsense")


def test_the_suite_of_q_needs_ratings_and_nothing_else(legan: Command, tiny_data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        legan("margin")
    said = {problem.place: problem.message for problem in caught.value.problems}
    assert {f"--{name}" for name in ("identity", "quality", "classifier", "matcher")} <= set(said)
    assert said["--matcher"] == "trainings of Q need none; leave it out"


def test_all_that_is_missing_is_said_beside_an_unknown_suite(home: Path) -> None:
    app = typer.Typer()
    app.callback()(lambda: None)
    commands.mount(app)
    for command in (["run"], ["submit", "--address", "http://127.0.0.1:1"]):
        with pytest.raises(ConfigError) as caught:
            CliRunner().invoke(app, ["sweep", *command, "nope"], catch_exceptions=False)
        assert [problem.place for problem in caught.value.problems] == ["", "--data", "--classifier", "--matcher"]
        assert "there is no suite or search space 'nope'" in str(caught.value)


def test_overrides_say_nothing_that_the_sweep_says_too(legan: Command, tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    parameters = "{loss.q: {float: [5, 10]}}"
    space.write_text(f"objectives: {{eval/quality: maximize}}\nparameters: {parameters}\n")
    for what in ("q", str(space)):
        with pytest.raises(ConfigError) as caught:
            legan(what, "--set", "loss.q=7", "--set", "seed=3", "--set", "data=x", "--set", "steps=1", "--set", "epochs=2")
        said = [str(problem) for problem in caught.value.problems if problem.place.startswith("--set")]
        assert [line.partition(": ")[0] for line in said] == [
            "--set data=x", "--set epochs=2", "--set loss.q=7", "--set seed=3",
        ]  # fmt: skip
        assert said[2].endswith("it is what the sweep varies, so this would be ignored; leave it out")
        assert said[3].endswith("the sweep sets it for each trial; --seeds says how")


def test_a_judge_of_another_kind_is_refused(legan: Command, networks: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match=r"--classifier: .*is a quality"):
        legan("upsampling", classifier=networks["quality"])


def test_workers_cannot_share_a_gpu(legan: Command) -> None:
    with pytest.raises(ConfigError, match="--gpus: a worker gets a part of one GPU or whole ones"):
        legan("q", "--gpus", "1.5")
    with pytest.raises(ConfigError, match="2 workers cannot share a GPU"):
        legan("q", "--gpus", "0.5", "--set", "workers=2")


def test_the_list_tells_how_far_each_sweep_is(legan: Command, new_sweep: Callable[..., Sweep]) -> None:
    assert "there are no sweeps under" in legan("list").output
    sweep = new_sweep("first", seeds=2)
    write_outcome(sweep, "pixel-shuffling-0", Outcome("finished", {}))
    write_outcome(sweep, "pixel-shuffling-1", Outcome("failed", {}, "no"))
    new_sweep("second", suite="q")
    assert legan("list").output.splitlines() == [
        "first: suite upsampling, 6 trials: 1 finished, 1 failed",
        "second: suite q, 6 trials: none ended",
    ]


def test_a_class_that_no_training_image_shows_is_named_and_not_trained(legan: Command, rare_data: Path) -> None:
    text = legan("upsampling", data=rare_data).output
    assert text.startswith("note: no training image shows expression scream (0 in train, 0 in val, 4 in test), so")
    assert "2 expressions × 3 lightings" in text, "this preset mirrors nothing"


def test_a_q_that_judges_has_to_be_one_for_these_images(legan: Command, networks: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"--quality-judge: .*is an identity network \(T\); give a run of `legan train quality`"
    ):
        legan("upsampling", "--quality-judge", str(networks["identity"]))
    numbers = {**RATER, "image_size": 64}
    save_network(tmp_path / "large", "quality", numbers, QualityModel(**numbers))
    with pytest.raises(ConfigError) as caught:
        legan("upsampling", "--quality-judge", str(tmp_path / "large"))
    assert [str(each) for each in caught.value.problems] == ["--quality-judge: it is for 64×64 images, the model for 32×32"]
    assert "3 trials" in legan("upsampling", "--quality-judge", str(networks["quality"]), "--seeds", "1").output
    with pytest.raises(ConfigError, match="--quality-judge: trainings of Q need none; leave it out"):
        legan("margin", "--quality-judge", str(networks["quality"]))


def test_judges_that_know_people_are_refused_unless_asked_for(
    legan: Command, tiny_data: Path, networks: dict[str, Path], tmp_path: Path
) -> None:
    data = open_dataset(tiny_data)
    for split, name in (("train", "matcher"), ("test", "classifier")):
        stored = load_network(networks[name])
        info = {**stored.info, "people": data.people(split)}
        save_network(tmp_path / name, stored.kind, stored.numbers, stored.module, **info)
    judges = {name: tmp_path / name for name in ("classifier", "matcher")}
    with pytest.raises(ConfigError) as caught:
        legan("upsampling", **judges)
    assert [str(problem).partition(";")[0] for problem in caught.value.problems] == [
        "--matcher: it learned from 4 of the 4 people that the model or its T learned from",
        "--classifier: it learned from 1 of the 1 person that the test split shows",
    ]
    assert "trials of 1 worker" in legan("upsampling", "--known-judges", **judges).output
