"""What is on this machine and what is not, with the way to get it: facts only, printed by ``legan doctor``."""

import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import psutil
import requests
import torch

from legan.models.dlib_identity import INSTALL, weights_file
from legan.platform.cluster import SHORTER, answers, no_room_for_sockets
from legan.platform.data.landmarks import WEIGHTS_URL, weights_path
from legan.platform.device import convolves_bf16
from legan.platform.errors import WeightsError
from legan.platform.processors import free_processors, usable_processors
from legan.platform.tracking.places import default_home, default_tracking_uri, shown, sqlite_file
from legan.platform.weights import PRETRAINED, check_weights, weights_folder

MIN_MEMORY_GB, MIN_DISK_GB = 4.0, 2.0
PACKAGES = ("torch", "torchvision", "ray", "mlflow", "optuna", "torchmetrics", "torch-fidelity", "lpips", "facenet-pytorch")
REINSTALL = "install legan again with its dependencies: pip install legan"


@dataclass(frozen=True)
class Fact:
    """One thing looked for. ``missing`` things are optional, a ``problem`` keeps something from working at all."""

    name: str
    status: Literal["ok", "missing", "problem"]
    found: str
    remedy: str = ""


def examine() -> list[Fact]:
    """Everything that is looked for, in the order of the report; takes a few seconds, sends nothing anywhere."""
    return [*_machine(), *_accelerators(), *_packages(), _ray(), _mlflow(), _mtcnn(), *_weights(), _dlib(), _landmarks()]


def healthy(facts: list[Fact]) -> bool:
    """Whether all that is required is there."""
    return all(fact.status != "problem" for fact in facts)


def _machine() -> Iterator[Fact]:
    yield Fact("Python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    usable, free = usable_processors(), free_processors()
    others = "" if free == usable else f", {free} free: a training takes {free} thread{'s' if free > 1 else ''} now (--threads)"
    yield Fact("cores", "ok", f"{usable} usable of {os.cpu_count()}{others}")
    memory = psutil.virtual_memory()
    total, free = memory.total / 1e9, memory.available / 1e9
    found = f"{free:.1f} GB free of {total:.1f} GB"
    yield _at_least("memory", free, MIN_MEMORY_GB, found, "end other programs; a smaller batch_size needs less")
    home = default_home()
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    disk = shutil.disk_usage(place).free / 1e9
    yield _at_least(
        "disk", disk, MIN_DISK_GB, f"{disk:.1f} GB free for {home}", "make room, or name another folder in LEGAN_HOME"
    )


def _at_least(name: str, value: float, least: float, found: str, remedy: str) -> Fact:
    if value >= least:
        return Fact(name, "ok", found)
    return Fact(name, "problem", f"{found}, needed are {least:g} GB", remedy)


def _accelerators() -> Iterator[Fact]:
    able = torch.cpu.get_capabilities()
    kinds = {
        "amx_bf16": "AMX, bf16 in hardware",
        "avx512_bf16": "AVX-512, bf16 in hardware",
        "avx512_f": "AVX-512",
        "avx2": "AVX2",
    }
    best = next((text for key, text in kinds.items() if able.get(key)), "no vector instructions known to torch")
    slow = "" if convolves_bf16() else "; its convolutions know no bf16, so precision=auto is fp32 and bf16 is refused"
    yield Fact("processor", "ok", f"{able.get('cpu_name') or platform.processor() or 'unknown'}: {best}{slow}")
    if not torch.cuda.is_available():
        remedy = "the preset quick does without; else install NVIDIA's driver, or name a cluster with GPUs in RAY_ADDRESS"
        yield Fact("GPU", "missing", "none that torch can use", remedy)
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        bf16 = "bf16" if about.major >= 8 else "no bf16: keep precision=fp32"
        yield Fact(f"GPU {index}", "ok", f"{about.name}, {about.total_memory / 2**30:.0f} GiB, {bf16}")


def _packages() -> Iterator[Fact]:
    for name in PACKAGES:
        try:
            yield Fact(name, "ok", version(name))
        except PackageNotFoundError:
            yield Fact(name, "problem", "not installed", REINSTALL)


def _ray() -> Fact:
    address = os.environ.get("RAY_ADDRESS")
    if address and answers(address):
        return Fact("Ray cluster", "ok", f"answers at {address}")
    if address:
        return Fact("Ray cluster", "problem", f"nothing answers at {address}", "start it, or correct or unset RAY_ADDRESS")
    too_long = no_room_for_sockets()
    if too_long is not None:
        return Fact("Ray cluster", "problem", f"the path {too_long} is too long for the sockets of one on this machine", SHORTER)
    return Fact("Ray cluster", "ok", "RAY_ADDRESS is not set: one is started on this machine when needed")


def _mlflow() -> Fact:
    uri = default_tracking_uri()
    database = sqlite_file(uri)
    if database is not None:
        place = next(folder for folder in database.parents if folder.exists())
        if not place.is_dir() or not os.access(database if database.exists() else place, os.W_OK):
            return Fact("MLflow store", "problem", f"{database} cannot be written", "name a folder of yours in LEGAN_HOME")
        return Fact("MLflow store", "ok", f"{database}{'' if database.exists() else ', made when first needed'}")
    if not uri.startswith("http"):
        return Fact("MLflow store", "ok", f"{shown(uri)} (not checked)")
    try:
        answer = requests.get(f"{uri.rstrip('/')}/version", timeout=5)
        answer.raise_for_status()
    except requests.RequestException as error:
        remedy = "start it, or correct or unset MLFLOW_TRACKING_URI; runs are recorded meanwhile and sent later by legan sync"
        return Fact("MLflow store", "problem", f"{shown(uri)} does not answer ({type(error).__name__})", remedy)
    return Fact("MLflow store", "ok", f"{shown(uri)}, MLflow {answer.text[:20]}")


def _mtcnn() -> Fact:
    package = importlib.util.find_spec("facenet_pytorch")
    folders = list(package.submodule_search_locations or []) if package else []
    if folders and all((Path(folders[0], "data", f"{net}net.pt")).is_file() for net in "pro"):
        return Fact("MTCNN weights", "ok", "in facenet-pytorch")
    return Fact("MTCNN weights", "problem", "not in the facenet-pytorch package", REINSTALL)


def _weights() -> Iterator[Fact]:
    for weights in PRETRAINED.values():
        name = f"{weights.name} weights"
        try:
            yield Fact(name, "ok", str(check_weights(weights.name)))
        except WeightsError:
            there = (weights_folder() / weights.file).is_file()
            remedy = (
                f"for {weights.purpose}: get {weights.file} from {weights.origin} ({weights.url}) and put it into "
                f"{weights_folder()}, or let `legan weights {weights.name}` do so; without it, {weights.without}"
            )
            wrong = f"{weights.file} in {weights_folder()} is another file than the published one"
            yield Fact(name, "missing", wrong if there else f"{weights.file} is not in {weights_folder()}", remedy)


def _dlib() -> Fact:
    if weights_file() is not None:
        return Fact("dlib", "ok", version("dlib-bin"))
    without = "without it, --matcher takes a run of `legan train identity`, or facenet"
    return Fact("dlib", "missing", "not installed", f"for --matcher dlib: {INSTALL}; {without}")


def _landmarks() -> Fact:
    without = "only `legan data prepare --landmarks exact` needs it; other masks are a mean shape on MTCNN's five points"
    try:
        found = version("face-alignment")
    except PackageNotFoundError:
        return Fact("face-alignment", "missing", "not installed", f"pip install 'legan[face-alignment]'; {without}")
    path = weights_path()
    if not path.is_file():
        remedy = f"download {WEIGHTS_URL} to {path}; {without}"
        return Fact("face-alignment", "missing", f"{found}, but its network {path.name} is not in {path.parent}", remedy)
    return Fact("face-alignment", "ok", found)
