"""`legan evaluate lineup`, and a study made of what it writes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from legan.cli import app
from legan.models.attributes import AttributeSchema
from legan.platform.data.dataset import Dataset
from legan.platform.errors import ConfigError, DataError
from legan.platform.evaluation.lineup import MOST, parse_lineup, write_lineup
from legan.platform.evaluation.pairs import read_pairs
from legan.serve.study.inputs import MOST_MODELS

CPU = torch.device("cpu")


def test_from_models_to_a_study(data: Dataset, tiny: Any, tmp_path: Path) -> None:
    sources = [f"{name}={tiny.save(name, tiny.model(seed=seed))}" for seed, name in enumerate(("LEGAN", "StarGAN-Lqual"))]
    out, study = tmp_path / "lineups", tmp_path / "study"
    command = ["evaluate", "lineup", "--models", *sources, "--data", str(data.path), "--pairs", "3", "--out", str(out)]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.output.startswith(f"3 line-ups of LEGAN, StarGAN-Lqual: {out}\n")
    done = CliRunner().invoke(app, ["study", "create", str(study), "--lineup", str(out), "--raters", "2"], catch_exceptions=False)
    assert "3 line-ups of LEGAN, StarGAN-Lqual, 2 raters each" in done.output

    pairs, targets = read_pairs(out / "pairs.csv", data, data.schema), pd.read_csv(out / "targets.csv")
    assert targets["image"].tolist() == ["0001.png", "0002.png", "0003.png"]
    assert targets["expression"].tolist() == pairs["expression"].tolist()
    assert targets["subject"].astype(str).tolist() == pairs["subject"].tolist()
    for name, row in zip(targets["image"], pairs["source_row"], strict=True):
        shown = {folder: np.asarray(Image.open(out / folder / name)) for folder in ("base", "LEGAN", "StarGAN-Lqual")}
        assert np.array_equal(shown["base"], data.images[row])
        assert not np.array_equal(shown["LEGAN"], shown["StarGAN-Lqual"])
    with pytest.raises(DataError, match="already exists"):
        write_lineup({"a": "x", "b": "y"}, data.path, out, CPU, pairs=1)
    with pytest.raises(DataError, match="has no name of its own"):
        write_lineup({"a": "x", "b": "y"}, data.path, Path(), CPU, pairs=1)


def test_names_are_folders_of_one_run_each() -> None:
    assert parse_lineup(["LEGAN=a", "my own=b/c"]) == {"LEGAN": "a", "my own": "b/c"}
    with pytest.raises(ConfigError) as caught:
        parse_lineup(["base=a,b"])
    assert {problem.place for problem in caught.value.problems} == {"--models"}
    assert [problem.message for problem in caught.value.problems] == [
        "a line-up needs 2 to 9, and there is 1",
        "base has 2 runs; a line-up shows one picture of each, so name one",
        "'base' cannot be a folder's name here; use letters, digits, -, _, . and spaces",
    ]
    assert MOST == MOST_MODELS


def test_models_that_cannot_be_compared_are_all_named(data: Dataset, tiny: Any, tmp_path: Path) -> None:
    other = replace(tiny.model(), schema=AttributeSchema(("neutral", "smile", "grin"), data.schema.lightings), image_size=64)
    sources = {"first": str(tiny.save("first", tiny.model())), "other": str(tiny.save("other", other))}
    with pytest.raises(ConfigError) as caught:
        write_lineup(sources, data.path, tmp_path / "out", CPU, pairs=2)
    text = str(caught.value)
    assert "other: the data set has other classes than the model" in text
    assert "other: the data set is for 32×32 images, the model for 64×64" in text
    assert "other: it knows other classes than first" in text
    with pytest.raises(ConfigError, match="there is no run 'nowhere'; runs under"):
        write_lineup(sources | {"third": "nowhere"}, data.path, tmp_path / "out", CPU, pairs=2)
    assert not (tmp_path / "out").exists()
