"""``legan translate``: one photograph under another expression and lighting."""

from pathlib import Path
from typing import Annotated

import typer

Photo = Annotated[Path, typer.Argument(help="Photograph: JPEG, PNG or any usual format, of any size.")]
Expression = Annotated[str | None, typer.Option("--expression", "-e", help="Wanted expression; a name that the model knows.")]
Lighting = Annotated[
    str | None, typer.Option("--lighting", "-l", help="Wanted lighting; left and right are yours, the viewer's.")
]
Source = Annotated[str, typer.Option("--model", "-m", help="A run, a model folder, or an MLflow URI.")]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", help="PNG to write; default: PHOTO.EXPRESSION.LIGHTING.png in this folder.")
]
Grid = Annotated[bool, typer.Option("--grid", help="All combinations in one labelled picture.")]
Paste = Annotated[bool, typer.Option("--paste", help="Put the translated face back into the photograph.")]
Face = Annotated[str, typer.Option("--face", metavar="N|all", help="Which face: 1 is the largest, all takes every one.")]


def mount(app: typer.Typer) -> None:
    """Add ``translate`` to the application."""

    @app.command()
    def translate(
        photo: Photo,
        expression: Expression = None,
        lighting: Lighting = None,
        model: Source = "models:/legan@champion",
        out: Out = None,
        grid: Grid = False,
        paste: Paste = False,
        face: Face = "1",
    ) -> None:
        """Translate a face of a photograph and write it as PNG."""
        from legan.serve.translate import TranslateRequest, run

        run(TranslateRequest(photo, expression, lighting, model, out, grid, paste, face))
