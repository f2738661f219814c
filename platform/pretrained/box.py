"""The models in the box: trained ones that come in the package, each a model folder (platform/model.py) with its card.

``box:rendered`` is LEGAN on rendered faces of 64×64; benchmarks/results/model_in_the_box.py trained it.
"""

from pathlib import Path

from legan.platform.errors import CheckpointError
from legan.platform.tracking.places import default_home

BOX = "box:"
FOLDER = Path(__file__).parent
DEFAULT = f"{BOX}rendered"
"""What translates where no model is named and no champion is registered."""


def box_names() -> list[str]:
    """The models that there are, by the names that they have after ``box:``."""
    return sorted(path.parent.name for path in FOLDER.glob("*/model.json"))


def box_folder(source: str) -> Path:
    """The model folder that ``box:NAME`` means; CheckpointError where the package has none of that name."""
    name = source.removeprefix(BOX)
    if name not in box_names():
        there = ", ".join(f"{BOX}{each}" for each in box_names()) or "none"
        raise CheckpointError(f"{source} is no model of the package; there are: {there}.")
    return FOLDER / name


def in_box(source: str) -> str | None:
    """The ``box:NAME`` that ``source`` means, None where it means something else; a run or a folder goes before a bare name."""
    if source.startswith(BOX):
        return source
    taken = Path(source).exists() or (default_home() / source).exists()
    return f"{BOX}{source}" if source in box_names() and not taken else None
