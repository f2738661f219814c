"""``legan sweep report`` and ``legan sweep promote``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from legan.platform.commands.options import DryRun, Force, out_option
from legan.platform.commands.output import say
from legan.sweeps.commands.options import SweepName
from legan.sweeps.commands.run import print_report

Out = Annotated[Path | None, out_option("Folder of tables and grids.", "report/ in the sweep's folder")]
Metric = Annotated[str, typer.Option("--metric", "-m", help="Metric of the trials' evaluation, such as eval/ssim_to_target.")]
Way = Annotated[
    Literal["minimize", "maximize"] | None,
    typer.Option(
        "--direction",
        help="Which way the metric is better.",
        show_default="what is known of it, or what the search asks for",
    ),
]


def mount(app: typer.Typer) -> None:
    """Add the commands to ``legan sweep``."""

    @app.command()
    def report(name: SweepName, out: Out = None) -> None:
        """Set a suite's trials (mean ± sd over seeds) beside the paper's Table 11, 12 or 13, or list a search's best.

        Writes Markdown, CSV, PNG and grids of the same held-out faces by all variants; the sweep's MLflow run gets them too.
        """
        from legan.platform.tracking.places import default_home
        from legan.sweeps.sweep import open_sweep

        print_report(open_sweep(default_home(), name), out)

    @app.command()
    def promote(name: SweepName, metric: Metric, direction: Way = None, dry_run: DryRun = False, force: Force = False) -> None:
        """Make a sweep's best model the champion, as `legan models promote` does.

        The best mean over the seeds decides on the variant, then the best of its seeds is taken.
        """
        from legan.platform.tracking.places import default_home
        from legan.sweeps.report.promote import promote as promote_best
        from legan.sweeps.sweep import open_sweep

        promote_best(open_sweep(default_home(), name), metric, direction, dry_run, force, say)
