"""``legan sweep submit|status|logs|stop|jobs``: sweeps on a cluster elsewhere, and ``legan sweep job``, which runs there."""

import os
from pathlib import Path
from typing import Annotated

import typer

from legan.platform.commands.jobs import follow_to_its_end, mount_watching
from legan.platform.commands.options import (
    PAIRS,
    Follow,
    Head,
    Home,
    KnownJudges,
    MaybeIdentity,
    MaybeQuality,
    Pairs,
    Set,
    ShipCode,
    path_argument,
)
from legan.sweeps.commands.options import (
    Cpus,
    Gpus,
    Kind,
    Name,
    Preset,
    QualityJudge,
    Retries,
    Seeds,
    SweepClassifier,
    SweepData,
    SweepMatcher,
    What,
)
from legan.sweeps.commands.run import default_name, run_folder, settings_given


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
            follow_to_its_end("sweep", address, name)

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

    mount_watching(sweep, "sweep")

    @sweep.command("jobs")
    def list_jobs(address: Head) -> None:
        """Show the jobs that the cluster knows."""
        from legan.platform.jobs.watch import list_submitted

        print(list_submitted(address))
