"""Pretrained weights that are downloads: which files, whose, where they are looked for, and whether they are the right ones."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from legan.platform.errors import WeightsError, first_line, one_line
from legan.platform.files import named_folder, sha256, whole_file

CHUNK_BYTES, TIMEOUT_S = 1 << 20, 30.0
DEEP_EDITOR = "deep_white_balance"


@dataclass(frozen=True)
class PretrainedWeights:
    """A file of weights somebody else publishes; where it has no ``sha256``, it is known by Git's hash of it, ``git_blob``."""

    name: str
    file: str
    origin: str
    url: str
    sha256: str
    purpose: str
    without: str
    git_blob: str = ""

    def is_published(self, path: Path) -> bool:
        """Whether a file is this one."""
        return (sha256(path) == self.sha256) if self.sha256 else (_git_blob(path) == self.git_blob)


PRETRAINED = {
    weights.name: weights
    for weights in (
        PretrainedWeights(
            name="facenet",
            file="20180402-114759-vggface2.pt",
            origin="timesler/facenet-pytorch on GitHub, release v2.2.9",
            url="https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/20180402-114759-vggface2.pt",
            sha256="281cebca8662831adb987a874bdcb36e73f5b1c6dc5ee5878f305e985625d99b",
            purpose="identity network T and face matching with InceptionResnetV1 trained on VGGFace2",
            without="T is trained here: legan train identity",
        ),
        PretrainedWeights(
            name="inception",
            file="weights-inception-2015-12-05-6726825d.pth",
            origin="toshas/torch-fidelity on GitHub, release v0.2.0",
            url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
            sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
            purpose="FID and KID",
            without="FID and KID are left out; fd_identity and kd_identity measure with the matcher's features instead",
        ),
        PretrainedWeights(
            name="alexnet",
            file="alexnet-owt-7be5be79.pth",
            origin="torchvision's model zoo on download.pytorch.org",
            url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
            sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
            purpose="LPIPS",
            without="LPIPS is left out",
        ),
        PretrainedWeights(
            name=DEEP_EDITOR,
            file="net.pth",
            origin="mahmoudnafifi/Deep_White_Balance on GitHub, PyTorch/models/net.pth",
            url="https://github.com/mahmoudnafifi/Deep_White_Balance/raw/e37c0dd/PyTorch/models/net.pth",
            sha256="",
            git_blob="0203b455311bc3bef4965badd758ceca9853cb3e",
            purpose="the paper's white-balance editor, for non-commercial use only (CC BY-NC-SA 4.0)",
            without="white balance is by chromatic adaptation",
        ),
    )
}


def weights_folder() -> Path:
    """Where weights are looked for: $LEGAN_WEIGHTS, by default ./weights."""
    return named_folder("LEGAN_WEIGHTS")


def find_weights(name: str) -> Path:
    """Path of the weights of this name in ``PRETRAINED``; ValueError for another name.

    Raises WeightsError, which says whose file belongs into which folder, when it is not there.
    """
    if name not in PRETRAINED:
        raise ValueError(f"unknown weights {name!r}; known: {', '.join(PRETRAINED)}")
    weights = PRETRAINED[name]
    path = weights_folder() / weights.file
    if not path.is_file():
        raise WeightsError(
            f"the weights {weights.file} ({weights.purpose}) are not in {path.parent}; get them from {weights.origin} "
            f"({weights.url}) and put them there, or name their folder in LEGAN_WEIGHTS; `legan weights {name}` downloads them."
        )
    return path


def check_weights(name: str) -> Path:
    """``find_weights``, with the published file's checksum: WeightsError when it is another file."""
    path = find_weights(name)
    if not PRETRAINED[name].is_published(path):
        raise WeightsError(
            f"{path} is not the published file (it has another checksum); remove it and get it anew from "
            f"{PRETRAINED[name].origin} ({PRETRAINED[name].url}): `legan weights {name}`."
        )
    return path


def load_tensors(name: str) -> dict[str, Any]:
    """The tensors of the published file ``name``, and nothing else; WeightsError as ``check_weights``, or where it is damaged."""
    import torch

    from legan.models.identity import UNREADABLE

    path = check_weights(name)
    try:
        tensors: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise WeightsError(f"{path} cannot be read ({first_line(error)}); get it anew: `legan weights {name}`.") from error
    return tensors


def fetch_weights(name: str) -> Path:
    """Download the weights ``name`` into the folder, where they are whole and right or not at all.

    Nothing is fetched when they are there already. Raises WeightsError, which names file, origin and folder, when they cannot be
    had or come with another checksum.
    """
    weights, folder = PRETRAINED[name], weights_folder()
    path = folder / weights.file
    if path.is_file():
        return check_weights(name)

    by_hand = f"get {weights.file} from {weights.origin} ({weights.url}) by other means and put it into {folder}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with requests.get(weights.url, stream=True, timeout=TIMEOUT_S) as answer, whole_file(path) as draft:
            answer.raise_for_status()
            with draft.open("wb") as file:
                for chunk in answer.iter_content(CHUNK_BYTES):
                    file.write(chunk)

            if not weights.is_published(draft):
                raise WeightsError(
                    f"what {weights.url} sent is not the published file (it has another checksum) and was not kept; {by_hand}."
                )
    except (OSError, requests.RequestException) as error:
        raise WeightsError(f"{weights.file} cannot be downloaded ({one_line(error)}); {by_hand}.") from error

    return path


def _git_blob(path: Path) -> str:
    with path.open("rb") as file:
        head = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
        return hashlib.file_digest(file, head.copy).hexdigest()
