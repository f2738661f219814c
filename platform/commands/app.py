"""Platform's part of the command line."""

import typer

from legan.platform.commands.data import mount as mount_data
from legan.platform.commands.evaluate import mount as mount_evaluate
from legan.platform.commands.experiment import mount as mount_experiment
from legan.platform.commands.models import mount as mount_models
from legan.platform.commands.ratings import mount as mount_ratings
from legan.platform.commands.runs import mount as mount_runs
from legan.platform.commands.tracking import mount as mount_tracking
from legan.platform.commands.train import mount as mount_train
from legan.platform.commands.weights import mount as mount_weights


def mount(app: typer.Typer) -> None:
    """Add all of platform's commands."""
    mount_data(app)
    mount_ratings(app)
    mount_train(app)
    mount_evaluate(app)
    mount_experiment(app)
    mount_runs(app)
    mount_models(app)
    mount_tracking(app)
    mount_weights(app)
