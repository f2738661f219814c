"""dlib's face descriptor, which judges whom outputs show; nobody here trained it, and nothing is trained with it.

Shapes: B batch, S image size. Images are RGB B×3×S×S in [-1, 1], aligned as all data sets are: eyes at 0.335 and 0.665 of the
width, at 0.4 of the height.
"""

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from legan.models.identity import FacenetIdentity, LightCNN

FILE = "dlib_face_recognition_resnet_model_v1.dat"
SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
INSTALL = "pip install 'legan[dlib]'"
SIDE, LEFT, TOP, CHIP = 169, 9, 20, 150
"""An image is brought to SIDE pixels; then CHIP pixels from LEFT and TOP on are what dlib's chip of an upright face shows."""


class DlibIdentity(nn.Module):
    """The ResNet of dlib (King 2017), by dlib itself: 128 features, whose Euclidean distance tells people apart.

    It runs on the CPU and has no gradients. Its weights come with the package face_recognition_models and stay in there: what is
    kept of them is their SHA-256. ValueError where a package is missing, or holds another file.
    """

    sha256: Tensor

    def __init__(self) -> None:
        super().__init__()
        path = weights_file()
        if path is None:
            raise ValueError(f"dlib's face descriptor needs the packages dlib-bin and face_recognition_models: {INSTALL}")
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != SHA256:
                raise ValueError(f"{path} is not the published file; install face_recognition_models anew")
        import dlib

        self._network: Any = dlib.face_recognition_model_v1(str(path))
        self.register_buffer("sha256", torch.tensor(list(bytes.fromhex(SHA256)), dtype=torch.uint8))

    def features(self, x: Tensor) -> Tensor:
        """128 features of each image, float32 B×128."""
        chips = [chip.numpy() for chip in face_chips(x)]
        found = [list(descriptor) for descriptor in self._network.compute_face_descriptor(chips)] if chips else []
        return torch.tensor(found, dtype=torch.float32, device=x.device).reshape(len(x), 128)


FaceJudge = LightCNN | FacenetIdentity | DlibIdentity
"""What may tell people apart in an evaluation."""


def face_chips(x: Tensor) -> Tensor:
    """What dlib's network sees of aligned images: uint8 B×150×150×3 on the CPU.

    The place is that of dlib's own chip (padding 0.25) of the mean face of its five-point predictor. Measured on 125 aligned
    photographs of 12 people, this told people apart as well as chips by the predictor (AUC 0.9998 against 0.9999 at 128×128,
    0.9980 against 0.9974 from 32×32), and an output in which no face can be found has a place too.
    """
    x = F.interpolate(x.float(), size=(SIDE, SIDE), mode="bicubic", align_corners=False, antialias=True)
    x = F.pad(x, (0, 0, 0, TOP + CHIP - SIDE), mode="replicate")[:, :, TOP : TOP + CHIP, LEFT : LEFT + CHIP]
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu()


def weights_file() -> Path | None:
    """The file in the package, by path: importing the package needs a module that setuptools has dropped. None without both."""
    if importlib.util.find_spec("dlib") is None:
        return None
    package = importlib.util.find_spec("face_recognition_models")
    folders = () if package is None else package.submodule_search_locations or ()
    files = (Path(folder) / "models" / FILE for folder in folders)
    return next((file for file in files if file.is_file()), None)
