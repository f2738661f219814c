"""Sweeps as small as they get: 32×32 blobs, networks of width 4, a few steps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tests.tiny import RATER, SCHEDULE, save_networks

from legan.models.quality import QualityModel
from legan.platform.model import save_network
from legan.sweeps.sweep import Sweep, SweepSettings, create_sweep


@pytest.fixture(scope="session")
def networks(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of T, Q and the two judges, untrained."""
    return save_networks(tmp_path_factory.mktemp("networks"), tiny_data)


@pytest.fixture(scope="session")
def broken_quality(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a Q that rates nothing but NaN."""
    broken = QualityModel(**RATER)
    with torch.no_grad():
        broken.fc1.bias.fill_(float("nan"))
    folder = tmp_path_factory.mktemp("broken") / "Q"
    save_network(folder, "quality", RATER, broken)
    return folder


@pytest.fixture
def judging_quality(tmp_path: Path) -> Path:
    """Folder of a Q of other raters than the one that trials are trained with."""
    torch.manual_seed(7)
    network = QualityModel(**RATER)
    save_network(tmp_path / "judging", "quality", RATER, network, simulated_ratings=True, ratings_panel="judging")
    return tmp_path / "judging"


@pytest.fixture
def preset(tmp_path: Path) -> Path:
    """A preset's file, beside the others of the test."""
    file = tmp_path / "preset.yaml"
    file.write_text(yaml.safe_dump({"legan": SCHEDULE}))
    return file


@pytest.fixture
def asked(tiny_data: Path, networks: dict[str, Path], preset: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a sweep is asked for, but for the suite."""
    monkeypatch.setenv("LEGAN_WEIGHTS", str(preset.parent / "no-weights"))
    return {"preset": str(preset), "data": tiny_data, "pairs": 6, "seeds": 1, **networks}


@pytest.fixture
def new_sweep(ready: Path, asked: dict[str, Any]) -> Callable[..., Sweep]:
    """Makes a sweep: ``new_sweep("name", suite="upsampling", …)``."""

    def make(name: str = "tiny", **values: Any) -> Sweep:
        return create_sweep(ready, name, SweepSettings.model_validate(asked | {"suite": "upsampling"} | values))

    return make
