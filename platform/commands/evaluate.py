"""``legan evaluate``: how well models do on held-out people, the paper's tables of them, and line-ups for raters."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from legan.platform.commands import complete
from legan.platform.commands.options import (
    MODEL_HELP,
    PAIRS,
    PAIRS_OPTION,
    PERSON_HELP,
    QUALITY,
    RATINGS_HELP,
    SEED,
    Classifier,
    Data,
    KnownJudges,
    Matcher,
    MaybeClassifier,
    MaybeData,
    MaybeMatcher,
    MaybeQuality,
    Out,
    PairList,
    Pairs,
    PairsFile,
    ProtocolName,
    Seed,
    out_option,
    path,
    path_argument,
    told,
)
from legan.platform.errors import counted

if TYPE_CHECKING:
    from legan.platform.evaluation.expression.evaluate import ClassScore
    from legan.platform.evaluation.paired import Evaluation
    from legan.platform.evaluation.verification.result import Verification

DEFAULT = "model"
HELP = """Score models on people held out of a data set, beside copied inputs and real images.

    legan evaluate MODEL --data DATA --classifier JUDGE --matcher MATCHER

is short for `legan evaluate model …`, whose options `legan evaluate model --help` explains.
"""

OfSplit = Annotated[
    Literal["val", "test"],
    typer.Option("--split", help="val to choose between models; test once nothing is chosen any more. Each test is counted."),
]
Source = Annotated[str, path_argument(metavar="MODEL", help=MODEL_HELP)]
Quality = Annotated[Path | None, told(QUALITY, "the model's own")]
EvaluationOut = Annotated[
    Path | None, out_option("Folder of tables and pictures.", "evaluations/MODEL-on-DATASET beside the runs")
]

FIGURES_HELP = """Figure of the paper: 5 (models on the same faces and targets), 6, 16 or 17 (photographs in the wild under drawn
targets), 10 (rated faces and what Q predicts), 15 (outputs that miss their target), 18 (recolourings)."""
FigureNumber = Annotated[int, typer.Argument(metavar="N", help=FIGURES_HELP)]
FigureModels = Annotated[
    list[str] | None,
    path_argument(
        metavar="RUN|NAME=RUN",
        help=f"What the figure shows, as RUN or NAME=RUN. {MODEL_HELP}",
        show_default="none",
        autocompletion=complete.models,
    ),
]
Recolor = Annotated[
    list[Path] | None,
    path(
        "--recolor",
        help="18: a recolourer, a run of `legan train recolor` or a network folder; repeatable.",
        show_default="none",
        autocompletion=complete.runs,
    ),
]
FigureRatings = Annotated[Path | None, path("--ratings", help=f"10: {RATINGS_HELP}")]
FigureFaces = Annotated[
    int | None,
    typer.Option("--faces", min=1, max=100, help="Faces to show, at most.", show_default="10: 12; 15: 8; others: 4"),
]
FigureOut = Annotated[Path | None, out_option("Folder of the picture.", "evaluations/figureN-on-DATASET beside the runs")]
Number = Annotated[int, typer.Argument(metavar="1|2|3", min=1, max=3, help="Table of the paper.")]
Models = Annotated[
    list[str],
    typer.Option(
        "--models",
        "-m",
        metavar="NAME=RUN,RUN,…",
        help="A method and its runs, one per seed. StarGAN, StarGAN-Lqual, StarGAN-v2 and LEGAN stand beside the paper's; any "
        "other name gets a row of its own. Repeatable; further ones may also follow without --models.",
    ),
]
More = Annotated[list[str] | None, typer.Argument(metavar="NAME=RUN,RUN,…", help="Further methods, as behind --models.")]
MaybePairs = Annotated[int | None, told(PAIRS_OPTION, str(PAIRS))]
MaybeSeed = Annotated[int | None, told(SEED, "0")]
Preferences = Annotated[
    Path | None,
    path("--preferences", help="Human preference: preferences.csv of `legan study report`, models named as in --models."),
]
TableOut = Annotated[Path | None, out_option("Folder of the table.", "evaluations/tableN-on-DATASET beside the runs")]

LineupModels = Annotated[
    list[str],
    typer.Option(
        "--models",
        "-m",
        metavar="NAME=RUN",
        help="A model and its name, which raters don't see. Repeatable; further ones may also follow without --models.",
    ),
]


Told = Annotated[
    str, path_argument(metavar="RUN", help=f"What tells people apart: {PERSON_HELP}, or dlib.", autocompletion=complete.runs)
]
VerificationOut = Annotated[
    Path | None, out_option("Folder of the report.", "evaluations/verification-RUN-DATASET-LIST beside the runs")
]
ExpressionRun = Annotated[
    Path,
    path_argument(metavar="RUN", help="A run of `legan train expression`, or a network folder.", autocompletion=complete.runs),
]
ExpressionOut = Annotated[
    Path | None, out_option("Folder of the report.", "evaluations/expression-RUN-DATASET-SPLIT beside the runs")
]


class DefaultGroup(TyperGroup):
    """A group whose first argument may be left out where it is DEFAULT."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put DEFAULT in front of what is no command of the group and no question for help."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)


def mount(app: typer.Typer) -> None:
    """Add ``evaluate`` to the application."""
    group = typer.Typer(cls=DefaultGroup, help=HELP, no_args_is_help=True)

    @group.command(DEFAULT)
    def one_model(
        model: Source, data: Data, classifier: Classifier, matcher: Matcher, quality: Quality = None, pairs: Pairs = PAIRS,
        seed: Seed = 0, pairs_file: PairsFile = None, split: OfSplit = "test",
        known_judges: KnownJudges = False, out: EvaluationOut = None,
    ) -> None:  # fmt: skip
        """Score one model; writes tables, pictures and the list of pairs, and logs them to the model's MLflow run."""
        from legan.platform.device import command_device
        from legan.platform.evaluation.evaluate import EvaluationRequest, default_folder, evaluate, prepare
        from legan.platform.evaluation.judges import by_known_judges

        request = EvaluationRequest(data, classifier, matcher, quality, pairs, seed, pairs_file, split, known_judges)
        bench = prepare(model, request, out)
        device = command_device()
        done = evaluate(bench, out or default_folder(model, bench.data, split), device, say)
        _print_table(done, by_known_judges(bench.about()))

    @group.command()
    def table(
        number: Number, models: Models, data: Data, more: More = None, classifier: MaybeClassifier = None,
        matcher: MaybeMatcher = None, quality: Quality = None, pairs: MaybePairs = None, seed: MaybeSeed = None,
        pairs_file: PairsFile = None, known_judges: KnownJudges = False, preferences: Preferences = None, out: TableOut = None,
    ) -> None:  # fmt: skip
        """Set our numbers (mean ± sd over seeds) beside those of the paper's Table 1, 2 or 3, as Markdown, CSV and PNG.

        The numbers are those of evaluations made before. With --classifier and --matcher, what is missing is evaluated now.
        """
        from legan.platform.device import command_device
        from legan.platform.evaluation.tables.files import markdown
        from legan.platform.evaluation.tables.request import TableRequest, tabulate

        request = TableRequest(
            number,
            [*models, *(more or [])],
            data,
            classifier,
            matcher,
            quality,
            pairs,
            seed,
            pairs_file,
            known_judges,
            preferences,
            out,
        )
        made, files = tabulate(request, command_device(), say)
        print(markdown(made).replace("<br>", "; "))
        print("Written: " + ", ".join(map(str, files)))

    @group.command()
    def lineup(
        models: LineupModels, data: Data, out: Out, more: More = None, pairs: Pairs = 30, seed: Seed = 0,
        pairs_file: PairsFile = None,
    ) -> None:  # fmt: skip
        """Write what several models make of the same photographs, as `legan study create --lineup` takes it."""
        from legan.platform.device import command_device
        from legan.platform.evaluation.lineup import parse_lineup, write_lineup

        named = parse_lineup([*models, *(more or [])])
        device = command_device()
        asked = write_lineup(named, data, out, device, pairs=pairs, seed=seed, pairs_file=pairs_file)
        print(f"{len(asked)} line-ups of {', '.join(named)}: {out}")
        print(f"Have people choose: legan study create STUDY --lineup {out} --raters 17")

    @group.command()
    def figure(
        number: FigureNumber, models: FigureModels = None, data: MaybeData = None, recolor: Recolor = None,
        ratings: FigureRatings = None, quality: MaybeQuality = None, classifier: MaybeClassifier = None,
        known_judges: KnownJudges = False, faces: FigureFaces = None, seed: Seed = 0, pairs_file: PairsFile = None,
        out: FigureOut = None,
    ) -> None:  # fmt: skip
        """Draw a figure of the paper with models of your own: a PNG, and a JSON that names faces, targets and models."""
        from legan.platform.device import command_device
        from legan.platform.evaluation.paper_figures.asked import FigureRequest
        from legan.platform.evaluation.paper_figures.figure import draw_figure

        request = FigureRequest(
            number,
            tuple(models or ()),
            data,
            tuple(recolor or ()),
            ratings,
            quality,
            classifier,
            known_judges,
            faces or 0,
            seed,
            pairs_file,
        )
        print("Written: " + ", ".join(map(str, draw_figure(request, out, command_device(), say))))

    @group.command()
    def verification(
        run: Told, protocol: ProtocolName, data: Data, pair_list: PairList, known_judges: KnownJudges = False,
        out: VerificationOut = None,
    ) -> None:  # fmt: skip
        """Verify people by a protocol's pairs (Table 4): TPR at FPR 1 % and 0.1 %, FNMR at FMR, and the ROC."""
        from legan.platform.device import command_device
        from legan.platform.evaluation.verification.verify import (
            VerificationRequest,
            default_verification_folder,
            prepare_verification,
            verify,
        )

        request = VerificationRequest(Path(run), protocol, data, pair_list, known_judges)
        bench = prepare_verification(request, out)
        done = verify(bench, out or default_verification_folder(bench), command_device(), say)
        _print_verification(done)

    @group.command()
    def expression(run: ExpressionRun, data: Data, split: OfSplit = "test", out: ExpressionOut = None) -> None:
        """Score a classifier of expressions on real faces (Table 5): ROC AUC of each class against the rest, and their mean."""
        from legan.platform.device import command_device
        from legan.platform.evaluation.expression.evaluate import (
            ExpressionRequest,
            default_expression_folder,
            evaluate_expression,
            prepare_expression,
        )

        bench = prepare_expression(ExpressionRequest(run, data, split), out)
        _print_expression(evaluate_expression(bench, out or default_expression_folder(bench), command_device(), say))

    app.add_typer(group, name="evaluate")


def _print_verification(done: "Verification") -> None:
    from rich.console import Console
    from rich.table import Table

    from legan.platform.evaluation.verification.report import rows_of

    strangers, same = done.compared.pairs
    of = f"{counted(same, 'pair')} of one person and {strangers} of strangers"
    table = Table(title=f"{done.compared.file.name}: {of}")
    table.add_column("", no_wrap=True)
    table.add_column("value", justify="right")
    table.add_column(f"95 % over draws of a {done.compared.unit_name}, or ±", justify="right")
    for row in rows_of(done):
        table.add_row(*row)
    Console().print(table)
    if sum(done.compared.lost):
        print(f"{counted(sum(done.compared.lost), 'pair')} could not be compared, since the data set lacks an image.")


def _print_expression(rows: "list[ClassScore]") -> None:
    from rich.console import Console
    from rich.table import Table

    from legan.platform.evaluation.expression.evaluate import cells

    table = Table(title="ROC AUC of each expression against the rest")
    table.add_column("", no_wrap=True)
    for name in ("images", "ROC AUC", "95 % over draws of people"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*cells(row))
    Console().print(table)


def say(line: str) -> None:
    """A line for whoever waits."""
    print(line, flush=True)


def _print_table(evaluation: "Evaluation", judged: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from legan.platform.evaluation.metric_names import ABOVE, ABOVE_NOTE, METRICS, heading, shown
    from legan.platform.evaluation.report import above, reference_images

    metrics = evaluation.table[shown(evaluation.table.columns.drop("pairs"))]
    people = evaluation.pairs["subject"].nunique()
    table = Table(title=f"{counted(len(evaluation.pairs), 'translation')} of people of the {evaluation.split} split{judged}")
    table.add_column("", no_wrap=True)
    for method in metrics.index:
        table.add_column(str(method), justify="right")
    table.add_column(f"95 % of the output, over {counted(people, 'subject')}", justify="right")

    intervals, beaten = evaluation.intervals.get("output", {}), above(evaluation)
    for name, values in metrics.items():
        span = intervals.get(str(name))
        marks = {"output": f" {ABOVE}"} if name in beaten else {}
        cells = ["–" if value != value else f"{value:.3f}{marks.get(str(method), '')}" for method, value in values.items()]
        table.add_row(heading(str(name)), *cells, f"{span[0]:.3f} – {span[1]:.3f}" if span else "–")
    Console().print(table)
    if beaten:
        print(ABOVE_NOTE)

    n = len(evaluation.pairs)
    of_sets = [metric.title for metric in METRICS if metric.of_sets and metric.name in metrics]
    print(f"{' and '.join(of_sets)}: N = {n} against {reference_images(evaluation)}.")
    if evaluation.strangers is not None:
        print(f"Real images of different people match by {evaluation.strangers:.3f}: read every match against that.")
