"""From the finished parts of a preparation to a data set folder."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from legan.platform.data.dataset import Dataset
from legan.platform.data.labels.splits import Splitting, split_people
from legan.platform.data.pipeline import PART_SIZE, Options, part_path
from legan.platform.data.skipped import kind_lines, skipped_of, skipped_table
from legan.platform.data.sources.source import PACKED, SourceFaces
from legan.platform.data.write import write_dataset
from legan.platform.errors import DataError, counted

_OWN_COLUMNS = ("path", "subject", "expression", "lighting", "split", *PACKED)


def assemble(
    folder: Path, parts: int, source: SourceFaces, splitting: Splitting | None, options: Options, *, name: str, digest: str
) -> Dataset:
    """Put the parts of ``folder`` together, in the order of the source's records, as the data set ``folder/dataset``.

    The people of the photographs that could be used are split by ``splitting``, where the source has no splits of its own.

    A face whose photograph has exactly the pixels of an earlier one names the earlier row in duplicate_of. DataError where
    no photograph could be used.
    """
    records = source.records
    files = [part_path(folder, part) for part in range(parts)]
    loaded = [_read(file, without="images") for file in files]
    rows = np.concatenate([part["rows"] + index * PART_SIZE for index, part in enumerate(loaded)])

    skipped = skipped_table(
        [
            *(
                (str(records["path"].iloc[row + index * PART_SIZE]), why)
                for index, part in enumerate(loaded)
                for row, why in skipped_of(part)
            ),
            *source.unusable,
        ]
    )

    if len(rows) == 0:
        why = "; ".join(kind_lines(skipped, None if options.aligned else options.min_face))
        raise DataError(f"none of {counted(len(skipped), 'file')} under {source.root} could be used: {why}.")

    filled = [part for part in loaded if len(part["rows"])]
    used = records.iloc[rows].reset_index(drop=True)
    if splitting is not None:
        used["split"] = used["subject"].map(split_people(used, **splitting._asdict()))
    faces = _faces(used, filled)
    occurring = len(faces[["expression", "lighting"]].drop_duplicates())

    return write_dataset(
        folder / "dataset",
        name=name,
        schema=source.schema,
        faces=faces,
        images=(image for file in files for image in _read(file)["images"]),
        hulls=np.concatenate([part["hulls"] for part in filled]),
        skipped=skipped,
        source=source.name,
        alignment=options.alignment.to_dict(),
        info={
            **source.info,
            "combinations": {
                "occurring": occurring,
                "possible": len(source.schema.expressions) * len(source.schema.lightings),
            },
            "options": options.to_dict(),
            "prepared": digest,
        },
    )


def _faces(used: pd.DataFrame, parts: list[dict[str, NDArray[Any]]]) -> pd.DataFrame:
    pixels = pd.Series(np.concatenate([part["pixels"] for part in parts]))
    row = pd.Series(range(len(pixels)))
    first = row.groupby(pixels).transform("min")
    made_by = np.concatenate([part.get("made_by", np.full(len(part["rows"]), "")) for part in parts])
    return pd.DataFrame(
        {
            "subject": used["subject"],
            "expression": used["expression"],
            "lighting": used["lighting"],
            "split": used["split"],
            "landmarks": [points.ravel() for part in parts for points in part["landmarks"]],
            "yaw": np.concatenate([part["yaw"] for part in parts]),
            "source_path": used["path"],
            "duplicate_of": first.where(first < row).astype("Int64"),
            "faces_found": np.concatenate([part["faces_found"] for part in parts]),
            "found_by": np.concatenate([part.get("found_by", np.full(len(part["rows"]), "")) for part in parts]),
            **({"made_by": made_by} if made_by.any() else {}),
            **{str(column): used[column] for column in used.columns if column not in _OWN_COLUMNS},
        }
    )


def _read(file: Path, without: str | None = None) -> dict[str, NDArray[Any]]:
    with np.load(file, allow_pickle=False) as part:
        return {key: part[key] for key in part.files if key != without}
