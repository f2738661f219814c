"""``legan sweep promote``: the best model of a sweep becomes the champion, if the champion is not better (platform/catalogue)."""

from collections.abc import Callable

from legan.platform.catalogue.promote import Promotion
from legan.platform.catalogue.promote import promote as promote_model
from legan.platform.device import choose_device
from legan.platform.errors import CheckpointError, ConfigError, Problem
from legan.sweeps.report.choice import Direction, choose, in_words
from legan.sweeps.report.report import scored
from legan.sweeps.report.results import read_results
from legan.sweeps.sweep import Sweep


def promote(
    sweep: Sweep, metric: str, direction: Direction | None, dry_run: bool, force: bool, say: Callable[[str], None]
) -> None:
    """Choose the best trial and promote its model, as ``legan models promote`` does.

    choice.py chooses the variant by its mean over the seeds, then its best seed. Raises ConfigError for the metric, and what
    ``legan models promote`` raises.
    """
    if sweep.settings.kind == "quality":
        remedy = f"name the best trial where Q is asked for: --quality {sweep.trials}/TRIAL"
        raise ConfigError([Problem("", f"the trials of {sweep.name} are quality models, and a champion translates; {remedy}")])
    choice = choose(sweep, scored(sweep, read_results(sweep), "val", say), metric, direction)
    result, asked = choice.result, sweep.settings
    if not result.model.is_dir():
        raise CheckpointError(
            f"{result.trial.name} is finished, but its model {result.model} is gone; bring it back to promote it."
        )
    say(in_words(choice))

    tags = {"sweep": sweep.name, "trial": result.trial.name, "variant": result.trial.variant, "seed": str(result.trial.seed)}
    tags[metric] = f"{choice.value:.6g}"
    classifier, matcher = (path if path.exists() else None for path in asked.judges)
    promotion = Promotion(str(result.folder), None, classifier, matcher, dry_run, force, asked.known_judges, tags)
    promote_model(promotion, choose_device(), say)
