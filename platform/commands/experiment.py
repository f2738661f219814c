"""``legan experiment``: does augmenting with LEGAN help? Tables 4 and 5, each by one command that can be stopped and repeated."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from legan.platform.commands.jobs import mount_watching
from legan.platform.commands.options import (
    MODEL,
    PRESET,
    WORKERS,
    Address,
    Data,
    DryRun,
    Gpu,
    Home,
    PairList,
    ProtocolName,
    Set,
    ShipCode,
    name_option,
    path,
    path_argument,
    told,
)

if TYPE_CHECKING:
    from legan.platform.experiments.experiment import ExperimentSettings

TestData = Annotated[
    Path | None, path("--test-data", help="Data set folder of the people who are tested.", show_default="--data")
]
Translator = Annotated[str, MODEL]
Real = Annotated[
    Path | None,
    path("--real", help="Data set of further real images, for one more arm that adds these instead.", show_default="none"),
]
Arms = Annotated[
    list[str] | None,
    typer.Option(
        "--arm",
        metavar="ARM",
        help="What is trained and compared, of none, legan, jitter, copies and real; repeatable.",
        show_default="all that can be",
    ),
]
Seeds = Annotated[int, typer.Option("--seeds", min=1, max=100, help="Trainings of each arm.")]
Preset = Annotated[str, PRESET]
Workers = Annotated[int | None, told(WORKERS, "the preset's, else 1")]
AtOnce = Annotated[int, typer.Option("--at-once", min=1, max=256, help="Trainings at a time.")]
Name = Annotated[str | None, name_option("experiment", "the question and the data set")]
Submit = Annotated[
    str | None,
    typer.Option(
        "--submit",
        metavar="ADDRESS",
        help="Run it as a job of the cluster with this dashboard, such as http://HEAD:8265; paths are the cluster's.",
        show_default="here",
    ),
]


def mount(app: typer.Typer) -> None:
    """Add ``experiment`` to the application."""
    experiment = typer.Typer(
        help="Ask whether augmenting training data with LEGAN helps (Tables 4 and 5). The same command again goes on.",
        no_args_is_help=True,
    )

    @experiment.command()
    def verification(
        data: Data, model: Translator, protocol: ProtocolName, pair_list: PairList, test_data: TestData = None, real: Real = None,
        arms: Arms = None, seeds: Seeds = 3, preset: Preset = "quick", overrides: Set = None, workers: Workers = None,
        gpu: Gpu = None, address: Address = None, at_once: AtOnce = 1, name: Name = None, dry_run: DryRun = False,
        submit: Submit = None, home: Home = None, ship_code: ShipCode = False,
    ) -> None:  # fmt: skip
        """Train T with and without a translation of each training face, and verify people with it (Table 4)."""
        _run("verification", dict(locals()))

    @experiment.command()
    def expression(
        data: Data, model: Translator, test_data: TestData = None, real: Real = None, arms: Arms = None, seeds: Seeds = 3,
        preset: Preset = "quick", overrides: Set = None, workers: Workers = None, gpu: Gpu = None, address: Address = None,
        at_once: AtOnce = 1, name: Name = None, dry_run: DryRun = False, submit: Submit = None, home: Home = None,
        ship_code: ShipCode = False,
    ) -> None:  # fmt: skip
        """Train a classifier of expressions with and without translations that fill sparse classes, and score it (Table 5)."""
        _run("expression", dict(locals()))

    @experiment.command(hidden=True)
    def data(
        folder: Annotated[Path, path_argument(help="The experiment's folder.")],
        arm: Annotated[Literal["legan", "jitter", "copies", "real"], typer.Argument(help="Whose training data to write.")],
    ) -> None:
        """Write the training data of an experiment's arm."""
        from legan.platform.experiments.arms import counts_of, write_arm
        from legan.platform.experiments.experiment import open_experiment

        made = write_arm(open_experiment(folder), arm)
        counts = counts_of(made)
        print(f"{counts['images']:,} training images, {counts['added']:,} of them added: {made.path}")

    mount_watching(experiment, "experiment")
    app.add_typer(experiment, name="experiment")


def _run(question: str, given: Mapping[str, Any]) -> None:
    from legan.platform.config import check_settings, given_twice
    from legan.platform.errors import ConfigError, Problems
    from legan.platform.experiments.experiment import ARMS, ExperimentSettings, name_problems

    overrides, options = given["overrides"] or [], {name: given[name] for name in ("data", "workers", "gpu")}
    name = given["name"] or f"{question}-{given['data'].absolute().name}"
    usual = ("none", "legan", "jitter", "copies", *(("real",) if given["real"] is not None else ()))
    asked = given["arms"] or usual
    values = {
        "question": question,
        "data": given["data"],
        "model": given["model"],
        "test_data": given["test_data"] or given["data"],
        "protocol": given.get("protocol"),
        "pairs": given.get("pair_list"),
        "real": given["real"],
        "arms": (*(arm for arm in ARMS if arm in asked), *(arm for arm in asked if arm not in ARMS)),
        "seeds": given["seeds"],
        "preset": given["preset"],
        "overrides": tuple(overrides),
    }
    settings, problems = check_settings(ExperimentSettings, values)
    placed = {"arms": "--arm", "seeds": "--seeds"}
    problems = Problems(each._replace(place=placed.get(each.place.partition(".")[0], each.place)) for each in problems)
    problems += [*name_problems(name), *given_twice(overrides, options)]
    for override in overrides:
        if override.partition("=")[0].strip() == "seed":
            problems.add(f"--set {override}", "the trainings are seeded 0, 1, … by --seeds; leave it out")
    for arm in dict.fromkeys(arm for arm in asked if asked.count(arm) > 1):
        problems.add(f"--arm {arm}", "it is given twice; give it once")
    if given["submit"] is None:
        for option, unasked in (("--home", given["home"] is not None), ("--ship-code", given["ship_code"])):
            if unasked:
                problems.add(option, "it is of a job of a cluster elsewhere; name that with --submit, or leave it out")
    if settings is None or problems:
        raise ConfigError(problems)
    if given["submit"] is not None:
        _send(name, settings, given)
    else:
        _work(name, settings, given)


def _send(name: str, settings: "ExperimentSettings", given: Mapping[str, Any]) -> None:
    from legan.platform.experiments.submit import submit_experiment

    gpu = {None: {}, True: {"--gpu": True}, False: {"--cpu": True}}[given["gpu"]]
    place = {"--workers": given["workers"], "--address": given["address"], "--at-once": given["at_once"], **gpu}
    if given["dry_run"]:
        place["--dry-run"] = True
    submit_experiment(given["submit"], name, settings, place, given["home"], given["ship_code"], _say)
    print(f"submitted the experiment {name}; watch it with `legan experiment logs {name} --follow --address {given['submit']}`")


def _work(name: str, settings: "ExperimentSettings", given: Mapping[str, Any]) -> None:
    from legan.platform.cluster import is_elsewhere
    from legan.platform.experiments.experiment import Experiment, create_experiment, experiments_home
    from legan.platform.experiments.plan import check_experiment, describe
    from legan.platform.experiments.run import Workplace, run_experiment
    from legan.platform.tracking.places import default_home
    from legan.platform.training.checks import Inputs

    place, inputs = Workplace(given["workers"], given["gpu"], given["address"], given["at_once"]), Inputs()
    paths = {name: getattr(settings, name) for name in ("data", "test_data", "pairs", "real")}
    whole = {name: path.absolute() for name, path in paths.items() if path is not None}
    settings = settings.model_copy(update={**whole, "model": _whole(settings.model)})
    experiment = Experiment(experiments_home(default_home()) / name, settings)
    facts = check_experiment(experiment, inputs, place.workers, place.gpu, is_elsewhere(place.address))
    for note in facts.notes:
        print(note)
    if given["dry_run"]:
        print(describe(experiment, facts))
        return
    files = run_experiment(create_experiment(experiment.folder, settings), inputs, place, _say)
    print()
    print(files[0].read_text(encoding="utf-8").replace("<br>", "; "))
    print("Written: " + ", ".join(map(str, files)))


def _whole(model: str) -> str:
    """A model that is a path as a whole path, since the steps are processes of their own."""
    return str(Path(model).absolute()) if Path(model).exists() else model


def _say(line: str) -> None:
    print(line, flush=True)
