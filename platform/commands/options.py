"""The arguments and options that several commands have: names, help and range of each are declared here, once.

A command's signature takes the type, ``data: Data``, and gives the default. Where the default is no value, ``told`` says it.
"""

from copy import copy
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from legan.platform.commands import complete
from legan.platform.files import at_home

CHAMPION = complete.CHAMPION
PAIRS = 400
LOCAL = "127.0.0.1"
MODEL_HELP = "A run, a model folder, an MLflow URI such as models:/legan@champion, or box:rendered."
PERSON_HELP = "a run of `legan train identity`, a network folder, or facenet"
RATINGS_HELP = "Ratings folder or table."


def path(*names: str, **about: Any) -> Any:
    """An option that takes a path."""
    return typer.Option(*names, callback=at_home, **about)


def path_argument(**about: Any) -> Any:
    """An argument that takes a path."""
    return typer.Argument(callback=at_home, **about)


def told(option: Any, default: str) -> Any:
    """The same option with its ``default`` in words."""
    described = copy(option)
    described.show_default = default
    return described


def out_option(help: str, default: str | bool = True) -> Any:
    """Where a command writes; ``help`` says what."""
    return path("--out", "-o", help=help, show_default=default)


def name_option(of: str, default: str) -> Any:
    """Name of what a command makes."""
    return typer.Option("--name", "-n", help=f"Name of the {of}.", show_default=default)


# What is worked on.
DatasetArgument = Annotated[Path, path_argument(metavar="DATASET", help="Data set folder.")]
RatingsArgument = Annotated[Path, path_argument(metavar="RATINGS", help=RATINGS_HELP)]
DATA = path("--data", "-d", help="Data set folder.")
Data = Annotated[Path, DATA]
MaybeData = Annotated[Path | None, DATA]
Out = Annotated[Path, out_option("Folder to write.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is already there, finished or not.")]

# Networks and models.
IDENTITY = path("--identity", help=f"T: {PERSON_HELP}.", autocompletion=complete.runs)
MaybeIdentity = Annotated[Path | None, IDENTITY]
QUALITY = path("--quality", help="Q: a run of `legan train quality`, or a network folder.", autocompletion=complete.runs)
Quality = Annotated[Path, QUALITY]
MaybeQuality = Annotated[Path | None, QUALITY]
CLASSIFIER = path(
    "--classifier",
    help="Independent judge: a run of `legan train classifier`, or a network folder.",
    autocompletion=complete.runs,
)
Classifier = Annotated[Path, CLASSIFIER]
MaybeClassifier = Annotated[Path | None, CLASSIFIER]
MATCHER = path(
    "--matcher",
    help=f"Face matcher, which says how alike two people are; not the model's T: {PERSON_HELP}, or dlib.",
    autocompletion=complete.runs,
)
Matcher = Annotated[Path, MATCHER]
MaybeMatcher = Annotated[Path | None, MATCHER]
JUDGE = path(
    "--judge",
    help="What the model reads a face's own classes with: a run of `legan train classifier`, or a network folder.",
    show_default="D's head",
    autocompletion=complete.runs,
)
CARRIED_MATCHER = path(
    "--matcher",
    help="What the model tells people apart with: a run of `legan train identity`, or a network folder.",
    show_default="T",
    autocompletion=complete.runs,
)
RECOLOR = path(
    "--recolor",
    help="Show training images as they are and in the colours of this recolourer (a run of `legan train recolor`); repeatable.",
    show_default="none",
    autocompletion=complete.runs,
)
WHITE_BALANCE = typer.Option(
    "--white-balance",
    metavar="SETTING",
    help="Show training images as they are and at this white balance; repeatable. There are "
    "tungsten, fluorescent, daylight, cloudy, shade and automatic.",
    show_default="the preset's",
    autocompletion=complete.white_balances,
)
KnownJudges = Annotated[
    bool,
    typer.Option(
        "--known-judges", help="Take judges that learned from people of the model, of its T or of these data; reports say so."
    ),
]
MODEL = path("--model", "-m", help=MODEL_HELP, autocompletion=complete.models)
Model = Annotated[str | None, told(MODEL, "the champion; box:rendered where none is registered")]
SVM = path("--svm", help="What tells natural from unnatural faces: a folder of `legan ratings svm`.")

# Trainings.
PRESET = path(
    "--preset", "-p", help="Preset (paper, quick, rendered, yale) or a YAML file of your own.", autocompletion=complete.presets
)
Set = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="KEY=VALUE", help="Override one setting of what is trained; repeatable."),
]
Name = Annotated[str | None, name_option("run", "kind and time")]
Resume = Annotated[
    str | None,
    path("--resume", help="Continue this run (name or folder) from its last checkpoint.", autocompletion=complete.runs),
]
From = Annotated[
    str | None,
    path(
        "--from",
        help="Begin from a run, with its settings and optimisers, or from the weights of a model's folder.",
        autocompletion=complete.runs,
    ),
]
KeepRate = Annotated[
    bool, typer.Option("--keep-rate", help="With --from: the learning rate goes on, as in one training of all the steps.")
]
THREADS = typer.Option("--threads", min=1, max=256, help="Threads in each process.")
WORKERS = typer.Option("--workers", "-w", min=0, max=1024, help="Ray Train workers; 0 trains in this process, without Ray.")
Gpu = Annotated[bool | None, typer.Option("--gpu/--cpu", help="One GPU per worker.", show_default="the preset's, else --cpu")]
ADDRESS = typer.Option("--address", help="Ray cluster, such as HEAD:6379.", show_default="RAY_ADDRESS, else one on this machine")
Address = Annotated[str | None, ADDRESS]
PROCESSES = typer.Option("--workers", "-w", min=0, help="Processes; 0 works in this one, without Ray.")
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything, print the plan, and stop.")]
Force = Annotated[bool, typer.Option("--force", help="Promote it though it is worse, or cannot be compared.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

# What is drawn or chosen.
SEED = typer.Option("--seed", min=0, help="Seed of every random choice: the same seed chooses the same.")
Seed = Annotated[int, SEED]
COUNT = typer.Option("--count", min=1, help="Images to rate.")
PAIRS_OPTION = typer.Option("--pairs", min=1, help="Pairs of a held-out image and wanted classes, at most.")
Pairs = Annotated[int, PAIRS_OPTION]
PairsFile = Annotated[
    Path | None,
    path("--pairs-file", help="Take these pairs instead: the pairs.csv of another evaluation on the same data."),
]

ProtocolName = Annotated[
    Literal["lfw", "ijbb", "table"],
    typer.Option("--protocol", help="Whose list of pairs it is: LFW's, IJB-B's templates', or a table of your own."),
]
PairList = Annotated[
    Path,
    path(
        "--list",
        help="LFW: pairs.txt (View 2), pairsDevTest.txt or pairsDevTrain.txt (View 1); IJB-B: ijbb_11_S1_S2_matches.csv or "
        "ijbb_template_pair_label.txt; a table: .csv or .parquet of first, second, same and, at will, fold.",
    ),
]

# Translations.
EXPRESSION = typer.Option(
    "--expression", "-e", help="Wanted expression: a name that the model knows, or keep.", autocompletion=complete.expressions
)
LIGHTING = typer.Option(
    "--lighting",
    "-l",
    help="Wanted lighting, or keep; left and right are the viewer's.",
    autocompletion=complete.lightings,
)
Photos = Annotated[
    list[Path],
    path_argument(
        metavar="PHOTO", help="Photographs, folders of them, and patterns such as 'photos/*.jpg'; of any usual format and size."
    ),
]
Pictures = Annotated[Path, out_option("Folder to write to; for a single picture also a file.", "this folder")]
Format = Annotated[
    str | None, typer.Option("--format", help="png, jpeg or webp.", show_default="what the file's name of --out says, else png")
]
Replace = Annotated[bool, typer.Option("--overwrite", help="Replace pictures of the same name, instead of numbering new ones.")]
Paste = Annotated[bool, typer.Option("--paste", help="Put the translated face back into the photograph.")]
All = Annotated[bool, typer.Option("--all", help="Make every combination of every face.")]
MinQuality = Annotated[float | None, typer.Option("--min-quality", min=0, max=10, help="Lowest rating by Q that is kept.")]
MinSimilarity = Annotated[
    float | None, typer.Option("--min-similarity", min=-1, max=1, help="Lowest similarity of person that is kept.")
]
ATTEMPTS = typer.Option("--attempts", min=1, max=10, help="Candidates tried where one falls below a minimum.")

# Jobs on a cluster elsewhere.
DASHBOARD_HELP = "The cluster's dashboard, such as http://HEAD:8265."
Head = Annotated[str, typer.Option("--address", envvar=["RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"], help=DASHBOARD_HELP)]
Submitted = Annotated[str, typer.Argument(metavar="NAME", help="Name of what was submitted.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Show what it prints until it ends.")]
Home = Annotated[
    str | None,
    typer.Option("--home", help="Folder of runs that all nodes share.", show_default="LEGAN_HOME as the cluster has it"),
]
ShipCode = Annotated[bool, typer.Option("--ship-code", help="Send the code of this checkout along and run that.")]

# Servers.
PORT = typer.Option("--port", min=1, max=65535, help="Port to listen at.")
Port = Annotated[int, PORT]
Host = Annotated[str, typer.Option("--host", help="Address to listen at; 0.0.0.0: every one of this machine's.")]
