import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from ray.exceptions import NodeDiedError

from legan.platform.data import prepare as module
from legan.platform.data.dataset import Alignment, Dataset, open_dataset
from legan.platform.data.image import named_formats
from legan.platform.data.pipeline import PART_SIZE, Options
from legan.platform.data.prepare import prepare
from legan.platform.data.show import describe
from legan.platform.data.sources.registry import load_source
from legan.platform.errors import ClusterError, DataError
from legan.platform.mark import Mark, mark_options

SMALL = Options(Alignment(16), aligned=True)
COUNT = 3 * PART_SIZE + 5
FILES = ("dataset.json", "faces.parquet", "images.npy", "hulls.npy", "skipped.parquet")


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    """A table of drawn squares of ten subjects; number 40 is broken, 41 a copy of 39 and 72 of 71 (labels differ)."""
    folder = tmp_path / "squares"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(COUNT):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"{i:03d}.png")
    (folder / "040.png").write_bytes(b"broken")
    (folder / "041.png").write_bytes((folder / "039.png").read_bytes())
    with Image.open(folder / "071.png") as image:
        image.save(folder / "072.png", compress_level=1)
    rows = [(f"{i:03d}.png", f"s{i // 11}", "smile" if i % 2 else "neutral") for i in range(COUNT)]
    pd.DataFrame([*rows, ("lost.png", "s0", "")], columns=["path", "subject", "expression"]).to_csv(folder / "t.csv", index=False)
    return folder / "t.csv"


def run(table: Path, out: Path, options: Options = SMALL, **changes: Any) -> Dataset:
    return prepare(load_source("table", None, table), out, options, **{"workers": 0, "name": "squares", **changes})


def same(one: Path, other: Path) -> bool:
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in FILES)


def test_images_that_a_model_made_are_used_and_named(squares: Path, tmp_path: Path) -> None:
    for form, file, number in (("png", "000.png", "3"), ("jpeg", "001.png", "4"), ("webp", "002.png", "4")):
        with Image.open(squares.parent / file) as image:
            image.save(squares.parent / file, form, **mark_options(Mark("legan", number)))
    dataset = run(squares, tmp_path / "out")
    assert dataset.faces["made_by"].tolist()[:4] == ["legan/3", "legan/4", "legan/4", ""]
    said = "images that a model made, as their metadata tell: 2 by legan/4, 1 by legan/3 (column made_by)"
    assert said in describe(dataset).splitlines()


def test_a_table_becomes_a_data_set(squares: Path, tmp_path: Path) -> None:
    dataset = run(squares, tmp_path / "out")
    assert len(dataset) == COUNT - 1
    assert "made_by" not in dataset.faces
    unknown = f"the file is no image of a known format; known are {named_formats()}."
    assert dataset.skipped.to_dict("records") == [
        {"path": "040.png", "kind": "no_image", "reason": unknown},
        {"path": "lost.png", "kind": "unlabelled", "reason": f"row {COUNT + 1} of the table has no expression"},
    ]
    assert dataset.faces["source_path"].tolist() == [f"{i:03d}.png" for i in range(COUNT) if i != 40]
    for row in (0, 39, 40, 99):
        photo = np.asarray(Image.open(squares.parent / dataset.faces["source_path"][row]))
        np.testing.assert_array_equal(dataset.images[row], photo)
    copies = dataset.faces["duplicate_of"].dropna()
    assert copies.to_dict() == {40: 39, 71: 70}
    assert dataset.info["combinations"] == {"occurring": 2, "possible": 2}
    assert dataset.alignment == Alignment(16).to_dict()
    assert set(dataset.splits) == {"train", "val", "test"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "squares"]


def test_repeating_changes_nothing_and_existing_folders_are_kept(squares: Path, tmp_path: Path) -> None:
    run(squares, tmp_path / "out")
    before = (tmp_path / "out" / "dataset.json").stat()
    run(squares, tmp_path / "out")
    assert (tmp_path / "out" / "dataset.json").stat() == before
    with pytest.raises(DataError, match="already exists"):
        run(squares, tmp_path / "out", seed=1)
    assert run(squares, tmp_path / "out", seed=1, overwrite=True).splits != {}
    with pytest.raises(DataError, match="already exists"):
        run(squares, tmp_path / "out")


def test_the_photographs_terms_stay_with_the_data_set(squares: Path, tmp_path: Path) -> None:
    before = run(squares, tmp_path / "out")
    assert before.licence is None
    with pytest.raises(DataError, match="already exists"):
        run(squares, tmp_path / "out", licence="CC BY 4.0")
    told = run(squares, tmp_path / "out", licence="CC BY 4.0", overwrite=True)
    assert open_dataset(tmp_path / "out").licence == "CC BY 4.0"
    assert told.content_hash == before.content_hash
    assert "licence: CC BY 4.0" in describe(told)


class StopError(Exception):
    pass


def stop_after(monkeypatch: pytest.MonkeyPatch, parts: int) -> None:
    done = iter(range(parts))
    original = module.prepare_part

    def stopping(*arguments: Any) -> tuple[int, int]:
        if next(done, None) is None:
            raise StopError
        return original(*arguments)

    monkeypatch.setattr(module, "prepare_part", stopping)


def test_resuming_does_only_what_is_missing(squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(squares, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(StopError):
            run(squares, tmp_path / "out")
    partial = tmp_path / "out.partial"
    assert not (tmp_path / "out").exists()
    finished = {path: path.stat().st_mtime_ns for path in partial.glob("part_*.npz")}
    assert len(finished) == 2
    # What a kill in mid-write leaves behind.
    (partial / ".part_000002.npz.1.tmp").write_bytes(b"half a part")
    (partial / "dataset").mkdir()
    (partial / "dataset" / "images.npy").write_bytes(b"half a data set")
    (partial / ".dataset.0123abcd.tmp").mkdir()
    (partial / ".dataset.0123abcd.tmp" / "images.npy").write_bytes(b"half a data set")
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        run(squares, tmp_path / "out")
    assert same(tmp_path / "whole", tmp_path / "out")
    assert not partial.exists()


def test_unfinished_work_of_other_options_or_files_is_refused(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(StopError):
            run(squares, tmp_path / "out")
    with pytest.raises(DataError, match=r"out\.partial holds unfinished work with other options"):
        run(squares, tmp_path / "out", Options(Alignment(32), aligned=True))
    os.utime(squares.parent / "000.png", ns=(1, 1))
    with pytest.raises(DataError, match="unfinished work"):
        run(squares, tmp_path / "out")
    assert len(run(squares, tmp_path / "out", overwrite=True)) == COUNT - 1


@pytest.mark.parametrize("out", [".", "/"])
def test_a_folder_without_a_name_of_its_own_is_refused(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(DataError, match=r"has no name of its own, .*; choose another folder"):
        run(squares, Path(out))


def test_a_foreign_partial_folder_is_left_alone(squares: Path, tmp_path: Path) -> None:
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "thesis.tex").touch()
    with pytest.raises(DataError, match="is not the unfinished work"):
        run(squares, tmp_path / "out", overwrite=True)
    assert (tmp_path / "out.partial" / "thesis.tex").exists()
    for junk in (b"\xff\x00", b"[1]", b"{}"):
        (tmp_path / "out.partial" / "plan.json").write_bytes(junk)
        with pytest.raises(DataError, match="is in the way and is not the unfinished work"):
            run(squares, tmp_path / "out", overwrite=True)
    (tmp_path / "note.partial").touch()
    with pytest.raises(DataError, match="is in the way and is not the unfinished work"):
        run(squares, tmp_path / "note", overwrite=True)


def test_a_finished_data_set_takes_only_its_own_leftovers_away(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(squares, tmp_path / "out")
    partial = tmp_path / "out.partial"
    partial.write_text("a note of mine")
    run(squares, tmp_path / "out")
    assert partial.read_text() == "a note of mine"
    partial.unlink()
    partial.mkdir()
    (partial / "thesis.tex").touch()
    run(squares, tmp_path / "out")
    assert [path.name for path in partial.iterdir()] == ["thesis.tex"]
    (partial / "thesis.tex").unlink()
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(StopError):
            run(squares, tmp_path / "out", seed=1, overwrite=True)
    before = sorted(partial.iterdir())
    run(squares, tmp_path / "out")
    assert sorted(partial.iterdir()) == before  # the work of seed 1, which can be gone on with
    digest = json.loads((tmp_path / "out" / "dataset.json").read_text())["info"]["prepared"]
    (partial / "plan.json").write_text(json.dumps({"digest": digest}))
    run(squares, tmp_path / "out")
    assert not partial.exists()


def test_no_usable_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"junk")
    (tmp_path / "t.csv").write_text("path,subject,split\na.png,s,train\n")
    with pytest.raises(DataError, match=r"none of 1 file .* could be used: 1 × no image of a known format \(a\.png"):
        run(tmp_path / "t.csv", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_shares_and_own_splits(squares: Path, tmp_path: Path) -> None:
    dataset = run(squares, tmp_path / "out", val_share=0.0, test_share=0.5)
    assert {split: len(subjects) for split, subjects in dataset.splits.items()} == {"train": 5, "test": 5}
    rows = pd.read_csv(squares).assign(split="train")
    rows.to_csv(squares, index=False)
    assert set(run(squares, tmp_path / "own").splits) == {"train"}
    with pytest.raises(DataError, match="has its own splits"):
        run(squares, tmp_path / "other", test_share=0.5)


# Ray Data warns of settings that its own defaults make, and uses what it deprecates.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray", "ignore:.*is deprecated:DeprecationWarning")
def test_on_ray(squares: Path, tmp_path: Path, ray_cluster: None) -> None:
    run(squares, tmp_path / "plain")
    run(squares, tmp_path / "ray", workers=2)
    assert same(tmp_path / "plain", tmp_path / "ray")


def test_a_cluster_that_is_away_is_said(squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.ray, "is_initialized", lambda: False)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(ClusterError, match=r"no Ray cluster answers at 127\.0\.0\.1:9"):
        run(squares, tmp_path / "out", workers=2)


class Broken:
    """Stands for a Ray Data set whose cluster goes away after the first part."""

    def map_batches(self, *_: object, **__: object) -> "Broken":
        return self

    def iter_rows(self) -> Iterator[dict[str, int]]:
        yield {"used": PART_SIZE, "skipped": 0}
        raise NodeDiedError("the node\n10.0.0.7 has died.")


def test_a_cluster_that_fails_is_said_in_one_sentence(squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.ray, "is_initialized", lambda: True)
    monkeypatch.setattr(module.ray, "cluster_resources", lambda: {"CPU": 2.0})
    monkeypatch.setattr(module.ray.data, "from_items", lambda *_, **__: Broken())
    sentence = r"the work on the Ray cluster ended: .*10\.0\.0\.7 has died; the same command goes on from there\.$"
    with pytest.raises(ClusterError, match=sentence):
        run(squares, tmp_path / "out", workers=2)
    assert len(run(squares, tmp_path / "out")) == COUNT - 1


CHILD = """
import sys, time
from pathlib import Path
from legan.platform.data import pipeline, prepare
from legan.platform.data.dataset import Alignment
from legan.platform.data.sources.registry import load_source

def slow(*arguments):
    result = pipeline.prepare_part(*arguments)
    time.sleep(float(sys.argv[3]))
    return result

prepare.prepare_part = slow
source = load_source("table", None, Path(sys.argv[1]))
options = pipeline.Options(Alignment(16), aligned=True)
prepare.prepare(source, Path(sys.argv[2]), options, name="squares", workers=0)
"""


@pytest.mark.kills
def test_killed_process_goes_on_to_the_same_bytes(squares: Path, tmp_path: Path) -> None:
    run(squares, tmp_path / "whole")
    out = tmp_path / "out"
    command = [sys.executable, "-c", CHILD, str(squares), str(out)]
    process = subprocess.Popen([*command, "30"])
    deadline = time.monotonic() + 120
    while not list((tmp_path / "out.partial").glob("part_*.npz")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert [path.name for path in (tmp_path / "out.partial").glob("part_*.npz")] == ["part_000000.npz"]
    assert not out.exists()
    subprocess.run([*command, "0"], check=True, timeout=120)
    assert same(tmp_path / "whole", out)
    assert not (tmp_path / "out.partial").exists()


def test_the_yale_faces(yalefaces: Path, tmp_path: Path) -> None:
    dataset = prepare(load_source("yale", yalefaces), tmp_path / "yale", Options(), workers=0)
    assert len(dataset) == 164
    assert dataset.skipped.empty
    assert dataset.info["combinations"] == {"occurring": 9, "possible": 24}
    assert {split: len(subjects) for split, subjects in dataset.splits.items()} == {"train": 12, "val": 1, "test": 2}
    # Published: normal = noglasses for seven subjects, normal = glasses for subject 08, sad = normal for subject 04.
    names = dataset.faces["source_path"]
    copies = {names[row]: names[int(first)] for row, first in dataset.faces["duplicate_of"].dropna().items()}
    expected = {f"subject{i:02d}.normal": f"subject{i:02d}.noglasses" for i in (2, 3, 6, 7, 9, 12, 14)}
    assert copies == {**expected, "subject08.normal": "subject08.glasses", "subject04.sad": "subject04.normal"}
    # leftlight brightens the half of the face at the viewer's left.
    for row in np.flatnonzero(dataset.faces["lighting"].isin(["left", "right"])):
        face = dataset.images[row][40:110].astype(float)
        left, right = face[:, 30:64].mean(), face[:, 64:98].mean()
        assert (left > 1.3 * right) if dataset.faces["lighting"][row] == "left" else (right > 1.3 * left)
    assert open_dataset(tmp_path / "yale").content_hash == dataset.content_hash
