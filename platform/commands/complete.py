"""What the shell offers for a value (``legan --install-completion``): presets, sources, runs, models and a model's classes.

These functions run at each press of the Tab key: they import nothing heavy, and offer nothing where something is wrong.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import typer

from legan.platform.data.sources.about import SOURCES
from legan.platform.tracking.places import default_home

CHAMPION = "models:/legan@champion"


def names_or_paths(names: Iterable[str], incomplete: str, files: str = "") -> list[str]:
    """Those of ``names`` that go on from what is typed, then folders, and files of the pattern ``files``."""
    fitting = [name for name in names if name.startswith(incomplete)]
    folder = Path(incomplete if incomplete.endswith("/") else incomplete.rpartition("/")[0] or ".")
    try:
        found = sorted(path for path in folder.expanduser().iterdir() if not path.name.startswith("."))
    except OSError:
        return fitting
    before = incomplete[: incomplete.rfind("/") + 1]
    shown = [f"{before}{path.name}{'/' * path.is_dir()}" for path in found if path.is_dir() or (files and path.match(files))]
    return [*fitting, *(name for name in shown if name.startswith(incomplete))]


def presets(incomplete: str) -> list[str]:
    """The presets, and YAML files."""
    from legan.platform.config import preset_names

    return names_or_paths(preset_names(), incomplete, "*.yaml")


def sources(incomplete: str) -> list[str]:
    """The sources of `legan data prepare`."""
    return [name for name in SOURCES if name.startswith(incomplete)]


def white_balances(incomplete: str) -> list[str]:
    """The settings of a white balance."""
    from legan.platform.settings import WhiteBalance

    return [name for name in get_args(WhiteBalance) if name.startswith(incomplete)]


def runs(incomplete: str) -> list[str]:
    """The runs of this home, the newest first, and folders."""
    return names_or_paths(_below_home("config.yaml"), incomplete)


def sweeps(incomplete: str) -> list[str]:
    """The sweeps of this home, the newest first, and folders."""
    return names_or_paths(_below_home("sweep.yaml"), incomplete)


def models(incomplete: str) -> list[str]:
    """The champion, the runs of this home, the box's models, and folders."""
    from legan.platform.pretrained.box import BOX, box_names

    return names_or_paths([CHAMPION, *_below_home("config.yaml"), *(f"{BOX}{name}" for name in box_names())], incomplete)


def expressions(ctx: typer.Context, incomplete: str) -> list[str]:
    """The expressions of the model that ``--model`` names."""
    return _classes(ctx, "expressions", incomplete)


def lightings(ctx: typer.Context, incomplete: str) -> list[str]:
    """The lightings of the model that ``--model`` names."""
    return _classes(ctx, "lightings", incomplete)


def _classes(ctx: typer.Context, axis: str, incomplete: str) -> list[str]:
    from legan.platform.pretrained.box import BOX, FOLDER, box_names

    named = str(ctx.params.get("model") or "")
    model = Path(named).expanduser()
    boxed = [FOLDER / name for name in box_names() if name == named.removeprefix(BOX)]
    for folder in (model, model / "model", default_home() / model / "model", *boxed):
        try:
            about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
            names = [*about["schema"][axis], *(["keep"] if "predictor" in about.get("networks", ()) else [])]
            return [str(name) for name in names if str(name).startswith(incomplete)]
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return []


def _below_home(file: str) -> list[str]:
    """Names of the folders below the home that hold ``file``, the newest first."""
    dated = [(path.stat().st_mtime, path.parent.name) for path in default_home().glob(f"*/{file}")]
    return [name for _, name in sorted(dated, reverse=True)]
