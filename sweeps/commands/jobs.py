"""``legan sweep submit|status|logs|stop|jobs``: sweeps on a cluster elsewhere, and ``legan sweep job``, which runs there."""

import os
from pathlib import Path
from typing import Annotated

import typer

from legan.platform.commands.options import (
    PAIRS,
    KnownJudges,
    MaybeIdentity,
    MaybeQuality,
    Pairs,
    Set,
    path_argument,
)
from legan.sweeps.commands.options import (
    Cpus,
    Follow,
    Gpus,
    Head,
    Kind,
    Name,
    Preset,
    QualityJudge,
    Retries,
    Seeds,
    Submitted,
    SweepClassifier,
    SweepData,
    SweepMatcher,
    What,
)
from legan.sweeps.commands.run import default_name, run_folder, settings_given

Home = Annotated[
    str | None,
    typer.Option("--home", help="Folder of runs that all nodes share.", show_default="LEGAN_HOME as the cluster has it"),
]
ShipCode = Annotated[bool, typer.Option("--ship-code", help="Send the code of this checkout along and run that.")]


def mount(sweep: typer.Typer) -> None:
    """Add the commands to ``legan sweep``."""

    @sweep.command()
    def submit(
        what: What, address: Head, data: SweepData = None, classifier: SweepClassifier = None, matcher: SweepMatcher = None,
        identity: MaybeIdentity = None, quality: MaybeQuality = None, seeds: Seeds = None, overrides: Set = None,
        preset: Preset = "quick", kind: Kind = "legan", pairs: Pairs = PAIRS, cpus: Cpus = 1.0, gpus: Gpus = 0.0,
        retries: Retries = 2, quality_judge: QualityJudge = None, known_judges: KnownJudges = False, name: Name = None,
        home: Home = None, ship_code: ShipCode = False, follow: Follow = False,
    ) -> None:  # fmt: skip
        """Run a sweep as a job of a cluster elsewhere; paths are the cluster's. The same name again goes on with it."""
        given = settings_given(locals())
        from legan.sweeps.remote.submit import submit_sweep
        from legan.sweeps.run.request import elsewhere, settings_from

        name = name or default_name(what)
        submit_sweep(address, name, settings_from(what, given, elsewhere), home, ship_code, print)
        print(f"submitted the sweep {name}; watch it with `legan sweep logs {name} --follow`", flush=True)
        if follow:
            _follow(address, name)

    @sweep.command(hidden=True)
    def job(
        folder: Annotated[Path, path_argument(help="What was sent.")],
        name: Annotated[str, typer.Option(help="The sweep's name.")],
        version: Annotated[str, typer.Option(help="The legan that sent it.")],
    ) -> None:
        """Run what ``submit`` sent, at the cluster."""
        import legan
        from legan._version import __version__
        from legan.sweeps.remote.receive import receive

        print(f"legan {__version__} in {Path(legan.__file__).parent}", flush=True)
        received = receive(folder.absolute(), name, version).folder
        os.chdir(received)  # Ray may unpack the job's own folder a second time, and this one would be gone
        run_folder(received, None)

    @sweep.command()
    def status(name: Submitted, address: Head) -> None:
        """Show how a submitted sweep stands, with the last line that it printed."""
        from legan.platform import jobs
        from legan.sweeps.remote.status import line_of

        job = jobs.status(address, name)
        print(line_of(job))
        printed = [line for line in jobs.logs(address, name).splitlines() if line.strip()]
        print(printed[-1] if printed else job.message)

    @sweep.command()
    def logs(name: Submitted, address: Head, follow: Follow = False) -> None:
        """Show what a submitted sweep has printed."""
        from legan.platform import jobs

        if follow:
            _follow(address, name)
        else:
            print(jobs.logs(address, name), end="")

    @sweep.command()
    def stop(name: Submitted, address: Head) -> None:
        """End a submitted sweep; its checkpoints are kept, and submitting it again goes on from them."""
        from legan.sweeps.remote.status import line_of, stop_sweep

        print(line_of(stop_sweep(address, name)))
        print("submitting it again with the same options and --name goes on from its checkpoints")

    @sweep.command("jobs")
    def list_jobs(address: Head) -> None:
        """Show the jobs that the cluster knows."""
        from legan.sweeps.remote.status import list_submitted

        print(list_submitted(address))


def _follow(address: str, name: str) -> None:
    from legan.sweeps.remote.status import follow, line_of

    try:
        job = follow(address, name, lambda piece: print(piece, end="", flush=True))
    except KeyboardInterrupt:
        print(f"\nthe sweep goes on; end it with `legan sweep stop {name}`")
        raise
    if job.status != "SUCCEEDED":
        print(line_of(job))
        raise typer.Exit(job.exit_code or 1)
