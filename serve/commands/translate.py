"""``legan translate``: photographs under another expression and lighting."""

from pathlib import Path
from typing import Annotated

import typer

from legan.platform.commands.options import (
    EXPRESSION,
    LIGHTING,
    Format,
    Model,
    Paste,
    Photos,
    Pictures,
    Replace,
    told,
)

Expression = Annotated[str | None, told(EXPRESSION, "the only one there is; all with --grid")]
Lighting = Annotated[str | None, told(LIGHTING, "the only one there is; all with --grid")]
Grid = Annotated[bool, typer.Option("--grid", help="All combinations in one labelled picture.")]
Face = Annotated[str, typer.Option("--face", metavar="N|all", help="Which face: 1 is the largest, all takes every one.")]


def mount(app: typer.Typer) -> None:
    """Add ``translate`` to the application."""

    @app.command()
    def translate(
        photos: Photos,
        expression: Expression = None,
        lighting: Lighting = None,
        model: Model = None,
        out: Pictures = Path(),
        format: Format = None,
        grid: Grid = False,
        paste: Paste = False,
        face: Face = "1",
        overwrite: Replace = False,
    ) -> None:
        """Translate a face of each photograph and write PHOTO.EXPRESSION.LIGHTING.png."""
        from legan.serve.chosen import champion_or_box
        from legan.serve.translate import run
        from legan.serve.translate_order import TranslateRequest

        model = champion_or_box(model)
        run(TranslateRequest(photos, expression, lighting, model, out, format, grid, paste, face, overwrite))
