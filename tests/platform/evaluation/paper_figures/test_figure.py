"""`legan evaluate figure N`: the pictures' faces are the models' own, and what cannot be drawn is told at once."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tests.platform.evaluation.conftest import Tiny
from tests.tiny import keep_faces
from typer.testing import CliRunner

from legan.cli import app
from legan.models.attributes import AttributeSchema
from legan.models.recolor import ColorizationGenerator
from legan.platform.data.dataset import Dataset
from legan.platform.data.variants.recolored import recolored
from legan.platform.errors import ConfigError, Problems
from legan.platform.evaluation.figures import Picture
from legan.platform.evaluation.lineup import translated
from legan.platform.evaluation.pairs import choose_pairs, write_pairs
from legan.platform.evaluation.paper_figures.asked import FigureRequest, named_models
from legan.platform.evaluation.paper_figures.figure import FIGURES, draw_figure
from legan.platform.model import numbers_of, save_network

CPU = torch.device("cpu")
TILE = 160


def evaluate_figure(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["evaluate", "figure", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def shown(file: Path, face: Picture) -> bool:
    """Whether a face is somewhere in a figure, enlarged five times."""
    grid = np.asarray(Image.open(file))
    starts = np.argwhere((grid == face[0, 0]).all(axis=2))
    return any(
        np.array_equal(grid[y : y + TILE : 5, x : x + TILE : 5], face)
        for y, x in starts
        if y + TILE <= grid.shape[0] and x + TILE <= grid.shape[1] and np.array_equal(grid[y : y + TILE : 5, x], face[:, 0])
    )


def test_figure_5_shows_every_model_on_the_same_faces(home: Path, data: Dataset, tiny: Tiny, tmp_path: Path) -> None:
    models = {"LEGAN": tiny.model(seed=0), "StarGAN": tiny.model(seed=1)}
    sources = [f"{name}={tiny.save(name, model)}" for name, model in models.items()]
    said = evaluate_figure("5", *sources, "--data", str(data.path), "--faces", "3")
    out = home / "evaluations" / "figure5-on-tiny"
    assert said == f"Written: {out / 'figure5.png'}, {out / 'figure5.json'}\n"

    about = json.loads((out / "figure5.json").read_text())
    assert [model["name"] for model in about["models"]] == ["LEGAN", "StarGAN"]
    assert (about["figure"], about["seed"], about["data"]["hash"]) == (5, 0, data.content_hash)
    assert len(about["faces"]) == 3
    for face in about["faces"]:
        target = face["asked"]["target_row"]
        assert data.faces["split"][face["row"]] == "test"
        assert data.faces["expression"][target] == face["asked"]["expression"]
        assert data.faces["lighting"][target] == face["asked"]["lighting"]
        asked = pd.DataFrame([{"source_row": face["row"], **face["asked"]}])
        for picture in (
            data.images[face["row"]],
            data.images[target],
            *(translated(m, data, asked, CPU)[0] for m in models.values()),
        ):
            assert shown(out / "figure5.png", np.asarray(picture))


def test_figure_5_takes_the_pairs_of_an_evaluation(data: Dataset, tiny: Tiny, tmp_path: Path) -> None:
    pairs = choose_pairs(data, 12, 3).iloc[[4, 1]]
    write_pairs(tmp_path / "pairs.csv", pairs, data)
    request = FigureRequest(5, [str(tiny.save("one", tiny.model()))], data.path, pairs_file=tmp_path / "pairs.csv")
    about = json.loads(draw_figure(request, tmp_path / "out", CPU)[1].read_text())
    assert [face["row"] for face in about["faces"]] == pairs["source_row"].tolist()
    assert [face["asked"]["target_row"] for face in about["faces"]] == pairs["target_row"].tolist()


def test_faces_are_of_as_many_people_as_there_are(data: Dataset, tiny: Tiny, tmp_path: Path) -> None:
    many = replace_split(data, tmp_path / "many")
    model = str(tiny.save("one", tiny.model()))
    for number in (5, 6):
        about = json.loads(draw_figure(FigureRequest(number, [model], many, faces=6), tmp_path / f"{number}", CPU)[1].read_text())
        assert sorted(face["subject"] for face in about["faces"]) == list("abcdef")


def replace_split(data: Dataset, out: Path) -> Path:
    """The same faces, all of them held out."""
    return keep_faces(replace(data, faces=data.faces.assign(split="test")), out, np.ones(len(data), bool))


@pytest.mark.parametrize("number", [6, 16, 17])
def test_photographs_in_the_wild_need_no_classes(number: int, data: Dataset, tiny: Tiny, tmp_path: Path) -> None:
    faces = data.faces.assign(expression="any", lighting="any")
    wild = keep_faces(
        replace(data, faces=faces, schema=AttributeSchema(("any",), ("any",))), tmp_path / "wild", data.expression >= 0
    )
    model = tiny.model()
    source = str(tiny.save("one", model))
    drawn = [
        draw_figure(FigureRequest(number, [source], wild, faces=2, seed=seed), tmp_path / f"out{turn}", CPU)
        for turn, seed in enumerate((0, 0, 1))
    ]
    first, again, other = (json.loads(record.read_text()) for _, record in drawn)
    assert first == again
    assert first["faces"] != other["faces"]
    assert first["models"][0]["name"] == "one"
    for face in first["faces"]:
        assert len({tuple(asked.values()) for asked in face["asked"]}) == 5
        asked = pd.DataFrame([{"source_row": face["row"], **each} for each in face["asked"]])
        for picture in translated(model, data, asked, CPU):
            assert shown(drawn[0][0], picture)


def test_figure_18_shows_recolourings(data: Dataset, tmp_path: Path) -> None:
    networks = {}
    for seed, name in enumerate(("umd", "ffhq")):
        torch.manual_seed(seed)
        networks[name] = ColorizationGenerator(image_size=32, width=4).eval()
        save_network(tmp_path / name, "colorization", numbers_of(networks[name]), networks[name])
    recolourers = [argument for name in networks for argument in ("--recolor", str(tmp_path / name))]
    evaluate_figure("18", *recolourers, "--data", str(data.path), "--faces", "2", "--out", str(tmp_path / "out"))
    about = json.loads((tmp_path / "out" / "figure18.json").read_text())
    assert [each["name"] for each in about["recolourers"]] == ["umd", "ffhq"]
    rows = [face["row"] for face in about["faces"]]
    for network in networks.values():
        for picture in recolored(network, data.images[rows], CPU):
            assert shown(tmp_path / "out" / "figure18.png", picture)


def problems_of(request: FigureRequest, out: Path | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        draw_figure(request, out, CPU)
    return [str(problem) for problem in caught.value.problems]


def test_what_a_figure_needs_and_does_not_take_is_named(tmp_path: Path) -> None:
    assert problems_of(FigureRequest(4)) == ["N: figure 4 is none of those that are drawn here (5, 6, 10, 15, 16, 17, 18)"]
    assert problems_of(FigureRequest(8)) == [
        "N: figure 8 is none of those that are drawn here (5, 6, 10, 15, 16, 17, 18); `legan ratings report` draws it"
    ]
    assert [problem.partition(":")[0] for problem in problems_of(FigureRequest(15, known_judges=True))] == [
        "MODEL",
        "--data",
        "--classifier",
    ]
    (tmp_path / "file").touch()
    assert problems_of(FigureRequest(5, recolor=[Path("a")]), tmp_path / "file" / "out") == [
        "MODEL: figure 5 needs it (models on the same faces and targets)",
        "--data: figure 5 needs it (models on the same faces and targets)",
        "--recolor: figure 5 does not take it (models on the same faces and targets); leave it out",
        f"--out: {tmp_path / 'file' / 'out'} cannot be written: {tmp_path / 'file'} is a file; name another folder",
    ]
    assert set(FIGURES) == {5, 6, 10, 15, 16, 17, 18}


def test_all_that_is_wrong_with_models_and_data_is_told_at_once(data: Dataset, tiny: Tiny, tmp_path: Path) -> None:
    large = tiny.save("large", replace(tiny.model(), image_size=64))
    small = tiny.save("small", tiny.model())
    nobody = keep_faces(data, tmp_path / "nobody", data.faces["split"] == "train")
    lack = f"the data set {nobody} has no test split to evaluate on; prepare it with held-out subjects"
    assert problems_of(FigureRequest(5, [f"a={large}", f"b={small}"], nobody)) == [
        "MODEL a: the data set is for 32×32 images, the model for 64×64",
        f"--data: {lack}",
    ]
    assert problems_of(FigureRequest(6, [str(large)], nobody)) == [
        "--data: its images are 32×32, the model's 64×64; prepare the photographs with --size 64",
        f"--data: {lack}",
    ]
    assert problems_of(FigureRequest(17, [f"a={small}", f"b={small}"], data.path)) == [
        "MODEL: this figure shows what one model makes of each face, and there are 2; name one"
    ]
    torch.manual_seed(0)
    network = ColorizationGenerator(image_size=64, width=4)
    save_network(tmp_path / "colours", "colorization", numbers_of(network), network)
    said = problems_of(FigureRequest(18, recolor=[tmp_path / "colours", tmp_path / "small"], data=nobody))
    assert said[0] == f"--data: {lack}"
    assert said[1].startswith(f"--recolor {tmp_path / 'colours'}: {tmp_path / 'colours'} recolours images of 64×64")
    assert "is a LEGAN model; give a run of `legan train recolor`" in said[2]


def test_models_are_named_apart(tmp_path: Path) -> None:
    problems = Problems()
    (tmp_path / "a=b").mkdir()
    given = ["LEGAN=runs/x", str(tmp_path / "a=b"), "box:rendered"]
    assert named_models(given, problems) == {"LEGAN": "runs/x", "a-b": str(tmp_path / "a=b"), "box:rendered": "box:rendered"}
    assert not problems
    named_models(["x", "x", "=y", "z="], problems)
    assert [problem.message for problem in problems] == [
        "x is there twice; tell them apart as NAME=RUN",
        "'=y' is neither RUN nor NAME=RUN",
        "'z=' is neither RUN nor NAME=RUN",
    ]
