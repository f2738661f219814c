"""Which variant of a sweep is the best by a metric, and which of its seeds."""

import statistics
from collections.abc import Sequence
from typing import Literal, NamedTuple

from legan.platform.errors import ConfigError, Problem, counted
from legan.platform.evaluation.metric_names import LACKING, PREFIXES, Better, find
from legan.sweeps.report.results import TrialResult, about, by_seed, by_variant, metric_names, require_finished
from legan.sweeps.sweep import Sweep

Direction = Literal["minimize", "maximize"]
DIRECTIONS: dict[Better, Direction] = {"lower": "minimize", "higher": "maximize"}


class BestTrial(NamedTuple):
    """The best trial of the variant with the best mean; ``seeds`` numbers went into each mean, ``left_out`` had fewer."""

    result: TrialResult
    metric: str
    direction: Direction
    value: float
    mean: float
    seeds: int
    left_out: tuple[str, ...]


def direction_of(metric: str) -> Direction | None:
    """Which way a metric is better; None for one that is not known."""
    known = find(metric)
    return None if known is None or known.better is None else DIRECTIONS[known.better]


def choose(sweep: Sweep, results: Sequence[TrialResult], metric: str, direction: Direction | None = None) -> BestTrial:
    """The variant with the best mean over its finished seeds on the validation split, and the best of these.

    Variants with fewer finished seeds than another don't compete: the best of few numbers is soon a lucky one. The default of
    ``direction`` is what the search asks for, or else what is known of the metric. Raises ConfigError when there is no finished
    trial, when none has the metric, and when nobody knows which way it is better.
    """
    require_finished(sweep, results)
    names = metric_names(results, "val")
    if metric not in names:
        raise ConfigError(
            [Problem("--metric", f"{_absence(metric)}; the finished trials of {sweep.name} have {', '.join(names) or 'none'}")]
        )
    asked = sweep.settings.search.objectives.get(metric) if sweep.settings.search is not None else None
    way: Direction | None = direction or asked or direction_of(metric)
    if way is None:
        message = f"whether less or more of {metric} is better is not known; say it with --direction"
        raise ConfigError([Problem("--metric", message)])

    values = {variant: by_seed(trials, metric) for variant, trials in by_variant(results).items()}
    seeds = max(map(len, values.values()))
    if seeds == 0:
        message = f"{metric} is no number in any finished trial of {sweep.name}; choose {', '.join(names)}"
        raise ConfigError([Problem("--metric", message)])

    better = min if way == "minimize" else max
    means = {variant: statistics.fmean(numbers.values()) for variant, numbers in values.items() if len(numbers) == seeds}
    variant = better(means, key=means.__getitem__)
    seed = better(values[variant], key=values[variant].__getitem__)
    result = next(each for each in results if (each.trial.variant, each.trial.seed) == (variant, seed) and each.finished)
    left_out = tuple(name for name, numbers in values.items() if len(numbers) < seeds)
    return BestTrial(result, metric, way, values[variant][seed], means[variant], seeds, left_out)


def in_words(choice: BestTrial) -> str:
    """Why this trial."""
    way = "lowest" if choice.direction == "minimize" else "highest"
    seeds = counted(choice.seeds, "seed")
    text = (
        f"{choice.result.trial.name} ({about(choice.result)}): {choice.result.trial.variant} has the {way} mean of "
        f"{choice.metric}, {choice.mean:.4f} over {seeds}, and this is its {way} with {choice.value:.4f}."
    )
    if choice.left_out:
        text += f" Variants with fewer finished seeds did not compete: {', '.join(choice.left_out)}."
    return text


def _absence(metric: str) -> str:
    """Why nothing can be chosen by a metric."""
    known = find(metric)
    if metric.startswith(PREFIXES["test"]) and known is not None:
        return f"{metric} is measured on test people, by whom nothing is chosen; take {metric.replace('eval/', 'val/', 1)}"
    if known is None:
        return f"{metric!r} is unknown"
    return ": ".join([f"no trial measured {metric}", *(LACKING[need] for need in known.needs)])
