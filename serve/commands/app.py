"""Serve's part of the command line."""

import typer

from legan.serve.commands.augment import mount as mount_augment
from legan.serve.commands.call import mount as mount_call
from legan.serve.commands.serve import mount as mount_serve
from legan.serve.commands.study import mount as mount_study
from legan.serve.commands.translate import mount as mount_translate


def mount(app: typer.Typer) -> None:
    """Add all of serve's commands."""
    mount_augment(app)
    mount_study(app)
    mount_translate(app)
    mount_call(app)
    mount_serve(app)
