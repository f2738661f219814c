"""Variants of a data set's images: the same faces in other colours, made once and stored beside them.

    DATA/variants/HASH/NAME.npy     uint8 N×H×W×3, row i = row i of faces.parquet; opened memory-mapped

HASH begins the data set's content hash, so variants of images that were replaced since are not taken for theirs.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from legan.platform.data.dataset import DAMAGE, Dataset
from legan.platform.errors import DataError, first_line
from legan.platform.files import room_in, whole_file

FOLDER = "variants"
WRITABLE = "make it writable, or train without --recolor and --white-balance"
_BATCH = 256

Images = npt.NDArray[np.uint8]


class ImageVariant(NamedTuple):
    """Images in other colours: the ``name`` of their file, and what they are ``called``.

    ``changer`` gives what makes them of images B×H×W×3. It may load a network, and is only called where there are none yet.
    """

    name: str
    called: str
    changer: Callable[[], Callable[[Images], Images]]


def make_variants(data: Dataset, variants: Sequence[ImageVariant], say: Callable[[str], None] = print) -> None:
    """Make the variants of a data set that are not there yet.

    DataError where its folder cannot be written to; CheckpointError where the disk is full.
    """
    for variant in variants:
        file = variant_file(data, variant.name)
        if file.is_file():
            continue
        say(f"{variant.called}: made once of all {len(data):,} images, and kept in {file.parent}")
        try:
            with room_in(data.path):
                _make(data, variant, file)
        except OSError as error:
            raise DataError(f"{data.path} cannot be written to ({first_line(error)}); {WRITABLE}.") from error


def open_variants(data: Dataset, variants: Sequence[ImageVariant]) -> list[Images]:
    """Their images, each uint8 N×H×W×3, memory-mapped; DataError where one is missing or damaged."""
    opened = []
    for variant in variants:
        file = variant_file(data, variant.name)
        try:
            images = np.load(file, mmap_mode="r", allow_pickle=False)
        except DAMAGE as error:
            raise DataError(f"{file} cannot be read ({first_line(error)}); remove it, and it is made anew.") from error
        if images.shape != data.images.shape or images.dtype != np.uint8:
            raise DataError(f"{file} is damaged (it holds {images.dtype} {images.shape}); remove it, and it is made anew.")
        opened.append(images)
    return opened


def variant_file(data: Dataset, name: str) -> Path:
    """Where a variant of the data set lies."""
    return data.path / FOLDER / data.content_hash[:12] / f"{name}.npy"


def _make(data: Dataset, variant: ImageVariant, file: Path) -> None:
    change = variant.changer()
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(file) as draft:
        images = np.lib.format.open_memmap(draft, mode="w+", dtype=np.uint8, shape=data.images.shape)
        for start in range(0, len(images), _BATCH):
            images[start : start + _BATCH] = change(data.images[start : start + _BATCH])
        images.flush()
