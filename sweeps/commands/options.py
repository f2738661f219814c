"""The arguments and options that several commands of ``legan sweep`` have; those of others too are platform's."""

from pathlib import Path
from typing import Annotated

import typer

from legan.platform.commands import complete
from legan.platform.commands.options import (
    CLASSIFIER,
    DASHBOARD_HELP,
    DATA,
    MATCHER,
    PRESET,
    name_option,
    path,
    path_argument,
    told,
)
from legan.sweeps.ablations import SUITES

What = Annotated[
    str,
    path_argument(
        metavar="SUITE|SPACE.yaml",
        help="losses, upsampling, q (Tables 11-13), classification or margin, or a search space's file.",
        autocompletion=lambda incomplete: complete.names_or_paths(SUITES, incomplete, "*.yaml"),
    ),
]
SweepName = Annotated[
    str,
    path_argument(metavar="NAME", help="A sweep: its name under the runs' home, or its folder.", autocompletion=complete.sweeps),
]

# Needed, and asked for together with all else that is wrong with a sweep.
SweepData = Annotated[Path | None, told(DATA, "needed; ratings for margin")]
SweepClassifier = Annotated[Path | None, told(CLASSIFIER, "needed, but for margin")]
SweepMatcher = Annotated[Path | None, told(MATCHER, "needed, but for margin")]
QualityJudge = Annotated[
    Path | None,
    path(
        "--quality-judge",
        help="Q that rates the trials, of other raters and faults: a run of `legan train quality`, or a network folder.",
        show_default="that of --quality",
        autocompletion=complete.runs,
    ),
]

Kind = Annotated[
    str, typer.Option("--kind", help="What is trained: legan, stargan or stargan_v2; suites are of legan, margin of Q.")
]
Preset = Annotated[str, PRESET]
Name = Annotated[str | None, name_option("sweep", "suite or file, and time")]
Seeds = Annotated[
    int | None,
    typer.Option("--seeds", help="Trials of each variant or suggestion.", show_default="3 for a suite, 1 for a search"),
]
Cpus = Annotated[float, typer.Option("--cpus", help="Processors of one worker of a trial.")]
Gpus = Annotated[float, typer.Option("--gpus", help="GPUs of one worker of a trial; 0.5 puts two trials on a GPU.")]
Retries = Annotated[int, typer.Option("--retries", help="How often a trial whose process died goes on from its checkpoint.")]

MaybeHead = Annotated[str | None, typer.Option("--address", help=DASHBOARD_HELP, show_default="this home's sweeps")]
