"""Homes with runs, as trainings leave them, whose models nobody trained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.platform.catalogue.known import make_model, write_negatives
from tests.tiny import SCHEDULE

from legan.platform.config import check_settings, flatten
from legan.platform.model import write_model
from legan.platform.settings import LeganSettings
from legan.platform.tracking.places import default_tracking_uri
from legan.platform.tracking.tracker import Tracker
from legan.platform.training.run_folder import Run, create_run

VALIDATED = ((2, 0.4), (4, 0.2), (6, 0.3))


@pytest.fixture
def negatives(tmp_path: Path) -> Path:
    return write_negatives(tmp_path / "negatives")


@pytest.fixture
def new_run(ready: Path, negatives: Path) -> Callable[..., Run]:
    """Makes a run whose model answers with ``grey`` or ``noise``: ``new_run("first", "grey", register=True)``."""

    def make(name: str, kind: str, data: Path = negatives, register: bool = False, **changes: Any) -> Run:
        values = SCHEDULE | {"data": data, "workers": 0, "loss": {"lambda_3": 0, "lambda_4": 0}} | changes
        settings, problems = check_settings(LeganSettings, values)
        assert settings is not None, problems
        run, model = create_run(ready, "legan", settings, name), make_model(data, kind)
        tags = {"kind": "legan", "data": str(data), "data_hash": str(model.info["data_hash"])}
        params = flatten(settings.model_dump(mode="json"))
        uri = default_tracking_uri()
        tracker = Tracker(run.folder, experiment="legan", run_name=name, params=params, tags=tags, uri=uri)
        for step, value in VALIDATED:
            tracker.log_metrics({"val/l1_to_target": value}, step)
        write_model(run.model, model)
        if register:
            tracker.register_model(run.model)
        assert tracker.close(timeout_s=120) == 0
        return run

    return make
