"""``legan sweep promote``: the best model of a sweep becomes the champion of the registered model."""

from legan.platform.errors import CheckpointError
from legan.platform.model import read_model
from legan.platform.tracking.mlflow_access import promote_model
from legan.platform.tracking.places import shown
from legan.sweeps.report.choice import Direction, choose, in_words
from legan.sweeps.report.results import read_results
from legan.sweeps.sweep import Sweep


def promote(sweep: Sweep, metric: str, direction: Direction | None = None) -> list[str]:
    """Register the best trial's model as a new version with the alias champion; what was done and how to undo it, line by line.

    choice.py chooses the variant by its mean over the seeds, then its best seed. A model that was promoted before gets no
    second version. Raises ConfigError for the metric, CheckpointError for a damaged model, and TrackingError when MLflow is
    away or lacks the trial's run.
    """
    choice = choose(sweep, read_results(sweep), metric, direction)
    result, name = choice.result, sweep.settings.kind
    if not result.model.is_dir():
        raise CheckpointError(
            f"{result.trial.name} is finished, but its model {result.model} is gone; bring it back to promote it."
        )
    read_model(result.model)  # an error where it is damaged

    run = result.run
    store = shown(run.store)
    tags = {"sweep": sweep.name, "trial": result.trial.name, "variant": result.trial.variant, "seed": str(result.trial.seed)}
    made = promote_model(run, result.model, name, {**tags, metric: f"{choice.value:.6g}"})

    lines = [in_words(choice)]
    if made.before == made.version:
        return [*lines, f"It is version {made.version}, which models:/{name}@champion was already."]
    lines.append(f"models:/{name}@champion is now version {made.version}, of the MLflow run {made.run_id}.")
    if made.before is None:
        return [*lines, "There was no champion before."]
    back = f"import mlflow; mlflow.MlflowClient('{store}').set_registered_model_alias('{name}', 'champion', '{made.before}')"
    before = f"version {made.before}, of the MLflow run {made.run_before}" if made.run_before else f"version {made.before}"
    return [*lines, f"Before, it was {before}; to go back:", f'  python -c "{back}"']
