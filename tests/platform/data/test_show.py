from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from legan.models.attributes import AttributeSchema
from legan.platform.data.dataset import Dataset
from legan.platform.data.show import contact_sheet, describe, several_lines, several_people
from legan.platform.data.write import write_dataset


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    schema = AttributeSchema(("neutral", "smile"), ("front", "left"), {"front": "front", "left": "left"})
    rows = [
        ("ann", "neutral", "front", "train"),
        ("ann", "smile", "left", "train"),
        ("ann", "smile", "left", "train"),
        ("bob", "neutral", "front", "test"),
    ]
    faces = pd.DataFrame(rows, columns=["subject", "expression", "lighting", "split"]).assign(
        landmarks=[[1.0, 2.0]] * 4,
        source_path=["a1", "a2", "a3", "b1"],
        duplicate_of=pd.array([None, None, 1, 0], "Int64"),
    )
    images = np.stack([np.full((8, 8, 3), value, np.uint8) for value in (40, 80, 80, 40)])
    skipped = pd.DataFrame({"path": ["x", "y", "z"], "reason": ["no face", "no face", "is empty"]})
    return write_dataset(
        tmp_path / "set", name="tiny", schema=schema, faces=faces, images=images, hulls=np.ones((4, 8, 8), bool),
        skipped=skipped, source="test", info={"missing": ["b2"]},
    )  # fmt: skip


def test_description(dataset: Dataset) -> None:
    text = describe(dataset)
    assert "tiny: 4 faces of 8×8 from source test" in text
    assert f"content hash {dataset.content_hash}" in text
    assert "2 of 4 combinations" in text
    lines = {" ".join(line.split()) for line in text.splitlines()}
    assert {
        "faces train test all",
        "expression neutral 1 1 2",
        "expression smile 2 0 2",
        "lighting left 2 0 2",
        "together 3 1 4",
    } <= lines
    assert {"train: 1 subject (ann)", "test: 1 subject (bob)", "2 × no face (x, …)", "1 × is empty (z)"} <= lines
    assert "2 exact duplicates, 1 with labels that differ:" in lines
    assert "b1 = a1, but their labels differ: subject bob against ann, split test against train" in lines
    assert "a3 = a2" in lines
    assert "not there at all: b2" in lines
    assert "several people" not in text


def test_contact_sheet_shows_each_subject_under_each_condition(dataset: Dataset) -> None:
    sheet = np.asarray(contact_sheet(dataset, tile=20))
    height, width = sheet.shape[:2]
    assert height > 2 * 20
    assert width > 2 * 20
    # The last tiles: ann neutral 40, ann smile 80; bob neutral 40, bob smile missing (grey).
    right, bottom = width - 4 - 10, height - 4 - 10
    values = [[int(sheet[y, x, 0]) for x in (right - 24, right)] for y in (bottom - 24, bottom)]
    assert values == [[40, 80], [40, 225]]


def test_a_kind_with_one_class_is_neither_counted_nor_named(dataset: Dataset) -> None:
    front = replace(
        dataset, schema=AttributeSchema(dataset.schema.expressions, ("any",)), faces=dataset.faces.assign(lighting="any")
    )
    assert "lighting any" not in describe(front)
    assert "expression smile" in describe(front)
    both = contact_sheet(dataset, tile=20)
    assert 0 < both.height - contact_sheet(front, tile=20).height < 20  # a line of names less


def test_contact_sheet_limits(dataset: Dataset) -> None:
    full, one = contact_sheet(dataset, tile=20), contact_sheet(dataset, tile=20, subjects=1, conditions=1)
    assert (full.width - one.width, full.height - one.height) == (24, 24)


def test_photographs_of_several_people_are_counted_and_the_first_named() -> None:
    paths = [*(f"{number}.jpg" for number in range(25)), "0.jpg", "alone.jpg"]
    found = several_people(pd.DataFrame({"source_path": paths, "faces_found": [3] * 26 + [1]}))
    assert found.photographs == 25
    lines = several_lines(found)
    assert lines[0] == "25 photographs show several people; the largest face was taken (faces.parquet, column faces_found):"
    assert lines[1] == "  0.jpg: 3 faces"
    assert lines[-1] == "  … and 5 more"
    assert len(lines) == 22
    assert several_lines(several_people(pd.DataFrame({"source_path": ["a"]}))) == []
