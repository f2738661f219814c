"""Exported folders, read back by Hugging Face's datasets."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.tiny import draw_data
from typer import Typer
from typer.testing import CliRunner

from legan.platform.commands.data import mount
from legan.platform.data.dataset import open_dataset
from legan.platform.data.export import export_folders
from legan.platform.data.write import write_dataset
from legan.platform.errors import DataError
from legan.platform.mark import Mark, read_mark

# In a process of its own, since it leaves files open.
READ = """
import datasets, numpy as np
for split, rows in datasets.load_dataset("imagefolder", data_dir="out", cache_dir="cache").items():
    columns = {name: np.array(rows[name][:]) for name in ("subject", "expression", "lighting", "landmarks")}
    np.savez(f"{split}.npz", images=np.array([np.asarray(image) for image in rows["image"]]), **columns)
"""


def test_imagefolder_reads_what_is_exported(tmp_path: Path) -> None:
    draw_data(tmp_path / "faces")
    faces = open_dataset(tmp_path / "faces")
    app = Typer()
    mount(app)
    done = CliRunner().invoke(app, ["data", "export", str(tmp_path / "faces"), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert f"{len(faces.rows('train'))} in train/" in done.output

    quiet = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HOME": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", READ], cwd=tmp_path, env={**os.environ, **quiet}, check=True, capture_output=True)
    for split, name in (("train", "train"), ("validation", "val"), ("test", "test")):
        rows = faces.rows(name)
        with np.load(tmp_path / f"{split}.npz") as stored:
            read = dict(stored)
        np.testing.assert_array_equal(read["images"], faces.images[rows])
        for column in ("subject", "expression", "lighting"):
            assert read[column].tolist() == faces.faces[column].iloc[rows].tolist()
        points = np.array([cell.split() for cell in read["landmarks"]], float)
        np.testing.assert_allclose(points, np.stack(faces.faces["landmarks"].iloc[rows]), atol=0.006)


def test_what_a_model_made_says_so(tmp_path: Path) -> None:
    draw_data(tmp_path / "faces")
    faces = open_dataset(tmp_path / "faces")
    making = {"synthetic": False, "model": "", "model_version": "", "model_hash": ""}
    table = faces.faces.assign(**making)
    table.loc[0, making.keys()] = (True, "legan", "3", "f" * 64)
    table.loc[1, making.keys()] = (True, "runs/earlier/model", "", "0123456789abcdef")
    info = {"model": {"model_hash": "f" * 64, "run": "first"}}
    write_dataset(
        tmp_path / "made", name="made", schema=faces.schema, faces=table, images=faces.images, hulls=faces.packed_hulls,
        source="augmented", info=info,
    )  # fmt: skip
    export_folders(open_dataset(tmp_path / "made"), tmp_path / "out")

    marks = []
    for row in range(3):
        (file,) = (tmp_path / "out").glob(f"*/{row:06d}.png")
        with Image.open(file) as image:
            marks.append(read_mark(image))
    assert marks == [Mark("legan", "3", "first"), Mark("earlier", "0123456789ab"), None]


def test_a_folder_that_is_there_is_kept(tmp_path: Path) -> None:
    draw_data(tmp_path / "faces")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="already exists"):
        export_folders(open_dataset(tmp_path / "faces"), tmp_path / "out")
