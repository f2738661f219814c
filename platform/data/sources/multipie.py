"""CMU Multi-PIE as it lies on disk: the frontal camera, 6 expressions × 20 lightings.

    ROOT/sessionNN/multiview/SSS/RR/05_1/SSS_SN_RN_051_II.png     (ROOT/data/sessionNN/… as well)

SSS is the subject, SN the session, RN the recording, 051 the frontal camera 05_1 and II the illumination 00…19. Images converted
to another format may end otherwise. Session and recording together give the expression.

A recording is a burst of 20 images: the first without flash, one with each of 18 flashes, the last without flash again. Flashes
01 to 13 stand at head height, about 15° apart, from the viewer's right to the left, and 14 to 18 above these, in the same order.
Lightings are named by that; an older version called them light_00 … light_19.

What lies beside these folders, such as the other cameras, is not looked into, and listed folder by folder.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from legan.models.attributes import AttributeSchema
from legan.platform.data.skipped import HIDDEN, Skipped
from legan.platform.data.sources.source import SourceFaces
from legan.platform.errors import DataError

EXPRESSIONS = ("neutral", "smile", "surprise", "squint", "disgust", "scream")
FLASHES = (
    "side_right_90", "side_right_75", "right_60", "right_45", "slight_right_30", "slight_right_15", "front",
    "slight_left_15", "slight_left_30", "left_45", "left_60", "side_left_75", "side_left_90",
    "upper_right_45", "upper_right_30", "upper_front", "upper_left_30", "upper_left_45",
)  # fmt: skip
"""The illuminations 01 to 18: the viewer's side of the light, and about how many degrees it is from the camera."""
Unlit = Literal["one", "two"]
UNLIT: dict[Unlit, tuple[str, str]] = {"one": ("no_flash", "no_flash"), "two": ("no_flash_first", "no_flash_last")}
"""The illuminations 00 and 19, as one lighting or, as the paper counts them, as two."""
NOTES: dict[Unlit, str] = {
    "one": "the first and the last image of a burst, both without flash, are one lighting, no_flash",
    "two": "no_flash_first and no_flash_last look alike, since neither has a flash; --without-flash one makes them one lighting",
}

# (session, recording) → expression
RECORDINGS = {
    (1, 1): "neutral",
    (2, 1): "neutral",
    (3, 1): "neutral",
    (4, 1): "neutral",
    (4, 2): "neutral",
    (1, 2): "smile",
    (3, 2): "smile",
    (2, 2): "surprise",
    (2, 3): "squint",
    (3, 3): "disgust",
    (4, 3): "scream",
}
CAMERA = "05_1"
OTHER_SESSION = "none of session01 to session04"
# The paper tests on 34 of the 337 subjects. It says of no validation; a twentieth of the people are held out of its 303 for that.
TEST_SHARE = 34 / 337

_NAME = re.compile(r"(?P<subject>\d{3})_(?P<session>\d\d)_(?P<recording>\d\d)_051_(?P<light>[01]\d)\.\w+")


def multipie(root: Path, without_flash: Unlit = "two") -> SourceFaces:
    """All frontal images whose session and recording have an expression; DataError where the layout is another.

    Each recording has two images ``without_flash``, which are one lighting or two.
    """
    first, last = UNLIT[without_flash]
    lightings = (first, *FLASHES, last)
    records: list[tuple[str, str, str, str, int, int]] = []
    unusable: list[tuple[str, Skipped]] = []
    base = root
    if (root / "data").is_dir() and not list(root.glob("session*")):
        (base,) = _inside(root, root, unusable, ["data"], OTHER_SESSION)
    camera_folders = _camera_folders(base, root, unusable)

    for folder, subject, session, recording in camera_folders:
        for path in _inside(folder, root, unusable):
            relative, name = path.relative_to(root).as_posix(), _NAME.fullmatch(path.name)
            if name is None or path.is_dir():
                why = "its name is not SSS_SN_RN_051_II.png with an illumination of 00 to 19"
                unusable.append((relative, Skipped("misnamed", why)))
            elif (name["subject"], int(name["session"]), int(name["recording"])) != (subject, session, recording):
                why = "its name and its folders differ in subject, session or recording"
                unusable.append((relative, Skipped("misnamed", why)))
            else:
                expression, lighting = RECORDINGS[session, recording], lightings[int(name["light"])]
                records.append((relative, subject, expression, lighting, session, recording))

    if not records:
        found = f"{len(camera_folders)} folders {CAMERA} without such images" if camera_folders else "no such folder"
        raise DataError(
            f"{root} does not hold Multi-PIE: expected sessionNN/multiview/SSS/RR/{CAMERA}/SSS_SN_RN_051_II.png, found {found}; "
            "give the folder above session01 as --root."
        )

    columns = ["path", "subject", "expression", "lighting", "session", "recording"]
    table = pd.DataFrame(records, columns=columns).sort_values("path", ignore_index=True)
    names = tuple(dict.fromkeys(lightings))
    schema = AttributeSchema(EXPRESSIONS, names, {name: _mirrored(name) for name in names})
    info = {"without_flash": without_flash, "notes": [NOTES[without_flash]]}
    return SourceFaces("multipie", root, schema, table, unusable, test_share=TEST_SHARE, info=info)


def _mirrored(lighting: str) -> str:
    """The lighting of the other side; light from the middle, and none, stay themselves."""
    other = {"left": "right", "right": "left"}
    return "_".join(other.get(word, word) for word in lighting.split("_"))


def _camera_folders(base: Path, root: Path, left: list[tuple[str, Skipped]]) -> list[tuple[Path, str, int, int]]:
    """The frontal camera's folders with subject, session and recording; what lies beside them goes to ``left``."""
    found = []
    for session in _inside(base, root, left, [f"session{number:02d}" for number, _ in RECORDINGS], OTHER_SESSION):
        number = int(session.name.removeprefix("session"))
        recordings = [f"{recording:02d}" for its, recording in RECORDINGS if its == number]
        for views in _inside(session, root, left, ["multiview"], "no camera's photographs"):
            for subject in _inside(views, root, left):
                for recording in _inside(subject, root, left, recordings, "a recording without an expression"):
                    cameras = _inside(recording, root, left, [CAMERA], f"another camera than {CAMERA}")
                    found += [(camera, subject.name, number, int(recording.name)) for camera in cameras]
    return found


def _inside(
    folder: Path, root: Path, left: list[tuple[str, Skipped]], wanted: Sequence[str] | None = None, other: str = ""
) -> list[Path]:
    """What of a folder is wanted by its name (default: all but hidden things); the rest goes to ``left``, folders as a whole."""
    try:
        there = sorted(folder.iterdir())
    except OSError as error:
        kind = "unused" if isinstance(error, NotADirectoryError) else "unreadable"
        left.append((folder.relative_to(root).as_posix(), Skipped(kind, f"it cannot be looked into: {error.strerror}")))
        return []

    found = []
    for path in there:
        hidden = path.name.startswith(".")
        if not hidden and (wanted is None or path.name in wanted):
            found.append(path)
        else:
            shown = path.relative_to(root).as_posix() + ("/" if path.is_dir() else "")
            left.append((shown, HIDDEN if hidden else Skipped("unused", f"it is {other}")))
    return found
