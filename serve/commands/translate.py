"""``legan translate``: one photograph under another expression and lighting."""

from pathlib import Path
from typing import Annotated

import typer

from legan.platform.commands.options import (
    CHAMPION,
    EXPRESSION,
    LIGHTING,
    Model,
    Paste,
    out_option,
    path_argument,
    told,
)

Photo = Annotated[Path, path_argument(metavar="PHOTO", help="Photograph: JPEG, PNG or any usual format, of any size.")]
Expression = Annotated[str | None, told(EXPRESSION, "all with --grid, else needed")]
Lighting = Annotated[str | None, told(LIGHTING, "all with --grid, else needed")]
Out = Annotated[Path | None, out_option("PNG to write.", "PHOTO.EXPRESSION.LIGHTING.png in this folder")]
Grid = Annotated[bool, typer.Option("--grid", help="All combinations in one labelled picture.")]
Face = Annotated[str, typer.Option("--face", metavar="N|all", help="Which face: 1 is the largest, all takes every one.")]


def mount(app: typer.Typer) -> None:
    """Add ``translate`` to the application."""

    @app.command()
    def translate(
        photo: Photo,
        expression: Expression = None,
        lighting: Lighting = None,
        model: Model = CHAMPION,
        out: Out = None,
        grid: Grid = False,
        paste: Paste = False,
        face: Face = "1",
    ) -> None:
        """Translate a face of a photograph and write it as PNG."""
        from legan.serve.translate import TranslateRequest, run

        run(TranslateRequest(photo, expression, lighting, model, out, grid, paste, face))
