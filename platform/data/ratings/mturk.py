"""A study as a batch of Amazon Mechanical Turk, with attention checks among its images.

    STUDY/mturk   input.csv     a row per page (HIT), columns image_1, image_2, …: the addresses of its images
                  layout.html   the page, for the design of a project; ${image_1} is the column image_1
                  images/*.png  what has to lie under the address; names say nothing of sources and checks
                  key.csv       file, image, kind (rated, repeat, real), page, position; workers must not see it

A page shows images of the study, one of them once more under another name (repeat), and where photographs are given a real face.
mturk_results.py reads what comes back.
"""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from legan.platform.data.dataset import SPLITS, Dataset, open_dataset
from legan.platform.data.ratings.batches import FILE as STUDY_FILE
from legan.platform.data.ratings.table import TOP
from legan.platform.errors import ConfigError, DataError, Problems, counted, first_line
from legan.platform.files import linked, refuse_existing, whole_folder

FOLDER, KEY, INPUT, LAYOUT = "mturk", "key.csv", "input.csv", "layout.html"
PER_PAGE = 8

_PAGE = """<!-- For a project of Mechanical Turk: paste all of this in place of the page "Design Layout". -->
<script src="https://assets.crowd.aws/crowd-html-elements.js"></script>
<style>
  figure {{ display: inline-block; margin: 12px; text-align: center }}
  img {{ width: 256px; height: 256px; display: block; margin-bottom: 6px }}
  select {{ font-size: 18px }}
</style>
<crowd-form answer-format="flatten-objects">
  <h2>How natural do these {count} faces look?</h2>
  <p>Give each a number from 0 to {top}: 0 to 5 is an unnatural face, 5 to {top} a natural one. Look at the face alone, each by
  itself.</p>
{figures}
</crowd-form>
"""
_FIGURE = """  <figure>
    <img src="${{image_{number}}}" alt="face {number}">
    <label>Face {number}:
      <select name="score_{number}" required><option value="">–</option>{options}</select>
    </label>
  </figure>"""


class TurkBatch(NamedTuple):
    """What was written: pages (HITs), images on each, and the columns of key.csv."""

    folder: Path
    pages: int
    images: int
    key: pd.DataFrame


def write_mturk(
    study: Path, url: str, real: Path | None = None, *, per_page: int = PER_PAGE, seed: int = 0, overwrite: bool = False
) -> TurkBatch:
    """Write the folder ``mturk`` of a study of `legan ratings batches`, whole or not at all.

    ``url`` is where its images will lie, ``real`` a data set of photographs. Raises ConfigError with every problem: an address
    that is not https, photographs of another size, more images a page than there are; DataError where the folder exists.
    """
    out = study / FOLDER
    refuse_existing(out, KEY, overwrite=overwrite)
    problems = Problems()
    if not url.startswith("https://"):
        problems.add("--images-at", f"{url} does not begin with https://, and pages of Mechanical Turk load nothing else")
    opened = problems.from_(lambda: _read_study(study))
    data = None if real is None else problems.from_(lambda: open_dataset(real), "--photographs")
    if opened is not None:
        size, masked, images = opened
        if per_page > len(images):
            problems.add("--per-page", f"{per_page} is more than the study's {counted(len(images), 'image')}")
        if data is not None and data.image_size != size:
            own, there = f"{data.image_size}×{data.image_size}", f"{size}×{size}"
            problems.add("--photographs", f"its images are {own}, the study's {there}; prepare photographs of that size")
        if data is not None and not len(_photographs(data)):
            problems.add("--photographs", "it has no photograph: all of its images are translations or copies")
    problems.raise_if_any()
    if opened is None:
        raise ConfigError(problems)
    size, masked, images = opened

    faces: list[int] = [] if data is None else np.random.default_rng([seed, 22]).permutation(_photographs(data)).tolist()
    key = deal_pages(images, faces, per_page, seed)
    with whole_folder(out) as draft:
        (draft / "images").mkdir()
        for shown in key.itertuples():
            file = draft / "images" / str(shown.file)
            if shown.kind == "real" and data is not None:
                _save_real(file, data, int(str(shown.image)), masked)
            else:
                linked(study / str(shown.image), file)
        key.to_csv(draft / KEY, index=False)
        addresses = key.assign(address=url.rstrip("/") + "/" + key["file"])
        table = addresses.pivot_table(index="page", columns="position", values="address", aggfunc="first")
        table.columns = pd.Index([f"image_{position}" for position in table])
        table.to_csv(draft / INPUT, index=False)
        (draft / LAYOUT).write_text(layout(len(table.columns)), encoding="utf-8")
    return TurkBatch(out, len(table), len(table.columns), key)


def deal_pages(images: list[str], faces: list[int], per_page: int, seed: int) -> pd.DataFrame:
    """Which images stand on which page in which order; columns file, image, kind, page and position (from 1).

    Every image is rated on one page. Where they don't fill the last one, others come there once more. One image of a page comes
    twice, not in neighbouring places where there is room; and a real one of ``faces``, each of them as often as the others.
    """
    rng = np.random.default_rng([seed, 21])
    order = [images[number] for number in rng.permutation(len(images))]
    lack = -len(order) % per_page
    order += [image for image in order if image not in order[len(order) - per_page + lack :]][:lack]
    rows = []
    for page in range(len(order) // per_page):
        shown = [(image, "rated") for image in order[page * per_page : (page + 1) * per_page]]
        if faces:
            shown.insert(int(rng.integers(len(shown) + 1)), (str(faces[page % len(faces)]), "real"))
        first = int(rng.integers(max(1, (len(shown) + 1) // 2)))
        again = next(place for place in (*range(first, len(shown)), *range(first)) if shown[place][1] == "rated")
        shown.insert(int(rng.integers(min(again + 2, len(shown)), len(shown) + 1)), (shown[again][0], "repeat"))
        for position, (image, kind) in enumerate(shown, start=1):
            name = hashlib.sha256(f"{images[0]} {seed} {page} {position}".encode()).hexdigest()[:16]
            rows.append((f"{name}.png", image, kind, page + 1, position))
    return pd.DataFrame(rows, columns=["file", "image", "kind", "page", "position"])


def layout(count: int) -> str:
    """The page of ``count`` images as HTML, with a list of scores from 0 to 10 for each."""
    options = "".join(f"<option>{score}</option>" for score in range(TOP + 1))
    figures = "\n".join(_FIGURE.format(number=number, options=options) for number in range(1, count + 1))
    return _PAGE.format(count=count, top=TOP, figures=figures)


def _read_study(study: Path) -> tuple[int, bool, list[str]]:
    """Image size, whether faces are masked, and the images of a study."""
    if not (study / STUDY_FILE).is_file():
        raise DataError(f"{study} is no study (it has no {STUDY_FILE}); make one with `legan ratings batches`.")
    try:
        record = json.loads((study / STUDY_FILE).read_text(encoding="utf-8"))
        images = pd.read_csv(study / "images.csv", dtype=str)["image"].tolist()
        return int(record["image_size"]), bool(record["masked"]), images
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"the study {study} is damaged ({first_line(error)}); make it anew.") from error


def _photographs(data: Dataset) -> NDArray[np.int64]:
    return np.concatenate([data.real_rows(split) for split in SPLITS])


def _save_real(file: Path, data: Dataset, row: int, masked: bool) -> None:
    pixels = np.asarray(data.images[row])
    Image.fromarray(pixels * data.hulls([row])[0][..., None] if masked else pixels).save(file)
