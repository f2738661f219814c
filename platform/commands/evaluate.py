"""``legan evaluate``: how well a model does on held-out subjects."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from legan.platform.evaluation.paired import Evaluation

Source = Annotated[
    str, typer.Argument(metavar="MODEL", help="A run, a model folder, or an MLflow URI such as models:/legan@champion.")
]
Data = Annotated[Path, typer.Option("--data", "-d", help="Data set folder; its test split is used.")]
Classifier = Annotated[Path, typer.Option("--classifier", help="Independent judge: a run of `legan train classifier`.")]
Matcher = Annotated[
    Path, typer.Option("--matcher", help="Face matcher, not the T of the training: a run of `legan train identity`.")
]
Pairs = Annotated[int, typer.Option("--pairs", min=1, help="Translations to score, at most.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of the choice of pairs.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="Folder of tables and pictures; default: evaluations/MODEL-on-DATASET beside the runs."),
]


def mount(app: typer.Typer) -> None:
    """Add ``evaluate`` to the application."""

    @app.command()
    def evaluate(
        model: Source, data: Data, classifier: Classifier, matcher: Matcher, pairs: Pairs = 400, seed: Seed = 0, out: Out = None
    ) -> None:
        """Score a model on held-out subjects, beside copied inputs and real images."""
        import torch

        from legan.platform.data.dataset import open_dataset
        from legan.platform.errors import TrackingError
        from legan.platform.evaluation.paired import check_judges, choose_pairs, evaluate_pairs
        from legan.platform.evaluation.report import tracked_metrics, write_report
        from legan.platform.model import find_model, load_network, network_folder, read_model
        from legan.platform.tracking.mlflow_access import log_to_run
        from legan.platform.tracking.places import default_home

        loaded, dataset = read_model(find_model(model)), open_dataset(data)
        judges = check_judges(loaded, dataset, load_network(network_folder(classifier)), load_network(network_folder(matcher)))
        chosen = choose_pairs(dataset, pairs, seed)
        subjects = chosen["subject"].nunique()
        people = "1 subject" if subjects == 1 else f"{subjects} subjects"
        print(f"Translating {len(chosen)} held-out images of {people} of {dataset.name} and scoring them …", flush=True)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        evaluation = evaluate_pairs(loaded, dataset, chosen, judges, device)
        about = {
            "model": model,
            "data": dataset.name,
            "data_hash": dataset.content_hash,
            "pairs": len(chosen),
            "subjects": subjects,
            "seed": seed,
            "run_id": loaded.info.get("run_id"),
            "matcher_is_not_the_trained_T": "checked"
            if "identity_weights" in loaded.info
            else "unknown, the model does not name its T",
        }
        folder = out or default_home() / "evaluations" / f"{_plain_name(model)}-on-{dataset.name}"
        files = write_report(folder, evaluation, loaded, dataset, about, device)
        _print_table(evaluation)
        print(f"Tables and pictures: {folder} (evaluation.md, pictures.png)")
        if about["run_id"]:
            try:
                log_to_run(str(about["run_id"]), tracked_metrics(evaluation), files)
            except TrackingError as error:
                print(f"The scores are in these files and not in MLflow: {error}")
            else:
                print(f"Logged as eval/… to the model's MLflow run {about['run_id']}.")


def _plain_name(source: str) -> str:
    """A folder name for a model: the folder's own, or the URI without its signs."""
    kind, sign, rest = source.partition(":/")
    name = rest if sign and kind in ("models", "runs") else _folder_name(Path(source).resolve())
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name.strip("/"))


def _folder_name(folder: Path) -> str:
    """The model's name: a run keeps its model in a folder called ``model``, so the run's own name says more."""
    return folder.parent.name if folder.name == "model" else folder.name


def _print_table(evaluation: "Evaluation") -> None:
    from rich.console import Console
    from rich.table import Table

    metrics = evaluation.table.drop(columns="pairs")
    table = Table(title=f"{len(evaluation.pairs)} translations of held-out subjects")
    table.add_column("")
    for method in metrics.index:
        table.add_column(str(method), justify="right")
    for name, values in metrics.items():
        table.add_row(str(name).replace("_", " "), *(f"{value:.3f}" for value in values))
    Console().print(table)
    if evaluation.strangers is not None:
        print(f"Real images of different people match by {evaluation.strangers:.3f}: read every match against that.")
