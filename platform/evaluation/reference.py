"""What generated images are held against: the features of all real images of a split, computed once and kept on the disk.

The file's name is a hash of data and what is left out of it, split, network, its weights and the resizer. So other pictures, or
another network, never meet statistics that are not theirs.
"""

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from legan.platform.data.dataset import Dataset, Split, spread
from legan.platform.evaluation.features import Extractor
from legan.platform.evaluation.pairs import load_batch
from legan.platform.files import whole_file

BATCH = 64


def split_features(
    data: Dataset, split: Split, extractor: Extractor, device: torch.device, folder: Path, most: int | None = None
) -> Tensor:
    """Features of all m real images of a split, float32 m×F on the CPU, in the order of its ``real_rows``.

    ``most`` of them, evenly spread, where there are more. They are read from ``folder`` where they are there already.
    """
    rows = data.real_rows(split)
    if most is not None:
        rows = spread(rows, most)
    path = folder / f"{_key(data, split, extractor, most)}.safetensors"
    if path.is_file():
        try:
            return _read(path, len(rows))
        except (OSError, SafetensorError, KeyError, ValueError):
            path.unlink()
    with torch.inference_mode():
        starts = range(0, len(rows), BATCH)
        parts = [extractor(load_batch(data, rows[start : start + BATCH], device)).float().cpu() for start in starts]
    features = torch.cat(parts)
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as draft:
        save_file({"features": features}, draft)
    return features


def _key(data: Dataset, split: Split, extractor: Extractor, most: int | None) -> str:
    parts = [data.content_hash, split, extractor.name, extractor.weights, extractor.resizer, *data.left_out.names]
    parts += [] if most is None else [str(most)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _read(path: Path, count: int) -> Tensor:
    features: Tensor = load_file(path)["features"]
    if len(features) != count:
        raise ValueError(f"{path} has {len(features)} images instead of {count}")
    return features
