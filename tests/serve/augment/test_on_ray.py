"""``legan augment`` on a real Ray cluster, with processes killed in mid-run, and its memory."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from legan.models.generator import Generator
from legan.platform.data.dataset import DEFAULT_ALIGNMENT, open_dataset
from legan.platform.data.write import write_dataset
from legan.platform.device import WORKERS
from legan.platform.model import Model, write_model
from legan.serve.augment.job import augment
from legan.serve.augment.request import AugmentRequest

# Ray Data warns of settings that its own defaults make, and uses what it deprecates.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray", "ignore:.*is deprecated:DeprecationWarning")

SIZE, PARTS = 32, 9  # 72 faces × 8 = 576 jobs, 64 a part


@pytest.fixture(scope="module")
def model(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    generator = Generator(3, 4, width=4, blocks=0, upsampling="bilinear")
    folder = tmp_path_factory.mktemp("model") / "m"
    write_model(folder, Model(generator, None, open_dataset(tiny_data).schema, SIZE, DEFAULT_ALIGNMENT))
    return folder


@pytest.fixture(scope="module")
def plain(tiny_data: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an undisturbed run without Ray makes."""
    out = tmp_path_factory.mktemp("plain") / "out"
    augment(AugmentRequest(tiny_data, out, str(model), random=8, workers=0), lambda _: None)
    return out


def same(one: Path, other: Path) -> bool:
    return all((one / n).read_bytes() == (other / n).read_bytes() for n in ("images.npy", "hulls.npy", "faces.parquet"))


def finished(out: Path) -> dict[str, tuple[int, int]]:
    """The parts that are on the disk, each with what changes if it is written again."""
    found = {}
    with suppress(FileNotFoundError):  # the result is there, and they are being removed
        for part in out.with_name(f"{out.name}.partial").glob("part_*.npz"):
            about = part.stat()
            found[part.name] = (about.st_ino, about.st_mtime_ns)
    return found


def wait_for(done: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """Workers that leave a mark of every part that they begin, and wait while the file ``hold`` is there."""
    marks = tmp_path / "marks"
    marks.mkdir()
    (marks / "hold").touch()
    return marks


PATCH = """
import os, sys, time
from pathlib import Path
from legan.serve.augment import job as module
marks = Path(sys.argv[4])
class Slow(module._Actor):
    def __call__(self, batch):
        part = int(batch["part"].iloc[0])
        (marks / f"{part}-{os.getpid()}-{time.monotonic_ns()}").touch()
        while part >= 3 and (marks / "hold").exists():
            time.sleep(0.05)
        return super().__call__(batch)
module._Actor = Slow
"""

CHILD = (
    PATCH
    + """
from legan.platform.cluster import connect
from legan.serve.augment.request import AugmentRequest
connect(sys.argv[5])
lines = []
module.augment(AugmentRequest(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], random=8, workers=1), lines.append)
print(lines)
"""
)


def begun(marks: Path) -> list[int]:
    return [int(mark.name.split("-")[0]) for mark in marks.glob("*-*")]


def child(tiny_data: Path, out: Path, model: Path, marks: Path) -> subprocess.Popen[str]:
    import ray

    address = ray.get_runtime_context().gcs_address
    arguments = [str(tiny_data), str(out), str(model), str(marks), address]
    return subprocess.Popen([sys.executable, "-c", CHILD, *arguments], stdout=subprocess.PIPE, text=True)


def test_on_ray_the_result_is_that_of_one_process(
    tiny_data: Path, model: Path, plain: Path, tmp_path: Path, ray_cluster: None
) -> None:
    import ray

    lines: list[str] = []
    augment(AugmentRequest(tiny_data, tmp_path / "out", str(model), random=8, workers=2), lines.append)
    assert same(plain, tmp_path / "out")
    assert ray.is_initialized()
    assert any("576 of 576 images (100%)" in line and "images/s" in line for line in lines)


@pytest.mark.long
@pytest.mark.kills
def test_a_killed_driver_goes_on_without_a_part_lost_or_done_twice(
    tiny_data: Path, model: Path, plain: Path, tmp_path: Path, slow: Path, ray_cluster: None
) -> None:
    out = tmp_path / "out"
    process = child(tiny_data, out, model, slow)
    wait_for(lambda: len(finished(out)) >= 3 and len(begun(slow)) >= 4)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = finished(out)
    assert sorted(before) == [f"part_{part:07d}.npz" for part in range(3)]
    assert not out.exists()
    # The dead driver's worker waits on a part; Ray ends it with its job.
    pids = {int(mark.name.split("-")[1]) for mark in slow.glob("*-*")}
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in pids))
    first = begun(slow)
    (slow / "hold").unlink()
    process = child(tiny_data, out, model, slow)
    printed = process.communicate(timeout=120)[0]
    assert process.returncode == 0
    assert "192 of 576 images were done before" in printed
    second = begun(slow)
    for part in first:
        second.remove(part)
    assert sorted(second) == list(range(3, PARTS))  # what was finished is not begun again
    assert same(plain, out)


@pytest.mark.long
@pytest.mark.kills
def test_a_killed_worker_is_replaced_and_no_row_is_lost(
    tiny_data: Path, model: Path, plain: Path, tmp_path: Path, slow: Path, ray_cluster: None
) -> None:
    out = tmp_path / "out"
    process = child(tiny_data, out, model, slow)
    wait_for(lambda: len(finished(out)) >= 3 and len(begun(slow)) >= 4)
    before = finished(out)
    (victim,) = {int(mark.name.split("-")[1]) for mark in slow.glob("*-*")}
    os.kill(victim, signal.SIGKILL)
    (slow / "hold").unlink()
    after: dict[str, tuple[int, int]] = {}

    def watch() -> None:
        while process.poll() is None:
            after.update(finished(out))
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    process.communicate(timeout=120)
    watcher.join()
    assert process.returncode == 0
    assert len({mark.name.split("-")[1] for mark in slow.glob("*-*")}) == 2  # another process did the rest
    assert all(after[name] == about for name, about in before.items())  # finished parts were not written again
    assert sorted(set(begun(slow))) == list(range(PARTS))
    assert same(plain, out)


MEMORY = """
import re, sys, threading, torch
from pathlib import Path
from legan.platform.data import stream
from legan.serve.augment import input as augment_input
from legan.serve.augment.job import augment
from legan.serve.augment.request import AugmentRequest
torch.set_num_threads(1)
stream.ROW_GROUP = augment_input._ROWS_AT_ONCE = 256

def augmented(source, out):
    # The largest memory in KB that was the process's own: pages of mapped files are the kernel's to take back.
    peak, over = 0, threading.Event()

    def watch():
        nonlocal peak
        while not over.wait(0.005):
            peak = max(peak, int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]))

    watcher = threading.Thread(target=watch)
    watcher.start()
    augment(AugmentRequest(Path(source), Path(out), sys.argv[1], random=1, workers=0, originals=True), lambda line: None)
    over.set()
    watcher.join()
    return peak

small, large, out = sys.argv[2:]
augmented(small, out + "-first")  # what libraries keep from their first use on
print(augmented(small, out + "-small"), augmented(large, out + "-large"))
"""
# One arena, so that it is not chance which threads share freed memory.
PLAIN_ALLOCATORS = {**WORKERS, "ARROW_DEFAULT_MEMORY_POOL": "system"}


@pytest.mark.long
def test_memory_does_not_grow_with_the_input(tiny_data: Path, model: Path, tmp_path: Path) -> None:
    small = open_dataset(tiny_data)
    folders, pixels = [], []
    for copies in (12, 48):
        rows = np.tile(np.arange(len(small)), copies)
        folders.append(tmp_path / f"in{copies}")
        write_dataset(
            folders[-1], name="many", schema=small.schema, faces=small.faces.iloc[rows],
            images=(image for row in rows for image in (small.images[row],)), hulls=small.packed_hulls[rows], source="tests",
        )  # fmt: skip
        pixels.append((folders[-1] / "images.npy").stat().st_size / 2**20)
    command = [sys.executable, "-c", MEMORY, str(model), *map(str, folders), str(tmp_path / "out")]
    done = subprocess.run(command, env=os.environ | PLAIN_ALLOCATORS, capture_output=True, text=True, check=True, timeout=250)
    peaks = [int(peak) / 1024 for peak in done.stdout.splitlines()[-1].split()]
    assert len(open_dataset(tmp_path / "out-large")) == 2 * 48 * len(small)
    # 7 MB of pixels more are read and 15 MB written; what may be held of a row are labels and its subject's split.
    assert pixels[1] - pixels[0] > 7
    assert peaks[1] - peaks[0] < 4, peaks
