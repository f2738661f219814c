from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from legan.platform.data.dataset import Alignment
from legan.platform.data.pipeline import Options
from legan.platform.data.prepare import prepare
from legan.platform.data.sources.class_folders import class_folders
from legan.platform.data.sources.registry import load_source
from legan.platform.errors import DataError


def draw(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((16, 16, 3), number, np.uint8)).save(root / name)
    return root


def test_folders_are_expressions(tmp_path: Path) -> None:
    found = class_folders(draw(tmp_path, *(f"{name}/{i}.png" for name in ("smile", "neutral") for i in range(10))))
    assert found.schema.expressions == ("neutral", "smile")
    assert found.schema.lightings == ("any",)
    assert found.records["subject"].is_unique
    assert found.info["notes"] == ["No folder says who is who: each image counts as a person of its own."]
    assert "split" not in found.records
    dataset = prepare(found, tmp_path.parent / f"{tmp_path.name}-out", Options(Alignment(16), aligned=True), workers=0)
    assert set(dataset.splits) == {"train", "val", "test"}
    assert dataset.faces.groupby("expression").size().to_dict() == {"neutral": 10, "smile": 10}


def test_deeper_folders_are_lightings_and_people_and_the_first_may_be_splits(tmp_path: Path) -> None:
    names = [
        f"{split}/{expression}/{lighting}/{person}/1.png"
        for split, people in (("train", "ab"), ("valid", "c"), ("test", "d"))
        for expression in ("smile", "neutral")
        for lighting in ("left", "right")
        for person in people
    ]
    found = class_folders(draw(tmp_path, *names, "train/smile/stray.png"))
    assert (found.schema.expressions, found.schema.lightings) == (("neutral", "smile"), ("left", "right"))
    assert found.schema.flip is not None
    by_person = found.records.groupby("subject")["split"].unique()
    assert {person: list(splits) for person, splits in by_person.items()} == {
        "a": ["train"], "b": ["train"], "c": ["val"], "d": ["test"],
    }  # fmt: skip
    ((path, why),) = found.unusable
    assert (path, why.kind) == ("train/smile/stray.png", "unlabelled")
    assert why.reason == "its folders do not say expression and lighting and subject, as those of most images do"


def test_what_is_no_such_tree_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no image"):
        load_source("class-folders", tmp_path)
    with pytest.raises(DataError, match=r"lie 0 folders deep, not as ROOT/\[SPLIT/\]EXPRESSION/"):
        class_folders(draw(tmp_path / "flat", "1.png", "2.png"))
    with pytest.raises(DataError, match="lie 1 folder deep"):
        class_folders(draw(tmp_path / "splits", "train/1.png", "test/2.png"))
    with pytest.raises(DataError, match="lie 4 folders deep"):
        class_folders(draw(tmp_path / "deep", "a/b/c/d/1.png"))
