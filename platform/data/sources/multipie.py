"""CMU Multi-PIE as it lies on disk: the frontal camera, 6 expressions × 20 lightings.

    ROOT/sessionNN/multiview/SSS/RR/05_1/SSS_SN_RN_051_II.png     (ROOT/data/sessionNN/… as well)

SSS is the subject, SN the session, RN the recording, 051 the frontal camera 05_1 and II the illumination 00…19. Session and
recording together give the expression. Lightings are named by their number, light_00 … light_19: which flash stands
where is not documented in public, so the flip map is empty and images are not mirrored.
"""

import re
from pathlib import Path

import pandas as pd

from legan.models.attributes import AttributeSchema
from legan.platform.data.skipped import Skipped
from legan.platform.data.sources.source import SourceFaces
from legan.platform.errors import DataError

EXPRESSIONS = ("neutral", "smile", "surprise", "squint", "disgust", "scream")
LIGHTINGS = tuple(f"light_{number:02d}" for number in range(20))

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
# The paper tests on 34 of the 337 subjects.
TEST_SHARE = 34 / 337

_NAME = re.compile(r"(?P<subject>\d{3})_(?P<session>\d\d)_(?P<recording>\d\d)_051_(?P<light>[01]\d)\.png")


def multipie(root: Path) -> SourceFaces:
    """All frontal images whose session and recording have an expression; DataError where the layout is another."""
    base = root / "data" if (root / "data").is_dir() and not list(root.glob("session*")) else root
    records, unusable, camera_folders = [], [], 0

    for session, recording in sorted(RECORDINGS):
        for folder in sorted(base.glob(f"session{session:02d}/multiview/*/{recording:02d}/{CAMERA}")):
            camera_folders += 1
            subject = folder.parent.parent.name
            for path in sorted(folder.iterdir()):
                relative = path.relative_to(root).as_posix()
                name = _NAME.fullmatch(path.name)
                if name is None:
                    why = "its name is not SSS_SN_RN_051_II.png with an illumination of 00 to 19"
                    unusable.append((relative, Skipped("misnamed", why)))
                elif (name["subject"], int(name["session"]), int(name["recording"])) != (subject, session, recording):
                    why = "its name and its folders differ in subject, session or recording"
                    unusable.append((relative, Skipped("misnamed", why)))
                else:
                    expression, lighting = RECORDINGS[session, recording], f"light_{name['light']}"
                    records.append((relative, subject, expression, lighting, session, recording))

    if not records:
        found = f"{camera_folders} folders {CAMERA} without such images" if camera_folders else "no such folder"
        raise DataError(
            f"{root} does not hold Multi-PIE: expected sessionNN/multiview/SSS/RR/{CAMERA}/SSS_SN_RN_051_II.png, found {found}; "
            "give the folder above session01 as --root."
        )

    columns = ["path", "subject", "expression", "lighting", "session", "recording"]
    table = pd.DataFrame(records, columns=columns).sort_values("path", ignore_index=True)
    schema = AttributeSchema(EXPRESSIONS, LIGHTINGS)
    return SourceFaces("multipie", root, schema, table, unusable, test_share=TEST_SHARE)
