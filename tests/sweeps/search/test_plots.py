import matplotlib as mpl
import numpy as np
import optuna
import pytest
from PIL import Image

from legan.platform.config import check_settings
from legan.sweeps.search.plots import search_plots
from legan.sweeps.search.study import searcher
from legan.sweeps.sweep import SweepSettings, create_sweep

PARAMETERS = {
    "loss.lambda_4": {"choices": [0, 0.5, 2]},
    "loss.q": {"float": [5, 10], "when": {"loss.lambda_4": [0.5, 2]}},
    "adam.learning_rate": {"float": [1e-5, 1e-3], "log": True},
    "generator.width": {"int": [8, 64], "step": 8},
}


def searched(home, objectives, count, value=None):
    search = {"objectives": objectives, "parameters": PARAMETERS, "trials": 30, "sampler": "random"}
    values = {"search": search, "seeds": 1, "data": "d", "classifier": "c", "matcher": "m"}
    settings, problems = check_settings(SweepSettings, values)
    assert settings is not None, problems
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sweep = create_sweep(home, "faces", settings)
    suggest = searcher(sweep)
    for index in range(count):
        changes = suggest.suggest(str(index))
        made = (
            8 - (np.log10(changes["adam.learning_rate"]) + 4) ** 2 - changes["loss.lambda_4"] / 4,
            50 - changes["generator.width"] / 2 + 3 * changes["loss.lambda_4"],
            changes["generator.width"] / 64 + changes["loss.lambda_4"],
        )
        suggest.on_trial_complete(
            str(index), dict(zip(objectives, made, strict=False)) if value is None else {"val/quality": value}
        )
    return sweep


THREE = {"val/quality": "maximize", "val/fd_identity": "minimize", "val/match_to_target": "maximize"}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_plots_of_one_two_and_three_objectives(tmp_path, count):
    objectives = dict(list(THREE.items())[:count])
    said = []
    before = dict(mpl.rcParams)
    files = search_plots(searched(tmp_path, objectives, 12), tmp_path / "out", said.append)
    endings = [""] if count == 1 else [f"-{name}" for name in ("quality", "fd_identity", "match_to_target")[:count]]
    front = [] if count == 1 else ["pareto-front"]
    names = [f"{kind}{ending}" for ending in endings for kind in ("history", "importance")]
    assert [file.stem for file in files] == [*names, *front, "parallel-coordinates"]
    assert said == []
    for file in files:
        picture = Image.open(file).convert("RGB")
        assert min(picture.size) > 400
        assert len(picture.getcolors(picture.width * picture.height)) > 20
    assert {key: value for key, value in mpl.rcParams.items() if before[key] != value and not key.startswith("backend")} == {}


def test_what_cannot_be_drawn_is_said(tmp_path):
    said = []
    one = {"val/quality": "maximize"}
    assert search_plots(searched(tmp_path / "1", one, 1), tmp_path / "out", said.append) == []
    assert said.pop() == "no plots of the search: they need 2 finished trials, and there are 1"
    files = search_plots(searched(tmp_path / "2", one, 3), tmp_path / "out", said.append)
    assert [file.stem for file in files] == ["history", "parallel-coordinates"]
    assert said.pop() == "no importance: it needs 4 finished trials, and there are 3"
    search_plots(searched(tmp_path / "3", one, 5, value=3.0), tmp_path / "out", said.append)
    assert said == ["no importance: the objective has the same value in all trials"]


def test_importance_is_of_the_parameter_that_it_names(tmp_path, monkeypatch):
    drawn = {}
    save = mpl.figure.Figure.savefig

    def keep(figure, path, **options):
        axes = figure.axes[0]
        drawn[path.name.split(".")[1]] = dict(
            zip([label.get_text() for label in axes.get_yticklabels()], [bar.get_width() for bar in axes.patches], strict=False)
        )
        save(figure, path, **options)

    monkeypatch.setattr(mpl.figure.Figure, "savefig", keep)
    search_plots(searched(tmp_path, dict(list(THREE.items())[:2]), 24), tmp_path / "out", print)
    # As ``searched`` computes them: quality of the learning rate and λ4, distance mostly of the width.
    quality, distance = drawn["importance-quality"], drawn["importance-fd_identity"]
    assert quality["generator.width"] < min(quality["adam.learning_rate"], quality["loss.lambda_4"])
    assert distance["generator.width"] > max(distance["adam.learning_rate"], distance["loss.lambda_4"])
