"""``legan sweep run|resume|list``."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from legan.platform.commands.options import (
    PAIRS,
    Address,
    DryRun,
    KnownJudges,
    MaybeClassifier,
    MaybeData,
    MaybeIdentity,
    MaybeMatcher,
    MaybeQuality,
    Pairs,
    Set,
)
from legan.platform.errors import counted
from legan.sweeps.commands.options import (
    Cpus,
    Gpus,
    Kind,
    MaybeHead,
    Name,
    Preset,
    QualityJudge,
    Retries,
    Seeds,
    SweepClassifier,
    SweepData,
    SweepMatcher,
    SweepName,
    What,
)

if TYPE_CHECKING:
    from legan.sweeps.run.progress import Outcomes
    from legan.sweeps.sweep import Sweep

GIVEN = (
    "data", "classifier", "matcher", "identity", "quality", "seeds", "overrides", "preset", "kind", "pairs", "cpus", "gpus",
    "retries", "known_judges", "quality_judge",
)  # fmt: skip
"""The options that every command that makes a sweep has."""


def mount(sweep: typer.Typer) -> None:
    """Add the commands to ``sweep``."""

    @sweep.command()
    def run(
        what: What, data: SweepData = None, classifier: SweepClassifier = None, matcher: SweepMatcher = None,
        identity: MaybeIdentity = None, quality: MaybeQuality = None, seeds: Seeds = None, overrides: Set = None,
        preset: Preset = "quick", kind: Kind = "legan", pairs: Pairs = PAIRS, cpus: Cpus = 1.0, gpus: Gpus = 0.0,
        retries: Retries = 2, quality_judge: QualityJudge = None, known_judges: KnownJudges = False, name: Name = None,
        address: Address = None, dry_run: DryRun = False,
    ) -> None:  # fmt: skip
        """Train and evaluate every variant with every seed, and compare them in MLflow.

        --identity and --quality are needed where what is trained has Lid and Lqual.
        """
        given = settings_given(locals())
        from legan.platform.cluster import is_elsewhere
        from legan.platform.tracking.places import default_home
        from legan.platform.training.checks import Inputs
        from legan.sweeps.run.plan import describe, notes_of, planned, remember_inputs
        from legan.sweeps.sweep import create_sweep

        name, inputs = name or default_name(what), Inputs()
        sweep = planned(default_home(), name, what, given, inputs, is_elsewhere(address))
        for note in notes_of(sweep, inputs):
            print(note)
        if dry_run:
            print(describe(sweep, address, inputs))
            return
        sweep = create_sweep(default_home(), name, sweep.settings)
        remember_inputs(sweep, inputs)
        run_folder(sweep.folder, address)

    @sweep.command()
    def resume(
        name: SweepName, data: MaybeData = None, classifier: MaybeClassifier = None, matcher: MaybeMatcher = None,
        identity: MaybeIdentity = None, quality: MaybeQuality = None, quality_judge: QualityJudge = None,
        address: Address = None,
    ) -> None:  # fmt: skip
        """Go on with a sweep: trials that ended are left alone, the others continue from their last checkpoints.

        --data and the networks say where these have been moved to.
        """
        asked = dict(locals())
        from legan.platform.tracking.places import default_home
        from legan.platform.training.checks import Inputs
        from legan.sweeps.run.moved import with_inputs
        from legan.sweeps.sweep import INPUTS, open_sweep

        given = {key: asked[key] for key in INPUTS}
        run_folder(with_inputs(open_sweep(default_home(), name), given, Inputs()).folder, address)

    @sweep.command("list")
    def list_sweeps(address: MaybeHead = None) -> None:
        """Show the sweeps of this home, or those that were submitted to a cluster with --address."""
        from legan.platform.jobs.watch import list_submitted
        from legan.platform.tracking.places import default_home
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
    from legan.platform.tracking.places import default_home
    from legan.sweeps.run.driver import run_sweep
    from legan.sweeps.sweep import open_sweep

    sweep = open_sweep(default_home(), str(folder))
    outcomes = run_sweep(sweep, address, _say)
    _summary(folder.name, outcomes)
    if any(outcome is not None and outcome.status == "finished" for _, outcome in outcomes):
        _report(sweep)
    if any(outcome is None or outcome.status == "failed" for _, outcome in outcomes):
        raise typer.Exit(1)


def print_report(sweep: "Sweep", out: Path | None = None) -> None:
    """Write a sweep's report, print its table and say where the files are; LeganError where that cannot be done."""
    from legan.platform.device import command_device
    from legan.sweeps.report.report import write_report

    device = command_device()
    text, files = write_report(sweep, out, device, print)
    print(text.replace("<br>", "; "))
    print("Written: " + ", ".join(str(path) for path in files), flush=True)


def _report(sweep: "Sweep") -> None:
    from legan.platform.errors import LeganError

    print()
    try:
        print_report(sweep)
    except LeganError as error:
        print(f"no report was written: {error}; `legan sweep report {sweep.name}` tries again")


def _summary(name: str, outcomes: "Outcomes") -> None:
    finished = sum(1 for _, outcome in outcomes if outcome is not None and outcome.status == "finished")
    print(f"{finished} of {counted(len(outcomes), 'trial')} finished")
    for trial, outcome in outcomes:
        if outcome is None:
            print(f"{trial.name} has no outcome; `legan sweep resume {name}` continues it")
        elif outcome.status == "failed":
            print(f"{trial.name} failed: {outcome.error}")


def _say(line: str) -> None:
    print(line, flush=True)
