"""``legan models list|show|promote|rollback``: the registered models, and which version is the champion."""

from pathlib import Path
from typing import Annotated

import typer

from legan.platform.commands import complete
from legan.platform.commands.options import (
    DATA,
    AsJson,
    DryRun,
    Force,
    KnownJudges,
    MaybeClassifier,
    MaybeMatcher,
    path_argument,
    told,
)
from legan.platform.commands.output import answer, say

NAME_HELP = "Name of a registered model: legan, stargan or stargan_v2."
MaybeName = Annotated[str | None, typer.Argument(metavar="NAME", help=NAME_HELP, show_default="all")]
Name = Annotated[str, typer.Argument(metavar="NAME", help=NAME_HELP)]
Which = Annotated[
    str,
    path_argument(
        metavar="NAME|VERSION|RUN|FOLDER",
        help="A registered model, whose champion is shown, a version as models:/legan/3, a run, or a model's folder.",
        autocompletion=complete.models,
    ),
]
Source = Annotated[
    str,
    path_argument(
        metavar="RUN|VERSION",
        help="A run (name or folder), or a version: 3 of legan, or models:/stargan/3.",
        autocompletion=complete.runs,
    ),
]
TrainedOn = Annotated[Path | None, told(DATA, "the folder that it was trained on")]


def mount(app: typer.Typer) -> None:
    """Add ``models`` to the application."""
    models = typer.Typer(help="Look at the registered models, and choose the champion.", no_args_is_help=True)

    @models.command("list")
    def list_all(name: MaybeName = None, as_json: AsJson = False) -> None:
        """Show the versions of the registered models, the newest first, and which is the champion."""
        from legan.platform.catalogue.tell import version_values, versions_table
        from legan.platform.tracking.mlflow_access import registered_models

        found = registered_models(name)
        answer([version_values(each) for each in found], versions_table(found), as_json)

    @models.command()
    def show(which: Which = "legan", as_json: AsJson = False) -> None:
        """Show one version: its run, what was measured of it, its model card, and who was the champion before it.

        Of a run or a folder, the model card.
        """
        from legan.platform.catalogue.candidate import find_folder, find_version
        from legan.platform.catalogue.tell import champion_lines, version_lines, version_values
        from legan.platform.model import read_card

        folder = find_folder(which)
        if folder is not None:
            card = read_card(folder)
            answer({"folder": str(folder), "card": card}, card.splitlines(), as_json)
            return
        found = find_version(which)
        answer(version_values(found), [*version_lines(found), *champion_lines(found)], as_json)

    @models.command()
    def promote(
        source: Source, data: TrainedOn = None, classifier: MaybeClassifier = None, matcher: MaybeMatcher = None,
        known_judges: KnownJudges = False, dry_run: DryRun = False, force: Force = False,
    ) -> None:  # fmt: skip
        """Make a run's model or a version the champion, unless it is worse than the present one or than copied input.

        All are asked for the same translations of the validation split of the data that it was trained on. SSIM to the true
        targets decides. Where there are none, --classifier and --matcher are needed: accuracy × match decides.
        """
        from legan.platform.catalogue.promote import Promotion
        from legan.platform.catalogue.promote import promote as promote_model
        from legan.platform.device import choose_device

        promote_model(Promotion(source, data, classifier, matcher, dry_run, force, known_judges), choose_device(), say)

    @models.command()
    def rollback(name: Name = "legan") -> None:
        """Make the champion of before the champion again; once more goes one further back."""
        from legan.platform.catalogue.promote import rollback as roll_back

        roll_back(name, say)

    app.add_typer(models, name="models")
