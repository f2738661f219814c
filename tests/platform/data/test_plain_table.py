from pathlib import Path

import pandas as pd
import pytest

from legan.platform.data.plain_table import is_table, lacking, read_plain_table
from legan.platform.errors import DataError

ROWS = [{"path": "a, b.png", "subject": "007"}, {"path": "c.png", "subject": ""}]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", 'path,subject\n"a, b.png",007\nc.png,\n'),
        ("t.csv", ' path , subject \n"a, b.png" , 007\nc.png,\n'),
        ("t.csv", "path;subject\na, b.png;007\nc.png;\n"),
        ("t.csv", "\ufeff\n path ;  subject\na, b.png; 007\nc.png;\n"),
        ("t.csv", "path\tsubject\na, b.png\t007\nc.png\t\n"),
        ("t.TSV", "path\tsubject\na, b.png\t007\nc.png\t\n"),
        ("t.csv", '"path";"subject, or whom I took for it"\n"a, b.png";007\nc.png;\n'),
    ],
)
def test_any_separator_and_spaces_around_names(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    table = read_plain_table(tmp_path / name)
    assert len(table.columns) == 2
    assert [str(value).strip() for value in table["path"]] == ["a, b.png", "c.png"]
    assert [str(value).strip() for value in table[table.columns[1]]] == ["007", ""]
    assert is_table(tmp_path / name)


def test_what_cannot_be_told_apart_or_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path|subject\na.png|7\n")
    (problem,) = lacking(read_plain_table(tmp_path / "t.csv"), ("path", "subject"))
    assert str(problem) == "it has no column path and no column subject; its columns are: path|subject"
    (tmp_path / "t.csv").write_text("subject,path ,subject \na,b,c\n")
    with pytest.raises(DataError, match="has several columns called 'subject'; rename all but one"):
        read_plain_table(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("path;subject\na;7;\n")
    with pytest.raises(DataError, match="more cells than its header; remove separators at the ends of rows"):
        read_plain_table(tmp_path / "t.csv")
    (tmp_path / "t.xlsx").touch()
    with pytest.raises(DataError, match=r"t\.xlsx cannot be read: it is neither \.csv, \.tsv nor \.parquet"):
        read_plain_table(tmp_path / "t.xlsx")


def parts(folder: Path) -> Path:
    """As Spark writes: parts in folders of a column's values, marks and hidden checksums; one part has an empty column."""
    for split, subject in (("test", "s1"), ("train", None)):
        part = folder / f"split={split}"
        part.mkdir(parents=True)
        frame = pd.DataFrame({"path": [f"{split}.png"], " subject": [subject]})
        frame.to_parquet(part / "part-00000-c000.snappy.parquet")
        (part / ".part-00000-c000.snappy.parquet.crc").touch()
    (folder / "_SUCCESS").touch()
    return folder


@pytest.mark.parametrize("name", ["t.parquet", "t"])
def test_a_folder_of_parquet_files_is_one_table(tmp_path: Path, name: str) -> None:
    folder = parts(tmp_path / name)
    assert is_table(folder)
    table = read_plain_table(folder)
    assert table[["path", "split"]].to_numpy().tolist() == [["test.png", "test"], ["train.png", "train"]]
    assert table["subject"].isna().tolist() == [False, True]
    (folder / "README.txt").touch()
    assert not is_table(folder)
    with pytest.raises(DataError, match="it is a folder of other things than Parquet files"):
        read_plain_table(folder)


def test_parts_that_do_not_fit_together_are_told(tmp_path: Path) -> None:
    for number, path in enumerate(["a.png", 7]):
        pd.DataFrame({"path": [path]}).to_parquet(tmp_path / f"{number}.parquet")
    with pytest.raises(DataError, match="cannot be read: Unable to merge: Field path has incompatible types"):
        read_plain_table(tmp_path)
