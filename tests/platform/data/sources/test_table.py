from pathlib import Path

import pandas as pd
import pytest

from legan.platform.data.skipped import Skipped
from legan.platform.data.sources.about import SOURCES
from legan.platform.data.sources.registry import load_source
from legan.platform.data.sources.table import table
from legan.platform.errors import DataError


def csv(folder: Path, text: str) -> Path:
    file = folder / "faces.csv"
    file.write_text(text, encoding="utf-8")
    return file


def test_csv_with_all_columns(tmp_path: Path) -> None:
    text = "path,subject,expression,lighting,split,note\na.png,001,smile,left,train,x\nb.png,2,neutral, right,test,y\n"
    found = table(csv(tmp_path, text))
    assert found.root == tmp_path
    assert found.schema.expressions == ("neutral", "smile")
    assert found.schema.lightings == ("left", "right")
    assert found.schema.flip == {"left": "right", "right": "left"}
    assert found.records.to_dict("records") == [
        {"path": "a.png", "subject": "001", "expression": "smile", "lighting": "left", "split": "train"},
        {"path": "b.png", "subject": "2", "expression": "neutral", "lighting": "right", "split": "test"},
    ]


def test_columns_that_are_left_out_are_named(tmp_path: Path) -> None:
    text = "path,subject,source,age,hat\na.png,1,x,3,\n"
    found = table(csv(tmp_path, text))
    assert found.info == {"notes": ["columns of the table that are left out: age, hat"]}
    assert list(found.records.columns) == ["path", "subject", "source", "expression", "lighting"]
    assert table(csv(tmp_path, "path,subject\na.png,1\n")).info == {}


@pytest.mark.parametrize("present", [(), ("expression",), ("lighting",)])
def test_missing_label_columns_become_one_class(tmp_path: Path, present: tuple[str, ...]) -> None:
    text = f"path,subject,{','.join(present)}\n" + "".join(f"{i}.png,s{i},{','.join('x' for _ in present)}\n" for i in range(3))
    found = table(csv(tmp_path, text))
    assert found.schema.expressions == (("x",) if "expression" in present else ("any",))
    assert found.schema.lightings == (("x",) if "lighting" in present else ("any",))
    assert len(found.schema.flip) == 1, "one lighting stays itself in the mirror"
    assert "split" not in found.records.columns


def test_parquet_with_numbers_and_gaps(tmp_path: Path) -> None:
    frame = pd.DataFrame({"path": ["a", "b", "c", None], "subject": [7.0, None, 12.0, 3.0], "lighting": [1, 2, 3, 4]})
    frame.to_parquet(tmp_path / "faces.parquet")
    found = table(tmp_path / "faces.parquet", tmp_path / "images")
    assert found.root == tmp_path / "images"
    assert found.records[["path", "subject", "lighting"]].to_numpy().tolist() == [["a", "7", "1"], ["c", "12", "3"]]
    assert found.unusable == [
        ("b", Skipped("unlabelled", "row 2 of the table has no subject")),
        ("row 4", Skipped("unlabelled", "row 4 of the table has no path")),
    ]


def test_rows_that_lack_values_or_repeat_a_file_are_skipped(tmp_path: Path) -> None:
    found = table(csv(tmp_path, "path,subject,expression\na,s,x\nb,s,\nc,,\na,s,x\nd,s,x\n"))
    assert found.records["path"].tolist() == ["a", "d"]
    assert found.unusable == [
        ("b", Skipped("unlabelled", "row 2 of the table has no expression")),
        ("c", Skipped("unlabelled", "row 3 of the table has no subject and no expression")),
        ("a", Skipped("repeated", "row 4 names it once more")),
    ]
    assert table(csv(tmp_path, "\ufeffpath,subject\na,s\n")).records["path"].tolist() == ["a"], "a byte order mark is no name"


def test_all_problems_of_a_table_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        table(csv(tmp_path, "file,subject,split\na,s,train\nb,s,test\nc,t,dev\n"))
    assert "no column path" in str(error.value)
    assert "no rows" not in str(error.value)
    with pytest.raises(DataError, match=r"used: it has no column path and no column subject; its columns are: file, person\.$"):
        table(csv(tmp_path, "file,person\na,s\n"))
    assert "column split: it holds dev" in str(error.value)
    assert "subject s: each has to be in one split only" in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("path,subject\n", "no rows"), ("path,subject\n,a\nb,\n", "no row has a value in every column"), ("", "cannot be read")],
)
def test_tables_without_content(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        table(csv(tmp_path, text))


def test_unreadable_tables(tmp_path: Path) -> None:
    for name, content in [("a.parquet", b"junk"), ("a.csv", b"\xff\xfe\x00"), ("a.xlsx", b"")]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=rf"{name} cannot be read"):
            table(tmp_path / name)


def test_the_registry_explains_what_it_needs(tmp_path: Path) -> None:
    csv(tmp_path, "path,subject\na,s\n")
    for arguments, message in [
        (("nobody", tmp_path, None), f"no source 'nobody'; known are: {', '.join(SOURCES)}"),
        (("yale", None, None), "--root FOLDER"),
        (("yale", tmp_path / "faces.csv", None), r"folder .*faces\.csv \(--root\) is a file"),
        (("table", None, tmp_path), "is a folder of other things than Parquet files"),
        (("yale", tmp_path / "gone", None), r"folder .*gone \(--root\) does not exist"),
        (("yale", tmp_path, tmp_path / "faces.csv"), "--table belongs to the source table"),
        (("table", tmp_path, None), "--table FACES.csv"),
        (("table", None, tmp_path / "gone.csv"), "gone.csv does not exist"),
    ]:
        with pytest.raises(DataError, match=message):
            load_source(*arguments)
    assert load_source("table", None, tmp_path / "faces.csv").root == tmp_path


def test_the_method_that_made_an_image_is_kept(tmp_path: Path) -> None:
    found = table(csv(tmp_path, "path,subject,source\na.png,s1,gan\n,s2,web\nc.png,s3,\n"))
    assert found.records["source"].tolist() == ["gan", ""]
    assert found.records["path"].tolist() == ["a.png", "c.png"]


def test_a_folder_of_parquet_files_lies_where_its_paths_count_from(tmp_path: Path) -> None:
    (tmp_path / "faces.parquet").mkdir()
    for number in range(2):
        frame = pd.DataFrame({"path": [f"{number}.png"], "subject": [f"s{number}"]})
        frame.to_parquet(tmp_path / "faces.parquet" / f"{number}.parquet")
    found = load_source("table", None, tmp_path / "faces.parquet")
    assert found.root == tmp_path
    assert found.records["path"].tolist() == ["0.png", "1.png"]
