"""``legan sweep run|resume|list``."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from legan.sweeps.commands.report import print_report

if TYPE_CHECKING:
    from legan.sweeps.run.parent_run import Outcomes
    from legan.sweeps.sweep import Sweep

What = Annotated[
    str, typer.Argument(metavar="SUITE|SPACE.yaml", help="losses, upsampling or q (Tables 11-13), or a search space's file.")
]
Data = Annotated[Path, typer.Option("--data", "-d", help="Data set folder.")]
Identity = Annotated[Path | None, typer.Option("--identity", help="T: a run of `legan train identity`, or a network folder.")]
Quality = Annotated[Path | None, typer.Option("--quality", help="Q: a run of `legan train quality`, or a network folder.")]
Classifier = Annotated[Path, typer.Option("--classifier", help="Independent judge: a run of `legan train classifier`.")]
Matcher = Annotated[
    Path,
    typer.Option("--matcher", help="Face matcher, not T: a run of `legan train identity`, or facenet."),
]
Kind = Annotated[str, typer.Option("--kind", help="What is trained: legan, stargan or stargan_v2; suites are of legan.")]
Preset = Annotated[str, typer.Option("--preset", "-p", help="Preset (paper, quick, rendered, yale) or a YAML file of your own.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", "-s", metavar="KEY=VALUE", help="Override a setting of all trials; repeatable.")
]
Seeds = Annotated[
    int | None, typer.Option("--seeds", help="Trials of each variant or suggestion; default: 3 for a suite, 1 for a search.")
]
Pairs = Annotated[int, typer.Option("--pairs", help="Held-out translations to score, at most.")]
Cpus = Annotated[float, typer.Option("--cpus", help="Processors of one worker of a trial.")]
Gpus = Annotated[float, typer.Option("--gpus", help="GPUs of one worker of a trial; 0.5 puts two trials on a GPU.")]
Retries = Annotated[int, typer.Option("--retries", help="How often a trial whose process died goes on from its checkpoint.")]
Name = Annotated[str | None, typer.Option("--name", "-n", help="Name of the sweep; default: suite or file, and time.")]
SweepName = Annotated[str, typer.Argument(metavar="NAME", help="A sweep's name, or its folder.")]
Address = Annotated[str | None, typer.Option("--address", help="Ray cluster; default: RAY_ADDRESS, else one on this machine.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything, print what would be trained, and stop.")]
GIVEN = (
    "data", "classifier", "matcher", "identity", "quality", "seeds", "overrides", "preset", "kind", "pairs", "cpus", "gpus",
    "retries",
)  # fmt: skip
"""The options that every command that makes a sweep has."""


def mount(sweep: typer.Typer) -> None:
    """Add the commands to ``sweep``."""

    @sweep.command()
    def run(
        what: What, data: Data, classifier: Classifier, matcher: Matcher, identity: Identity = None, quality: Quality = None,
        seeds: Seeds = None, overrides: Set = None, preset: Preset = "quick", kind: Kind = "legan", pairs: Pairs = 400,
        cpus: Cpus = 1.0, gpus: Gpus = 0.0, retries: Retries = 2, name: Name = None, address: Address = None,
        dry_run: DryRun = False,
    ) -> None:  # fmt: skip
        """Train and evaluate every variant with every seed, and compare them in MLflow."""
        given = settings_given(locals())
        from legan.platform.tracking.places import default_home
        from legan.sweeps.run.plan import describe, planned
        from legan.sweeps.sweep import create_sweep

        name = name or default_name(what)
        sweep = planned(default_home(), name, what, given)
        if dry_run:
            print(describe(sweep, address))
            return
        run_folder(create_sweep(default_home(), name, sweep.settings).folder, address)

    @sweep.command()
    def resume(name: SweepName, address: Address = None) -> None:
        """Go on with a sweep: trials that ended are left alone, the others continue from their last checkpoints."""
        from legan.platform.tracking.places import default_home
        from legan.sweeps.sweep import open_sweep

        run_folder(open_sweep(default_home(), name).folder, address)

    @sweep.command("list")
    def list_sweeps(
        address: Annotated[str | None, typer.Option("--address", help="A cluster's dashboard: what was submitted there.")] = None,
    ) -> None:
        """Show the sweeps of this home, or those that were submitted to a cluster."""
        from legan.platform.tracking.places import default_home
        from legan.sweeps.remote.status import list_submitted
        from legan.sweeps.sweep import list_sweeps

        print(list_sweeps(default_home()) if address is None else list_submitted(address))


def settings_given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a command's options that are settings of the sweep."""
    return {key: options[key] for key in GIVEN}


def default_name(what: str) -> str:
    """Name of a sweep that was given none."""
    return f"{Path(what).stem}-{datetime.now():%Y%m%d-%H%M%S}"


def run_folder(folder: Path, address: str | None) -> None:
    """Run the sweep in ``folder``, print how its trials ended, and report on it; exit code 1 when one failed."""
    from legan.sweeps.run.driver import run_sweep
    from legan.sweeps.sweep import open_sweep

    sweep = open_sweep(folder, str(folder))
    outcomes = run_sweep(sweep, address, _say)
    _summary(folder.name, outcomes)
    if any(outcome is not None and outcome.status == "finished" for _, outcome in outcomes):
        _report(sweep)
    if any(outcome is None or outcome.status == "failed" for _, outcome in outcomes):
        raise typer.Exit(1)


def _report(sweep: "Sweep") -> None:
    from legan.platform.errors import LeganError

    print()
    try:
        print_report(sweep)
    except LeganError as error:
        print(f"no report was written: {error}; `legan sweep report {sweep.name}` tries again")


def _summary(name: str, outcomes: "Outcomes") -> None:
    finished = sum(1 for _, outcome in outcomes if outcome is not None and outcome.status == "finished")
    print(f"{finished} of {len(outcomes)} trials finished")
    for trial, outcome in outcomes:
        if outcome is None:
            print(f"{trial.name} has no outcome; `legan sweep resume {name}` continues it")
        elif outcome.status == "failed":
            print(f"{trial.name} failed: {outcome.error}")


def _say(line: str) -> None:
    print(line, flush=True)
