"""How long a training will take, reckoned from a few of its steps, which are made here and forgotten."""

import statistics
import time
from itertools import count

import torch

from legan.platform.device import WARM_UP_STEPS, keep_freed_memory
from legan.platform.settings import ClassifierSettings
from legan.platform.training.checks import Facts, Inputs
from legan.platform.training.lifecycle import build_task
from legan.platform.training.loop import duration
from legan.platform.training.parallel import Ranks

BUDGET_S = 4.0
"""About how long steps are made for; a single one of the smallest minibatches may take longer."""
MOST_STEPS = 10


def reckoned(facts: Facts, inputs: Inputs, begins: int, elsewhere: bool) -> str:
    """A line about the time that a training takes from step ``begins`` on; of one that is ``elsewhere`` nothing is known.

    What is measured is one worker's share of a step, so that other workers are taken to lose no time on each other.
    """
    settings = facts.settings
    if elsewhere or (settings.gpu and not torch.cuda.is_available()):
        return "time: not reckoned, since other machines train"
    device = torch.device("cuda" if settings.gpu else "cpu")
    if not settings.gpu:
        keep_freed_memory()
        torch.set_num_threads(settings.threads or torch.get_num_threads())

    steps = build_task(settings, Ranks(), inputs, facts.left_out).total_steps - begins
    share = max(1, settings.batch_size // max(1, settings.workers))
    few = min(share, 2 if isinstance(settings, ClassifierSettings) else 1)  # batch norm needs two
    seconds, made = _seconds_a_step(facts, few, device, inputs)
    how = f"{made} made here"
    if few < share and seconds * share / few <= BUDGET_S:
        seconds, made = _seconds_a_step(facts, share, device, inputs)
        how = f"{made} made here"
    elif few < share:
        seconds, how = seconds * share / few, f"{made} made here, of {few} of {share} images a minibatch"
    return (
        f"time: about {duration(steps * seconds)} for {steps} steps of {seconds:.2g} s ({how}); "
        "validations, pictures and checkpoints come on top"
    )


def _seconds_a_step(facts: Facts, batch_size: int, device: torch.device, inputs: Inputs) -> tuple[float, int]:
    """Median seconds of the steps that fit into the budget, but for those that warm up, and how many these are; 1 at least."""
    settings = facts.settings
    alone = {"batch_size": batch_size, "workers": 0, "compile": False, "recolor": (), "white_balance": ()}
    known = {name: value for name, value in alone.items() if name in type(settings).model_fields}
    task = build_task(settings.model_copy(update=known), Ranks(device=device), inputs, facts.left_out)
    warm_up = WARM_UP_STEPS + 1 if settings.gpu else 1

    took: list[float] = []
    begun = time.perf_counter()
    for made in count():
        step, since = min(made, task.total_steps - 1), time.perf_counter()
        task.step(task.batch(step), step)
        if settings.gpu:
            torch.cuda.synchronize()
        took.append(time.perf_counter() - since)
        if len(took) == warm_up + MOST_STEPS or time.perf_counter() - begun + took[-1] > BUDGET_S:
            break
    measured = took[warm_up:] or took[-1:]
    return statistics.median(measured), len(measured)
