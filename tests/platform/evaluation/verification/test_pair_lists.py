from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from legan.platform.data.dataset import Dataset
from legan.platform.errors import ConfigError, DataError
from legan.platform.evaluation.verification.pair_lists import read_list, too_few


def problems(*of: Any) -> str:
    with pytest.raises((ConfigError, DataError)) as caught:
        read_list(*of)
    return str(caught.value)


def sides_of(line: str) -> list[tuple[str, str]]:
    words = line.split("\t")
    return [(words[0], words[1]), (words[-2] if len(words) == 4 else words[0], words[-1])]


def test_the_pairs_of_lfw_have_their_rows_and_folds(lfw: Dataset, view_2: Path) -> None:
    found = read_list("lfw", view_2, lfw)
    (block,) = found.blocks()
    assert found.pairs == (200, 200)
    assert found.folds == tuple(range(1, 11))
    first = view_2.read_text().splitlines()[1].split()
    path = f"lfw/{first[0]}/{first[0]}_{int(first[1]):04d}.jpg"
    assert lfw.faces["source_path"].iloc[found.rows[block.first[0]]] == path
    subjects = lfw.subject[found.rows]
    there = (block.first >= 0) & (block.second >= 0)
    assert ((subjects[block.first] == subjects[block.second]) == block.same)[there].all()
    lost = [line for line in view_2.read_text().splitlines()[1:] if ("Person_01", "4") in sides_of(line)]
    assert len(lost) == (~there).sum() == sum(found.lost) > 2
    assert np.array_equal(np.unique(found.rows), found.rows)
    assert found.unit_name == "person"
    assert len(set(found.unit)) == len(found.subjects)


def test_a_list_of_view_1_has_no_folds(lfw: Dataset, view_2: Path, tmp_path: Path) -> None:
    lines = view_2.read_text().splitlines()[1:]
    same, strangers = ([line for line in lines if len(line.split()) == count] for count in (3, 4))
    (tmp_path / "pairsDevTest.txt").write_text("\n".join(["200", *same, *strangers]))
    found = read_list("lfw", tmp_path / "pairsDevTest.txt", lfw)
    assert (found.pairs, found.folds) == ((200, 200), ())


def test_faces_without_files_are_none_of_lfws(lfw: Dataset, view_2: Path) -> None:
    drawn = replace(lfw, faces=lfw.faces.assign(source_path=""))
    assert "does not show" in problems("lfw", view_2, drawn)


def test_people_and_images_that_are_not_there_are_told_together(lfw: Dataset, view_2: Path) -> None:
    text = view_2.read_text().replace("Person_03\t", "Nobody\t")
    view_2.write_text(text.replace("Person_05\t1", "Person_05\t9"))
    said = problems("lfw", view_2, lfw)
    assert f"--list: {view_2} names 1 person whom {lfw.path} does not show (Nobody)" in said
    assert "Person_05_0009" in said


def test_templates_have_their_rows_media_and_people(ijbb: Dataset, template_pairs: Path) -> None:
    found = read_list("ijbb", template_pairs, ijbb)
    assert found.pairs == (871, 30)
    assert found.lost == (1, 0)
    assert len(found.unit) == 60
    assert found.unit_name == "template"
    (block,) = found.blocks()
    templates = ijbb.faces["template"].to_numpy()[found.rows]
    assert templates[found.side == block.first[0]].tolist() == [100] * (ijbb.faces["template"] == 100).sum()
    assert block.first[-1] == -1
    assert found.media is not None
    table = pd.DataFrame({"template": templates, "own": ijbb.faces["media"].to_numpy()[found.rows], "media": found.media})
    assert (table.groupby("media")[["template", "own"]].nunique() == 1).all(axis=None)
    assert table["media"].nunique() == len(table[["template", "own"]].drop_duplicates())


def test_the_labels_of_insightface_say_who_is_one_person(ijbb: Dataset, template_pairs: Path, tmp_path: Path) -> None:
    labelled = tmp_path / "ijbb_template_pair_label.txt"
    pairs = [line.split(",") for line in template_pairs.read_text().split()]
    labelled.write_text("".join(f"{a} {b} {int(int(a) // 10 == int(b) // 10)}\n" for a, b in pairs))
    one, other = (next(read_list("ijbb", file, ijbb).blocks()) for file in (template_pairs, labelled))
    assert np.array_equal(one.same, other.same)
    assert np.array_equal(one.first, other.first)


def test_templates_without_media_are_told(ijbb: Dataset, lfw: Dataset, template_pairs: Path) -> None:
    template_pairs.write_text(template_pairs.read_text() + "777,778\n")
    assert f"{template_pairs} pairs 2 templates without media in {ijbb.path} (777, 778)" in problems("ijbb", template_pairs, ijbb)
    assert "has no column template and no column media; make it with `legan data prepare ijbb`" in problems(
        "ijbb", template_pairs, lfw
    )


@pytest.fixture
def table(tmp_path: Path, lfw: Dataset) -> Callable[..., Path]:
    def write(name: str = "mine.csv", **changed: Any) -> Path:
        rng = np.random.default_rng(8)
        first, second = rng.integers(len(lfw), size=(2, 4000))
        same = lfw.subject[first] == lfw.subject[second]
        pairs = pd.DataFrame({"first": first, "second": lfw.faces["source_path"].to_numpy()[second], "same": same.astype(int)})
        pairs["fold"] = np.arange(4000) % 4 + 1
        for column, value in changed.items():
            if value is None:
                pairs = pairs.drop(columns=column)
            else:
                pairs[column] = pairs[column].astype(object)
                pairs.loc[[3, 5], column] = value
        path = tmp_path / name
        if path.suffix == ".parquet":
            pairs.to_parquet(path)
        else:
            pairs.to_csv(path, index=False)
        return path

    return write


def test_anybodys_table_names_rows_or_files(lfw: Dataset, table: Callable[..., Path]) -> None:
    csv, parquet = (read_list("table", table(name), lfw) for name in ("mine.csv", "mine.parquet"))
    assert csv.pairs == parquet.pairs
    assert csv.folds == (1, 2, 3, 4)
    one, other = (next(each.blocks()) for each in (csv, parquet))
    assert all(map(np.array_equal, one, other))
    written = pd.read_csv(csv.file)
    assert (csv.rows[one.first] == written["first"]).all()
    assert (lfw.faces["source_path"].to_numpy()[csv.rows[one.second]] == written["second"]).all()
    assert read_list("table", table(fold=None), lfw).folds == ()
    assert csv.notes == ()


def test_a_label_that_the_data_set_contradicts_is_told_and_believed(lfw: Dataset, table: Callable[..., Path]) -> None:
    honest = read_list("table", table(), lfw)
    found = read_list("table", table(same=1), lfw)
    assert found.notes == ("Of 2 pairs the list says otherwise than lfw whether they are of one person; the list is believed.",)
    assert found.pairs[1] == honest.pairs[1] + 2


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"first": "nowhere.jpg"}, "names 1 face that {data} does not hold (nowhere.jpg); first and second are the source_path"),
        ({"first": 100_000}, "names 1 face that {data} does not hold (100000)"),
        ({"same": "maybe"}, "row 4 of the table of pairs {list} says neither 1 nor 0 in the column same"),
        ({"fold": "x"}, "row 4 of the table of pairs {list} has the fold 'x'; folds count from 1"),
        ({"second": ""}, "row 4 of the table of pairs {list} names no face in the column second; fill it in"),
        ({"same": None}, "the table of pairs {list}: it has no column same; its columns are: first, second, fold"),
        ({"fold": 9}, "fold 9 lacks pairs of one person or of strangers (1 such)"),
    ],
)
def test_what_is_wrong_with_a_table_is_one_sentence(
    lfw: Dataset, table: Callable[..., Path], changed: dict[str, Any], message: str
) -> None:
    file = table(**changed)
    said = problems("table", file, lfw)
    assert message.format(data=lfw.path, list=file) in said


def test_a_file_with_several_faces_needs_row_numbers(ijbb: Dataset, tmp_path: Path, write_faces: Any) -> None:
    data = write_faces(["a", "a", "b"], "several", source_path=["x.jpg", "x.jpg", "y.jpg"])
    (tmp_path / "pairs.csv").write_text("first,second,same\nx.jpg,y.jpg,0\n")
    assert "names 1 file with several faces in" in problems("table", tmp_path / "pairs.csv", data)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["0,4,0"] * 200, "has no pairs of one person that can be compared"),
        (["0,1,1"] * 200, "has no pairs of strangers that can be compared"),
        (["0,1,1", *["0,4,0"] * 99], "1.0% of 99 pairs of strangers is less than one; give 100 or more"),
    ],
)
def test_lists_that_tell_nothing_are_refused(lfw: Dataset, tmp_path: Path, lines: list[str], message: str) -> None:
    (tmp_path / "few.csv").write_text("\n".join(["first,second,same", *lines]))
    assert message in problems("table", tmp_path / "few.csv", lfw)


def test_a_rate_that_strangers_cannot_carry_is_left_out() -> None:
    assert too_few(1000) == {}
    assert too_few(999) == {0.001: "0.1% of 999 pairs of strangers is less than one"}
    assert list(too_few(99)) == [0.01, 0.001]


def test_an_unreadable_or_missing_table_is_one_sentence(lfw: Dataset, tmp_path: Path) -> None:
    for name, content, message in (
        ("a.txt", b"x", "it is neither .csv, .tsv nor .parquet"),
        ("a.parquet", b"x", "cannot be read"),
        ("a.csv", b"", "cannot be read"),
        ("b.csv", b"first,second,same\n", "has no row"),
        ("c.csv", b"first,second,same\n\xff,1,1\n", "cannot be read"),
    ):
        (tmp_path / name).write_bytes(content)
        assert message in problems("table", tmp_path / name, lfw)
    assert "does not exist" in problems("table", tmp_path / "none.csv", lfw)
