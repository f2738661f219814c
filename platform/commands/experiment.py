"""``legan experiment``: does augmenting with LEGAN help? Tables 4 and 5, each by one command that can be stopped and repeated."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from legan.platform.commands.options import (
    MODEL,
    PRESET,
    WORKERS,
    Address,
    Data,
    DryRun,
    Gpu,
    PairList,
    ProtocolName,
    Set,
    name_option,
    path,
    path_argument,
    told,
)

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
    ) -> None:  # fmt: skip
        """Train T with and without a translation of each training face, and verify people with it (Table 4)."""
        _run("verification", dict(locals()))

    @experiment.command()
    def expression(
        data: Data, model: Translator, test_data: TestData = None, real: Real = None, arms: Arms = None, seeds: Seeds = 3,
        preset: Preset = "quick", overrides: Set = None, workers: Workers = None, gpu: Gpu = None, address: Address = None,
        at_once: AtOnce = 1, name: Name = None, dry_run: DryRun = False,
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

    app.add_typer(experiment, name="experiment")


def _run(question: str, given: Mapping[str, Any]) -> None:
    from legan.platform.cluster import is_elsewhere
    from legan.platform.config import check_settings, given_twice
    from legan.platform.errors import ConfigError, Problems
    from legan.platform.experiments.experiment import ARMS, Experiment, ExperimentSettings, create_experiment, experiments_home
    from legan.platform.experiments.plan import check_experiment, describe
    from legan.platform.experiments.run import Workplace, run_experiment
    from legan.platform.tracking.places import default_home
    from legan.platform.training.checks import Inputs

    place = Workplace(given["workers"], given["gpu"], given["address"], given["at_once"])
    overrides, options = given["overrides"] or [], {name: given[name] for name in ("data", "workers", "gpu", "seeds")}
    seeded = [each.replace("seed=", "seeds=", 1) if each.startswith("seed=") else each for each in overrides]
    Problems(given_twice(seeded, options)).raise_if_any()
    usual = ("none", "legan", "jitter", "copies", *(("real",) if given["real"] is not None else ()))
    asked = given["arms"] or usual
    values = {
        "question": question,
        "data": given["data"].absolute(),
        "model": _whole(given["model"]),
        "test_data": (given["test_data"] or given["data"]).absolute(),
        "protocol": given.get("protocol"),
        "pairs": given["pair_list"].absolute() if given.get("pair_list") is not None else None,
        "real": given["real"].absolute() if given["real"] is not None else None,
        "arms": (*(arm for arm in ARMS if arm in asked), *(arm for arm in asked if arm not in ARMS)),
        "seeds": given["seeds"],
        "preset": given["preset"],
        "overrides": tuple(overrides),
    }
    settings, problems = check_settings(ExperimentSettings, values)
    if settings is None:
        raise ConfigError(problems)
    name, inputs = given["name"] or f"{question}-{given['data'].name}", Inputs()
    folder = experiments_home(default_home()) / name
    facts = check_experiment(Experiment(folder, settings), inputs, place.workers, place.gpu, is_elsewhere(place.address))
    for note in facts.notes:
        print(note)
    if given["dry_run"]:
        print(describe(Experiment(folder, settings), facts))
        return
    experiment = create_experiment(folder, settings)
    files = run_experiment(experiment, inputs, place, _say)
    print()
    print(files[0].read_text(encoding="utf-8").replace("<br>", "; "))
    print("Written: " + ", ".join(map(str, files)))


def _whole(model: str) -> str:
    """A model that is a path as a whole path, since the steps are processes of their own."""
    return str(Path(model).absolute()) if Path(model).exists() else model


def _say(line: str) -> None:
    print(line, flush=True)
