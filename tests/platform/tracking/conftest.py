from pathlib import Path

import pytest

from legan.models.attributes import AttributeSchema
from legan.models.generator import Generator
from legan.platform.data.dataset import DEFAULT_ALIGNMENT
from legan.platform.model import Model, write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder as a run registers it."""
    schema = AttributeSchema(("neutral", "smile"), ("left", "front"))
    folder = tmp_path_factory.mktemp("models") / "model"
    write_model(folder, Model(Generator(2, 2, width=4, blocks=1), None, schema, 32, DEFAULT_ALIGNMENT))
    return folder
