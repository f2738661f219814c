"""Which project files a training, a sweep and a translation pass.

    python tests/walks.py [training] [sweep] [translation]

A file is counted when one of its functions is called on the walk, and only where somebody who follows the walk opens it:

- not for an import, nor for what only an import calls: bodies of modules and classes, decorators, the mounting of commands;
- not the networks in ``models/``, nor what everything stands on (``BASIS``);
- of a command, what its own thread calls: not what works ahead or delivers to MLflow beside it;
- of a sweep's other processes, only the files of ``sweeps/``: a trial is a training and an evaluation, walks of their own.

training      `legan train legan` with T and Q in one process (`--workers 0`), from the command's function to the end
sweep         `legan sweep run upsampling` with one seed, from the command's function to the end of the report
translation   one `POST /v1/translate` with an aligned image and a rating by Q, to a server that has started, in all threads

At 9b78928 these were 27, 39 and 19 files. All that was called there, in any thread and process, were 41, 70 and 24. Since a
model says at the end of its training what it carries and was measured at, a training passes four more: what measures it
(stated.py, and the masks it takes), the model card, and the scale of ratings. How every command takes its words (grammar.py) is
below them all, as Typer is.
"""

import asyncio
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import called
import httpx
import numpy as np
import uvicorn
import yaml
from PIL import Image
from tiny import RATER, SCHEDULE, draw_data, save_networks

from legan.models.generator import Generator
from legan.models.quality import QualityModel
from legan.platform.data.dataset import DEFAULT_ALIGNMENT, open_dataset
from legan.platform.model import Model, write_model
from legan.serve.api.routes import make_api
from legan.serve.api.session import Limits
from legan.serve.deploy.local import http_settings, local_backend
from legan.serve.study.app import bind

REPOSITORY = Path(__file__).parents[1]
UNDER_ALL = ("errors", "files", "network_files", "settings", "pixels", "device", "processors")
BASIS = ("platform/commands/grammar.py", *(f"platform/{name}.py" for name in UNDER_ALL))
TRAINING = 24
SWEEP = 28
TRANSLATION = 18
"""The most files that each walk may pass."""


class Walk(NamedTuple):
    """The files of a walk, in the order of their first calls."""

    counted: list[str]
    others: list[str]
    """Called too, but not counted."""


def walk_training(folder: Path) -> Walk:
    """Train LEGAN for a few steps, with T and Q."""
    options = _inputs(folder, "identity", "quality")
    return _command(folder, "train", "legan", *options, "--workers", "0")


def walk_sweep(folder: Path) -> Walk:
    """Run the suite upsampling with one seed, and report."""
    options = _inputs(folder, "identity", "quality", "classifier", "matcher")
    return _command(folder, "sweep", "run", "upsampling", *options, "--seeds", "1", "--pairs", "6")


def walk_translation(folder: Path) -> Walk:
    """Translate an aligned face over HTTP, and have Q rate it."""
    draw_data(folder / "data")
    generator, quality = Generator(3, 4, width=4, blocks=1), QualityModel(**RATER)
    write_model(folder / "model", Model(generator, quality, open_dataset(folder / "data").schema, 32, DEFAULT_ALIGNMENT, {}))
    script = "import sys, pathlib, walks; walks.translate_once(pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", script, str(folder)], cwd=Path(__file__).parent, check=True)
    return _walk(folder / "log", lambda *_: True)


def translate_once(folder: Path) -> None:
    """Serve the model of ``folder`` in this process, and write down what one request calls."""
    listener = bind("127.0.0.1", 0)
    application = make_api(local_backend(str(folder / "model"), device="cpu"), Limits())
    server = uvicorn.Server(http_settings(application))
    png = io.BytesIO()
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(png, "PNG")
    asked = {"expression": "smile", "lighting": "left", "aligned": "true"}

    async def ask() -> httpx.Response:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1/translate"
        async with httpx.AsyncClient() as client:
            called.write_down_calls(folder / "log", REPOSITORY)
            answer = await client.post(url, data=asked, files={"image": png.getvalue()}, headers={"accept": "application/json"})
            sys.settrace(None)
        server.should_exit = True
        await serving
        return answer

    answer = asyncio.run(ask()).raise_for_status().json()
    if answer["results"][0]["quality"] is None:
        raise AssertionError(answer)


def _inputs(folder: Path, *networks: str) -> list[str]:
    draw_data(folder / "data")
    saved = save_networks(folder / "networks", folder / "data")
    preset = folder / "preset.yaml"
    preset.write_text(yaml.safe_dump({"legan": SCHEDULE}))
    given = {"preset": preset, "data": folder / "data", **{name: saved[name] for name in networks}}
    return [word for name, path in given.items() for word in (f"--{name}", str(path))]


def _command(folder: Path, *words: str) -> Walk:
    site = folder / "site"
    site.mkdir()
    shutil.copy(called.__file__, site / "sitecustomize.py")
    elsewhere = ("MLFLOW_TRACKING_URI", "RAY_ADDRESS")
    environment = {name: value for name, value in os.environ.items() if name not in elsewhere} | {
        "PYTHONPATH": os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "LEGAN_HOME": str(folder / "runs"),
        called.LOG: str(folder / "log"),
        called.PROJECT: str(REPOSITORY),
    }

    command = [sys.executable, "-c", "import legan.cli; legan.cli.main()", *words]
    with subprocess.Popen(
        command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        printed, _ = process.communicate()
    if process.returncode:
        raise AssertionError(printed)

    def is_followed(number: int, thread: str, file: str) -> bool:
        return thread == "main" if number == process.pid else file.startswith("sweeps/")

    return _walk(folder / "log", is_followed)


def _walk(log: Path, is_followed: Callable[[int, str, str], bool]) -> Walk:
    calls = [line.split(" ") for line in log.read_text().splitlines()]
    followed = [file for number, thread, file in calls if is_followed(int(number), thread, file)]
    counted = [file for file in dict.fromkeys(followed) if not file.startswith("models/") and file not in BASIS]
    return Walk(counted, [file for file in dict.fromkeys(file for _, _, file in calls) if file not in counted])


WALKS: dict[str, tuple[Callable[[Path], Walk], int]] = {
    "training": (walk_training, TRAINING),
    "sweep": (walk_sweep, SWEEP),
    "translation": (walk_translation, TRANSLATION),
}


def main(names: Sequence[str]) -> int:
    """Print the files of each walk; 1 where there are more than its bound."""
    passed = 0
    for name in names or WALKS:
        walk, bound = WALKS[name]
        with tempfile.TemporaryDirectory(prefix="walk") as folder:
            counted, others = walk(Path(folder))
        print(f"{name}: {len(counted)} files, at most {bound}")
        print("\n".join(f"    {file}" for file in counted))
        print("  called too, not counted: " + ", ".join(others), flush=True)
        passed = max(passed, int(len(counted) > bound))
    return passed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
