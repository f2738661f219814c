"""A driver for tests: the search of the sweep in the folder that it is given, with a function in place of trainings."""

import math
import os
import sys
import time
from pathlib import Path

from ray.tune.search import Searcher

from legan.sweeps.search.study import searcher, settle, suggested
from legan.sweeps.sweep import Outcome, open_sweep, read_outcome, write_outcome


def cheap(sweep, config):
    (trial,) = suggested(sweep, config)
    if read_outcome(sweep, trial.name) is None:
        (sweep.trials / trial.name).mkdir(parents=True, exist_ok=True)
        with (sweep.trials / trial.name / "starts").open("a") as starts:
            starts.write(f"{os.getpid()}\n")
        while (sweep.folder / "hold").exists() and len(list(sweep.trials.glob("*/outcome.json"))) >= 2:
            time.sleep(0.05)
        rate = math.log10(config["adam.learning_rate"])
        value = 10 - (config.get("loss.q", 5) - 8) ** 2 - (rate + 4) ** 2 - abs(config["loss.lambda_4"] - 0.5)
        write_outcome(sweep, trial.name, Outcome("finished", {"val/quality": value}))
    return read_outcome(sweep, trial.name).metrics


def main(folder):
    sweep = open_sweep(Path(), folder)
    settle(sweep)
    search = searcher(sweep)
    for index in range(1000):
        config = search.suggest(str(index))
        if config == Searcher.FINISHED:
            break
        search.on_trial_complete(str(index), cheap(sweep, config))


if __name__ == "__main__":
    main(sys.argv[1])
