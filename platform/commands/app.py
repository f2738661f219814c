"""Platform's part of the command line."""

import typer

from legan.platform.commands import data, evaluate, tracking, train


def mount(app: typer.Typer) -> None:
    """Add all of platform's commands."""
    data.mount(app)
    train.mount(app)
    evaluate.mount(app)
    tracking.mount(app)
