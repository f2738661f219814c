"""A driver for tests: the search of the sweep in the folder that it is given, with a function in place of trainings."""

import math
import os
import sys
import time
from pathlib import Path

os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
os.environ["TUNE_DISABLE_STRICT_METRIC_CHECKING"] = "1"

import ray
from ray import tune

from legan.sweeps.search import searcher, settle, suggested
from legan.sweeps.sweep import Outcome, open_sweep, read_outcome, write_outcome


def cheap(config, folder):
    sweep = open_sweep(Path(), folder)
    (trial,) = suggested(sweep, config)
    if read_outcome(sweep, trial.name) is None:
        (sweep.trials / trial.name).mkdir(parents=True, exist_ok=True)
        with (sweep.trials / trial.name / "starts").open("a") as starts:
            starts.write(f"{os.getpid()}\n")
        tune.report({"step": 1, "loss/g_total": 1.0})
        while (Path(folder) / "hold").exists() and len(list(sweep.trials.glob("*/outcome.json"))) >= 2:
            time.sleep(0.05)
        rate = math.log10(config["adam.learning_rate"])
        value = 10 - (config.get("loss.q", 5) - 8) ** 2 - (rate + 4) ** 2 - abs(config["loss.lambda_4"] - 0.5)
        write_outcome(sweep, trial.name, Outcome("finished", {"eval/quality": value}, None))
    tune.report({"step": 4, **read_outcome(sweep, trial.name).metrics})


def main(folder):
    sweep = open_sweep(Path(), folder)
    settle(sweep)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    tune.Tuner(
        tune.with_parameters(cheap, folder=folder),
        tune_config=tune.TuneConfig(
            search_alg=searcher(sweep), num_samples=sweep.settings.search.trials, max_concurrent_trials=2
        ),
        run_config=tune.RunConfig(name="tune", storage_path=folder, verbose=0),
    ).fit()
    ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
