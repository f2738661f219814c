import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from legan.platform.data.skipped import FILE, KINDS, Skipped, arrow_skipped, read_skipped, skip_lines, skipped_of, skipped_table

REPOSITORY = Path(__file__).parents[3]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    table = skipped_table([("a", Skipped("no_face", "no face.")), ("b", Skipped("repeated", "row 2 names it once more"))])
    pq.write_table(arrow_skipped(table), tmp_path / FILE)
    pd.testing.assert_frame_equal(read_skipped(tmp_path), table, check_dtype=False)
    pq.write_table(arrow_skipped(None), tmp_path / FILE)
    assert read_skipped(tmp_path).empty


def test_folders_and_unfinished_work_of_earlier_versions_say_no_kind(tmp_path: Path) -> None:
    pq.write_table(pa.table({"path": ["a"], "reason": ["is empty"]}), tmp_path / FILE)
    assert read_skipped(tmp_path).to_dict("records") == [{"path": "a", "kind": "", "reason": "is empty"}]
    np.savez(tmp_path / "part.npz", skipped_rows=np.array([3]), reasons=np.array(["is empty"]))
    with np.load(tmp_path / "part.npz") as part:
        assert skipped_of(part) == [(3, Skipped("", "is empty"))]


def test_a_kind_is_one_line_with_count_example_and_remedy() -> None:
    sizes = [
        (f"{size}.jpg", Skipped("small_face", f"the face is {size} pixels wide, and 40 are needed.")) for size in range(12, 39)
    ]
    skipped = skipped_table([("notes.txt", Skipped("no_image", "the file is no image of a known format.")), *sizes])
    assert skip_lines(skipped, min_face=40) == [
        "28 files were skipped (skipped.parquet):",
        "  27 × the face is too small (12.jpg: the face is 12 pixels wide, and 40 are needed, …); "
        "lower --min-face, which was 40, to take smaller faces",
        "  1 × no image of a known format (notes.txt: the file is no image of a known format); convert the files to JPEG or PNG",
    ]
    assert skip_lines(skipped.iloc[:0]) == []


def test_an_option_is_advised_only_where_it_is_there_and_helps() -> None:
    table = skipped_table([("a.jpg", Skipped("no_face", "no face of at least 40 pixels was found"))])
    line = "  1 × no face was found (a.jpg: no face of at least 40 pixels was found)"
    assert skip_lines(table, min_face=None)[1:] == skip_lines(table, min_face=20)[1:] == [line]
    assert skip_lines(table, min_face=21)[1:] == [f"{line}; lower --min-face, which was 21, to take smaller faces"]


def test_every_kind_that_is_given_is_in_the_table() -> None:
    given = set()
    for file in [*REPOSITORY.glob("platform/**/*.py"), *REPOSITORY.glob("serve/**/*.py")]:
        text = file.read_text()
        given |= set(re.findall(r'Skipped\(\s*"(\w+)"', text))
        given |= set(re.findall(r'kind="(\w+)"', text)) if "ImageError(" in text else set()
        given |= set(re.findall(r'"(no_\w+|outside)"', text)) if "Failure(" in text else set()
    assert {"no_face", "no_head", "outside", "small_face", "unreadable", "misnamed"} <= given
    assert given <= set(KINDS)
