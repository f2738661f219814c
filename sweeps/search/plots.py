"""Optuna's plots of a study as PNG files: history, importance of the parameters, Pareto front, parallel coordinates."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import optuna
import optuna.visualization.matplotlib as pictures
from optuna.trial import FrozenTrial, TrialState

from legan.platform.errors import counted
from legan.platform.files import whole_file
from legan.sweeps.search.study import open_study
from legan.sweeps.sweep import Sweep

FEWEST = 2
"""Finished trials below which there is nothing to draw."""
FEWEST_FOR_IMPORTANCE = 4
"""Finished trials below which a forest of trees over the parameters says nothing."""
HEIGHT, DPI = 5.0, 120


class Plot(NamedTuple):
    """A file's name, a heading, what draws it, how wide in inches, and why it cannot be drawn, if so."""

    name: str
    title: str
    draw: Callable[[], Any]
    width: float = 9.0
    missing: str | None = None


def search_plots(sweep: Sweep, out: Path, say: Callable[[str], None] = print) -> list[Path]:
    """Draw the study of ``sweep`` into ``out``; the files. ``say`` tells which are missing, since they need more trials."""
    study = open_study(sweep)
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(finished) < FEWEST:
        say(f"no plots of the search: they need {FEWEST} finished trials, and there are {len(finished)}")
        return []

    out.mkdir(parents=True, exist_ok=True)
    files = []
    for plot in _plots(study, list(study.user_attrs["objectives"]), finished):
        if plot.missing is not None:
            say(f"no {plot.name}: {plot.missing}")
            continue

        with _drawing():
            axes = plot.draw()
            axes.set_facecolor("0.88")  # on white, the palest lines would be lost
            axes.set_title("")
            axes.set_title(
                f"{plot.title} ({study.study_name}, {counted(len(finished), 'finished trial')})", loc="left", fontsize=11, pad=12
            )
            axes.figure.set_size_inches(plot.width, HEIGHT)
            with whole_file(out / f"{plot.name}.png") as draft:
                axes.figure.savefig(draft, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.2)
        files.append(out / f"{plot.name}.png")
    return files


def _plots(study: optuna.Study, objectives: list[str], finished: list[FrozenTrial]) -> Iterator[Plot]:
    # Optuna draws one objective's best value so far, and only where it is not told how to find the value.
    several = len(objectives) > 1
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    for index, objective in enumerate(objectives):
        ending = f"-{objective.rpartition('/')[2]}" if several else ""
        of_it = {"target": partial(_value, index) if several else None, "target_name": objective}
        yield Plot(f"history{ending}", f"{objective} by trial", partial(pictures.plot_optimization_history, study, **of_it))
        # One picture an objective: in one of all, Optuna orders the parameters by each but names them by the last.
        importance = partial(pictures.plot_param_importances, study, evaluator=evaluator, **of_it)
        title = f"Share of the variance of {objective} that a parameter explains"
        yield Plot(f"importance{ending}", title, importance, missing=_unimportant(index, finished))
    if len(objectives) in (2, 3):
        front = partial(pictures.plot_pareto_front, study, target_names=objectives)
        yield Plot("pareto-front", "Trials that no other beats in every objective", front, width=8.0)
    lines = partial(pictures.plot_parallel_coordinate, study, target_name=objectives[0])
    width = 4 + 1.5 * len({name for trial in finished for name in trial.params})
    yield Plot("parallel-coordinates", "Parameters and objectives", lines, width)


def _value(index: int, trial: FrozenTrial) -> float:
    return float(trial.values[index])


def _unimportant(index: int, finished: list[FrozenTrial]) -> str | None:
    """Why the importance of parameters cannot be said."""
    if len(finished) < FEWEST_FOR_IMPORTANCE:
        return f"it needs {FEWEST_FOR_IMPORTANCE} finished trials, and there are {len(finished)}"
    if np.ptp([_value(index, trial) for trial in finished]) == 0:
        return "the objective has the same value in all trials"
    shared = set.intersection(*(set(trial.params) for trial in finished))
    if not any(len({trial.params[name] for trial in finished}) > 1 for name in shared):
        return "no parameter that all trials have differs between them"
    return None


@contextmanager
def _drawing() -> Iterator[None]:
    """Draw without a display; keep Optuna's style from what is drawn later, and its warning that plots may change to itself."""
    mpl.use("agg")
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", "Attempting to set identical")  # one trial that finished is drawn too
        try:
            yield
        finally:
            plt.close("all")
