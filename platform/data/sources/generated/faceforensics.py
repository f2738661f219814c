"""Frames of FaceForensics++, for ratings of Q.

    original_sequences/youtube/c23/images/033/0000.png              frames of a video; raw and c40 likewise, and actors
    manipulated_sequences/Deepfakes/c23/images/033_097/0000.png     Face2Face, FaceSwap, NeuralTextures, …: likewise
    train.json, val.json, test.json                                 optional: lists of pairs of videos

``images`` is what the published scripts write; ``frames`` is taken as well. The column ``source`` is the method, ``original``
for the others; the column ``compression`` is raw, c23 or c40. Video 033_097 is 033 with the face or the motion of 097, so two
people are in it. A subject is therefore a group of videos that share people: 033, 097, 033_097 and 097_033 are all one, and
never in two splits. The actors of DeepFakeDetection are swapped with each other, so they are one group. With all three lists,
their splits are taken, and frames of videos that they do not name are left out. Masks and videos are not looked into.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from legan.models.attributes import AttributeSchema
from legan.platform.data.skipped import Skipped
from legan.platform.data.sources.folder_files import folder_images
from legan.platform.data.sources.source import SourceFaces
from legan.platform.data.sources.table import ANY
from legan.platform.errors import DataError, first_line

KINDS = ("original_sequences", "manipulated_sequences")
FRAMES = ("images", "frames")
LISTS = {"train.json": "train", "val.json": "val", "test.json": "test"}
ORIGINAL = "original"
SCHEMA = AttributeSchema((ANY,), (ANY,), {ANY: ANY})

ACTORS = ("actors", "DeepFakeDetection")
"""The folders whose videos are numbered by their actors, not by the sequences of youtube."""

_VIDEO = re.compile(r"(\d+)(?:_(\d+))?(?:__.*)?")


def faceforensics(root: Path) -> SourceFaces:
    """All frames of all methods and compressions; DataError where there is none, or a list of splits is damaged."""
    if not any((root / kind).is_dir() for kind in KINDS):
        raise DataError(
            f"{root} does not hold FaceForensics++: expected {' or '.join(KINDS)}; give the folder above them as --root."
        )
    rows: list[tuple[str, str, str, tuple[str, ...]]] = []
    unusable: list[tuple[str, Skipped]] = []
    videos = False
    why = Skipped("misnamed", "it does not lie in the folder of a video, such as 033 or 033_097")
    for kind in KINDS:
        for folder in sorted((root / kind).glob("*/*")):
            videos |= (folder / "videos").is_dir()
            frames = next((folder / name for name in FRAMES if (folder / name).is_dir()), None)
            if frames is None:
                continue
            names, others = folder_images(frames)
            shown = frames.relative_to(root).as_posix()
            unusable += [(f"{shown}/{name}", reason) for name, reason in others]
            method = ORIGINAL if kind == KINDS[0] else folder.parent.name
            for name in names:
                video = _VIDEO.fullmatch(name.split("/")[0]) if "/" in name else None
                if video is None:
                    unusable.append((f"{shown}/{name}", why))
                else:
                    before = "actor" if folder.parent.name in ACTORS else ""
                    shows = tuple(f"{before}{number}" for number in video.groups() if number)
                    rows.append((f"{shown}/{name}", method, folder.name, shows))
    if not rows:
        how = "there are videos, but no frames: extract them into images/VIDEO/ beside videos" if videos else "there is no frame"
        raise DataError(f"{root} does not hold frames of FaceForensics++: {how}.")
    return _source(root, rows, unusable)


def _source(root: Path, rows: list[tuple[str, str, str, tuple[str, ...]]], unusable: list[tuple[str, Skipped]]) -> SourceFaces:
    records = pd.DataFrame(rows, columns=["path", "source", "compression", "shows"])
    splits = _splits(root)
    groups = groups_of([*records["shows"], *(splits or {})])
    records["subject"] = records["shows"].map(lambda shows: groups[shows[0]])
    if splits:
        of_group = {groups[pair[0]]: split for pair, split in splits.items()}
        if any(of_group[groups[pair[0]]] != split for pair, split in splits.items()):
            raise DataError(f"{', '.join(LISTS)} put videos that share people into several splits; restore the published files.")
        records["split"] = records["subject"].map(of_group)
        unnamed = records["split"].isna()
        why = Skipped("unlabelled", f"none of {', '.join(LISTS)} names its video")
        unusable = [*unusable, *((str(path), why) for path in records.loc[unnamed, "path"])]
        records = records[~unnamed].reset_index(drop=True)
        if records.empty:
            raise DataError(
                f"{', '.join(LISTS)} of {root} name none of the videos whose frames are there; restore or remove them."
            )
    records = records.drop(columns="shows").assign(expression=ANY, lighting=ANY)
    return SourceFaces("faceforensics", root, SCHEMA, records, unusable, val_share=0.1)


def groups_of(together: Iterable[tuple[str, ...]]) -> dict[str, str]:
    """The group of each video, called by its smallest: those that are ``together``, and so on."""
    links: dict[str, set[str]] = {}
    for videos in together:
        for video in videos:
            links.setdefault(video, set()).update(videos)
    groups: dict[str, str] = {}
    for first in sorted(links):
        waiting = [] if first in groups else [first]
        while waiting:
            video = waiting.pop()
            if video not in groups:
                groups[video] = first
                waiting += links[video]
    return groups


def _splits(root: Path) -> dict[tuple[str, ...], str] | None:
    """The split of each pair of videos; None without the three lists. DataError where one is damaged."""
    places = (root, root / "splits")
    folder = next((place for place in places if all((place / name).is_file() for name in LISTS)), None)
    if folder is None:
        return None
    found: dict[tuple[str, ...], str] = {}
    for name, split in LISTS.items():
        try:
            pairs = json.loads((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"{folder / name} cannot be read ({first_line(error)}); restore the published file.") from error
        if not isinstance(pairs, list) or not all(
            isinstance(pair, list) and len(pair) == 2 and all(isinstance(video, str) for video in pair) for pair in pairs
        ):
            raise DataError(f"{folder / name} is no list of pairs of videos; restore the published file.")
        found |= {tuple(pair): split for pair in pairs}
    return found
