"""Figure 15: what a judge does not see in outputs, by the turn of heads and by occlusion."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tests.platform.evaluation.conftest import Tiny
from tests.platform.evaluation.paper_figures.test_figure import evaluate_figure, problems_of, shown
from tests.tiny import keep_faces

from legan.models.attributes import AttributeSchema
from legan.models.expression import AttributeClassifier
from legan.platform.data.dataset import Dataset, open_dataset
from legan.platform.errors import DataError
from legan.platform.evaluation.lineup import translated
from legan.platform.evaluation.pairs import choose_pairs
from legan.platform.evaluation.paper_figures.asked import FigureRequest
from legan.platform.evaluation.paper_figures.failures import chosen_failures, failure_shares, tellable_pairs
from legan.platform.evaluation.paper_figures.figure import draw_figure
from legan.platform.model import save_network
from legan.platform.pixels import network_input

CPU = torch.device("cpu")


def judged(turn: str, occlusion: str, missed: str, seen: list[float]) -> pd.DataFrame:
    """A row per letter of ``missed``: e the expression, l the lighting, b both, - none."""
    return pd.DataFrame(
        {
            "turn": turn,
            "occlusion": occlusion,
            "seen": seen,
            "missed": [letter != "-" for letter in missed],
            "missed_expression": [letter in "eb" for letter in missed],
            "missed_lighting": [letter in "lb" for letter in missed],
        }
    )


ALL = pd.concat(
    [
        judged("30–45°", "no", "e-", [0.3, 0.9]),
        judged("0–15°", "no", "eleb---", [0.4, 0.2, 0.1, 0.3, 0.8, 0.8, 0.05]),
        judged("0–15°", "yes", "l", [0.01]),
    ],
    ignore_index=True,
)


def test_failures_are_of_all_groups_alike_and_the_worst_of_each() -> None:
    chosen = chosen_failures(ALL, 4)
    assert chosen.index.tolist() == [4, 3, 9, 0]
    assert chosen_failures(ALL, 2).index.tolist() == [4, 9]
    assert len(chosen_failures(ALL, 50)) == 6


def test_shares_are_counted_by_group() -> None:
    turn = failure_shares(ALL, "turn").set_index("turn")
    assert turn.loc["0–15°"].tolist() == [8, 5, 3, 3]
    assert turn.loc["30–45°"].tolist() == [2, 1, 1, 0]
    assert failure_shares(ALL, "occlusion").set_index("occlusion")["missed"].to_dict() == {"no": 5, "yes": 1}


def seen_in(judge: AttributeClassifier, data: Dataset, picture: np.ndarray) -> tuple[str, str]:
    with torch.inference_mode():
        expression, lighting = judge(network_input(picture[None].copy(), CPU))
    return data.schema.expressions[int(expression.argmax())], data.schema.lightings[int(lighting.argmax())]


@pytest.fixture
def wild(data: Dataset, tmp_path: Path) -> Dataset:
    """The same faces without classes, all of them held out, more and more turned, every fourth occluded."""
    faces = data.faces.assign(expression="any", lighting="any", split="test", yaw=np.linspace(0, 60, len(data)), occluded="no")
    faces.loc[::4, "occluded"] = "yes"
    nameless = replace(data, faces=faces, schema=AttributeSchema(("any",), ("any",)))
    return open_dataset(keep_faces(nameless, tmp_path / "wild", np.ones(len(data), bool)))


def test_the_figure_shows_what_the_judge_does_not_see(
    ready: Path, data: Dataset, wild: Dataset, tiny: Tiny, tmp_path: Path
) -> None:
    model, classifier = tiny.model(), tiny.save_judges()[0]
    source = str(tiny.save("one", model))
    arguments = [
        source,
        "--classifier",
        str(classifier),
        "--data",
        str(wild.path),
        "--out",
        str(tmp_path / "out"),
        "--faces",
        "6",
    ]
    said = evaluate_figure("15", *arguments).splitlines()

    about = json.loads((tmp_path / "out" / "figure15.json").read_text())
    assert about["outputs"] == len(data)
    assert about["missed"]["missed"] == sum(group["missed"] for group in about["by_turn"])
    assert about["missed"]["missed"] == sum(group["missed"] for group in about["by_occlusion"])
    assert sum(group["outputs"] for group in about["by_occlusion"]) == len(data)
    assert said[0].startswith(f"{about['missed']['missed']} of {len(data)} outputs miss their target: ")
    assert said[1].startswith("head turned 0–15°: ")
    assert said[2].startswith("occluded no: ")

    judge = tiny.classifier().module
    assert len(about["faces"]) == 6
    for face in about["faces"]:
        asked = pd.DataFrame([{"source_row": face["row"], **face["asked"]}])
        picture = translated(model, wild, asked, CPU)[0]
        assert (face["seen"]["expression"], face["seen"]["lighting"]) == seen_in(judge, data, picture)
        assert (face["seen"]["expression"], face["seen"]["lighting"]) != (face["asked"]["expression"], face["asked"]["lighting"])
        assert face["yaw"] == pytest.approx(60 * face["row"] / (len(data) - 1), abs=1e-4)
        assert face["occluded"] == ("yes" if face["row"] % 4 == 0 else "no")
        assert shown(tmp_path / "out" / "figure15.png", picture)


def test_what_the_judge_misreads_in_true_targets_is_left_out(ready: Path, data: Dataset, tiny: Tiny, tmp_path: Path) -> None:
    judge = tiny.classifier()
    torch.nn.init.zeros_(judge.module.expression.weight)
    torch.nn.init.zeros_(judge.module.lighting.weight)
    judge.module.expression.bias.data = torch.tensor([0.0, 1.0, 0.0])  # sees a smile lit from the front in everything
    judge.module.lighting.bias.data = torch.tensor([0.0, 0.0, 1.0, 0.0])
    save_network(tmp_path / "judge", judge.kind, judge.numbers, judge.module, **judge.info)
    request = FigureRequest(15, [str(tiny.save("one", tiny.model()))], data.path, classifier=tmp_path / "judge")
    with pytest.raises(DataError, match="by this judge, none of 11 outputs misses its target"):
        draw_figure(request, tmp_path / "out", CPU)
    pairs = choose_pairs(data, 400, 0)
    right = (pairs[["expression", "lighting"]] == ("smile", "front")).all(axis=1)
    kept, misread = tellable_pairs(pairs, data, data.schema, judge.module, CPU)
    assert (len(kept), misread) == (right.sum(), (~right).sum()) == (11, len(pairs) - 11)
    assert kept.equals(pairs[right].reset_index(drop=True))

    judge.module.lighting.bias.data = torch.zeros(4)
    judge.info["schema"] = judge.info["schema"] | {"expressions": ["neutral", "grin", "scream"]}
    save_network(tmp_path / "other", judge.kind, judge.numbers, judge.module, **judge.info)
    told = problems_of(replace(request, classifier=tmp_path / "other"))
    assert len(told) == 1
    assert told[0].startswith("--classifier: it knows other classes than the model; its expressions: neutral, grin, scream")
    assert problems_of(replace(request, classifier=tiny.folder / "one"))[0].startswith("--classifier: ")


def test_a_judge_that_knows_the_people_is_refused(ready: Path, wild: Dataset, tiny: Tiny, tmp_path: Path) -> None:
    judge = tiny.classifier(data_hash="the same")
    save_network(tmp_path / "judge", judge.kind, judge.numbers, judge.module, **judge.info)
    source = str(tiny.save("one", tiny.model(data_hash="the same")))
    request = FigureRequest(15, [source], wild.path, classifier=tmp_path / "judge")
    assert "it learned from the very data that the model learned from" in problems_of(request)[0]
    draw_figure(replace(request, known_judges=True), tmp_path / "out", CPU)
    about = json.loads((tmp_path / "out" / "figure15.json").read_text())
    assert about["classifier"]["is_a_stranger"].startswith("no, it learned from the very data")
