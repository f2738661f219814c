"""IJB-B, as NIST distributes it, or as loose crops with InsightFace's lists.

    protocol/ijbb_1N_gallery_S1.csv, …_S2.csv, ijbb_1N_probe_mixed.csv     a row a face of a template
    protocol/ijbb_11_S1_S2_matches.csv                                     pairs of templates, without a line of names
    img/1.jpg, frames/2.png                                                whole photographs and frames, by FILENAME (or FILE)

The columns used are TEMPLATE_ID, SUBJECT_ID, FILENAME (FILE in an earlier version), SIGHTING_ID, which is the medium (an image,
or the frames of a video), and FACE_X, FACE_Y, FACE_WIDTH, FACE_HEIGHT, the face's box in pixels. InsightFace's form:

    loose_crop/1.jpg                          a crop a face
    meta/ijbb_face_tid_mid.txt                ``1.jpg template medium`` a line
    meta/ijbb_template_pair_label.txt         ``template template label`` a line; label 1: one person

It does not say who a template is. Templates that pairs call one person are one subject, called by their smallest number.

A row of the data set is a face of a template: columns ``template`` and ``media``. A photograph may be in several templates. All
rows are in the split test: nothing is to be learnt or chosen on them. The data set remembers which templates the lists name, also
those of which no face could be used.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from legan.models.attributes import AttributeSchema
from legan.platform.data.plain_table import lacking, read_plain_table
from legan.platform.data.skipped import Skipped
from legan.platform.data.sources.root import listed
from legan.platform.data.sources.source import BOX, SourceFaces, rows_left_out, without_box
from legan.platform.data.sources.table import ANY
from legan.platform.errors import DataError, counted, first_line

TEMPLATES = ("ijbb_1N_gallery_S1.csv", "ijbb_1N_gallery_S2.csv", "ijbb_1N_probe_mixed.csv")
PAIRS, CROP_PAIRS = "protocol/ijbb_11_S1_S2_matches.csv", "meta/ijbb_template_pair_label.txt"
CROPS, CROP_TEMPLATES = "loose_crop", "meta/ijbb_face_tid_mid.txt"
PUBLISHED_BOX = ("FACE_X", "FACE_Y", "FACE_WIDTH", "FACE_HEIGHT")
BLOCK = 65_536
SCHEMA = AttributeSchema((ANY,), (ANY,), {ANY: ANY})


def ijbb(root: Path) -> SourceFaces:
    """All faces of the templates.

    DataError where neither form is there, a list is damaged, or a pair's template has no medium.
    """
    if (root / CROP_TEMPLATES).is_file():
        return _from_crops(root)
    missing = [name for name in TEMPLATES if not (root / "protocol" / name).is_file()]
    if missing:
        raise DataError(
            f"{root} does not hold IJB-B: there is no protocol/{' and no protocol/'.join(missing)}, and no {CROP_TEMPLATES}; "
            "give the folder above protocol as --root."
        )
    rows = pd.concat([_rows(root / "protocol" / name) for name in TEMPLATES], ignore_index=True)
    boxless = without_box(rows)
    unusable = [
        (str(row.path), Skipped("no_box", f"row {row.row} of {row.list} gives no face's box"))
        for row in rows[boxless].itertuples()
    ]
    used = rows[~boxless].drop(columns=["row", "list"]).drop_duplicates(ignore_index=True)
    doubts = [rows_left_out(rows[boxless], "a face's box")] if boxless.any() else []
    people = used.groupby("template")["subject"].nunique()
    if (people > 1).any():
        torn = listed([str(template) for template in people.index[people > 1]])
        raise DataError(f"the lists of {root / 'protocol'} say that templates are of several people ({torn}); restore them.")
    if (root / PAIRS).is_file():
        _expect_media(root / PAIRS, read_template_pairs(root / PAIRS), set(used["template"]))
    return _source(root, used, unusable, doubts, rows["template"])


def read_template_pairs(file: Path) -> NDArray[np.int64]:
    """Pairs of templates, int64 N×2; of InsightFace's form N×3, with 1 for one person and 0 for two. DataError for damage."""
    return np.concatenate(list(template_pair_blocks(file)))


def template_pair_blocks(file: Path) -> Iterator[NDArray[np.int64]]:
    """The same in blocks of at most BLOCK pairs, so that memory does not grow with their number."""
    separator, columns = (",", 2) if file.suffix == ".csv" else (" ", 3)
    try:
        with pd.read_csv(file, sep=separator, header=None, dtype=np.int64, chunksize=BLOCK) as tables:
            for table in tables:
                if table.shape[1] != columns:
                    raise DataError(f"{file} has {counted(table.shape[1], 'column')}, not {columns}; restore the published file.")
                yield table.to_numpy()
    except (OSError, ValueError, OverflowError) as error:
        raise DataError(f"{file} cannot be read ({first_line(error)}); restore the published file.") from error


def _from_crops(root: Path) -> SourceFaces:
    file = root / CROP_TEMPLATES
    if not (root / CROPS).is_dir():
        raise DataError(f"{root} does not hold IJB-B: there is no folder {CROPS} beside meta; unpack the crops there.")
    try:
        rows = pd.read_csv(file, sep=" ", header=None, names=["path", "template", "media"], dtype={"path": str}, index_col=False)
        rows = rows.astype({"template": np.int64, "media": np.int64})
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read ({first_line(error)}); restore the published file.") from error
    if rows.empty:
        raise DataError(f"{file} names no face; restore the published file.")
    templates = np.unique(rows["template"])
    subject = dict(zip(templates.tolist(), templates.tolist(), strict=True))
    if (root / CROP_PAIRS).is_file():
        pairs = read_template_pairs(root / CROP_PAIRS)
        _expect_media(root / CROP_PAIRS, pairs, set(templates.tolist()))
        subject = _people(templates, pairs)
    rows["subject"] = rows["template"].map(subject).map("person of template {}".format)
    rows["path"] = f"{CROPS}/" + rows["path"]
    return _source(root, rows, [], [], rows["template"])


def _people(templates: NDArray[np.int64], pairs: NDArray[np.int64]) -> dict[int, int]:
    """The smallest template of each template's person, where label 1 of pairs says one person. DataError where pairs disagree."""
    first, second = (np.searchsorted(templates, pairs[:, column]) for column in (0, 1))
    same = pairs[:, 2] == 1
    links = coo_matrix((np.ones(int(same.sum()), np.int8), (first[same], second[same])), shape=(len(templates), len(templates)))
    _, groups = connected_components(links, directed=False)
    torn = ~same & (groups[first] == groups[second])
    if torn.any():
        one, other, _ = pairs[torn][0]
        raise DataError(f"{CROP_PAIRS} calls templates {one} and {other} two people, and one by other pairs; restore it.")
    smallest = pd.Series(templates).groupby(groups).transform("min")
    return dict(zip(templates.tolist(), smallest.tolist(), strict=True))


def _expect_media(file: Path, pairs: NDArray[np.int64], templates: set[int]) -> None:
    """DataError where pairs name templates of which there is no face."""
    unknown = sorted(set(np.unique(pairs[:, :2]).tolist()) - templates)
    if unknown:
        named = listed([str(template) for template in unknown])
        raise DataError(f"{file} pairs templates without media ({named}), {len(unknown)} in all; restore the published lists.")


def _rows(file: Path) -> pd.DataFrame:
    table = read_plain_table(file, "list").rename(columns={"FILE": "FILENAME"})
    problems = lacking(table, ("TEMPLATE_ID", "SUBJECT_ID", "FILENAME", "SIGHTING_ID", *PUBLISHED_BOX))
    if problems:
        raise DataError(f"the list {file} is not that of IJB-B: {problems[0]}; restore the published file.")
    for column in ("FILENAME", "SUBJECT_ID", "SIGHTING_ID", "TEMPLATE_ID"):
        numbered = column == "TEMPLATE_ID"
        filled = table[column].str.strip().str.fullmatch(r"\d{1,18}" if numbered else ".+").to_numpy(bool)
        if not filled.all():
            row = int((~filled).argmax()) + 1
            what = f"no number as {column}" if numbered else f"no {column}"
            raise DataError(f"row {row} of the list {file} has {what}; restore the published file.")
    template = table["TEMPLATE_ID"].str.strip()
    found = pd.DataFrame({"path": table["FILENAME"].str.strip(), "subject": table["SUBJECT_ID"].str.strip()})
    found = found.assign(template=template.astype(np.int64), media=table["SIGHTING_ID"].str.strip())
    found = found.assign(row=range(1, len(table) + 1), list=file.name)
    for published, column in zip(PUBLISHED_BOX, BOX, strict=True):
        found[column] = pd.to_numeric(table[published], errors="coerce").astype(float)
    return found


def _source(
    root: Path, rows: pd.DataFrame, unusable: list[tuple[str, Skipped]], doubts: list[str], named: "pd.Series[int]"
) -> SourceFaces:
    if rows.empty:
        raise DataError(f"{root} does not hold IJB-B: its lists name no face with a box; restore the published files.")
    records = rows.astype({"media": str, "subject": str}).assign(expression=ANY, lighting=ANY, split="test")
    info = {"templates": np.unique(named).tolist()}
    return SourceFaces("ijbb", root, SCHEMA, records, unusable, info=info, doubts=doubts)
