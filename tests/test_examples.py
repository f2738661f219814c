"""The examples in docstrings give what they say, in a folder with a tiny data set, a tiny model, a photograph, and a server."""

import doctest
import importlib
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.serve.conftest import run_server, tiny_model
from tests.tiny import draw_data

from legan.platform.data.rendered.faces import render_faces
from legan.platform.model import write_model
from legan.serve.deploy.local import local_backend

REPOSITORY = Path(__file__).parents[1]
FOLDERS = ("models", "platform", "sweeps", "serve")


def modules() -> list[str]:
    """Those with an example."""
    files = [file for folder in FOLDERS for file in sorted((REPOSITORY / folder).rglob("*.py"))]
    named = {file: ".".join(["legan", *file.relative_to(REPOSITORY).with_suffix("").parts]) for file in files}
    named[REPOSITORY / "src" / "legan" / "__init__.py"] = "legan"
    return [name.removesuffix(".__init__") for file, name in named.items() if "\n    >>> " in file.read_text()]


def test_what_users_import_has_examples() -> None:
    assert {
        "legan",
        "legan.models.attributes",
        "legan.models.generator",
        "legan.platform.data.dataset",
        "legan.platform.evaluation.metric_names",
        "legan.platform.model",
        "legan.serve.client.clients",
        "legan.serve.engine",
    } <= set(modules())


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``faces``, ``model`` and ``photo.jpg``, a rendered person on grey."""
    folder = tmp_path_factory.mktemp("examples")
    draw_data(folder / "faces")
    write_model(folder / "model", tiny_model())
    photo = np.full((240, 240, 3), 90, np.uint8)
    photo[40:200, 40:200] = render_faces(24, size=160, expressions=("neutral",), lightings=("front",)).images[0, 0]
    Image.fromarray(photo).save(folder / "photo.jpg", quality=95)
    return folder


@pytest.fixture(scope="module")
def given(here: Path) -> Iterator[dict[str, Any]]:
    """What examples may use without making it: ``url``, a server of the model."""
    with run_server(local_backend(str(here / "model"), device="cpu")) as server:
        yield {"url": server.url}


@pytest.mark.filterwarnings("ignore:note. this model does not say what it was trained on")
@pytest.mark.parametrize("name", modules())
def test_examples_give_what_they_say(
    name: str, here: Path, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(here)
    result = doctest.testmod(importlib.import_module(name), extraglobs=given)
    assert result.failed == 0, capsys.readouterr().out
    assert result.attempted > 0


def test_the_page_on_python_gives_what_it_says(
    here: Path, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(here)
    blocks = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / "python.md").read_text(encoding="utf-8"), re.DOTALL)
    (here / "page.py").write_text("\n".join(blocks), encoding="utf-8")
    with pytest.warns(UserWarning, match="this model does not say what it was trained on"):
        runpy.run_path("page.py", given)
    assert "expression: 'grin' is unknown; this model knows neutral, smile" in capsys.readouterr().out
    assert all((here / name).is_file() for name in ("face.png", "whole.png", "all.png"))
