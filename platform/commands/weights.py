"""``legan weights``: get the published weights that some metrics need."""

from typing import Annotated

import typer

Names = Annotated[
    list[str], typer.Argument(metavar="NAME…", help="facenet, inception (FID, KID), alexnet (LPIPS) or deep_white_balance.")
]


def mount(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command()
    def weights(names: Names) -> None:
        """Download published weights into the weights folder and check them; `legan doctor` says which are there."""
        from legan.platform.errors import Problems
        from legan.platform.weights import PRETRAINED, fetch_weights

        problems = Problems()
        for name in names:
            if name not in PRETRAINED:
                problems.add("NAME", f"there are no weights {name!r}; known: {', '.join(PRETRAINED)}")
        problems.raise_if_any()
        for name in names:
            print(f"{name}: {fetch_weights(name)}", flush=True)
