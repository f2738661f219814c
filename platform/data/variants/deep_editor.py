"""White balance by the deep editor of the paper's reference [5], with its published weights.

They are a download of the user's (`legan weights deep_white_balance`), licensed for non-commercial use only (CC BY-NC-SA 4.0).

Shapes: images are uint8 B×H×W×3, sRGB.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from legan.models.colours.deep_editor import DeepWhiteBalanceEditor, Edited
from legan.platform.data.variants.white_balance import AUTOMATIC, TEMPERATURES
from legan.platform.errors import WeightsError, first_line
from legan.platform.weights import DEEP_EDITOR, find_weights, load_tensors

_BATCH = 16

Images = npt.NDArray[np.uint8]


def editing(setting: str, device: torch.device) -> Callable[[Images], Images]:
    """What edits images to a white balance; WeightsError as ``load_editor``."""
    return partial(edited, load_editor().to(device), setting=setting, device=device)


def edited(editor: DeepWhiteBalanceEditor, images: Images, setting: str, device: torch.device) -> Images:
    """Images at a white balance of ``white_balance.SETTINGS``; H and W are multiples of 16, and the editor is on ``device``.

    Fluorescent, daylight and cloudy lie between tungsten and shade, by the inverse of their temperatures. The network sees
    the images at their own size, so what it gives needs no mapping to another one.
    """
    done = []
    for start in range(0, len(images), _BATCH):
        x = torch.tensor(images[start : start + _BATCH]).to(device).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            y = at_setting(editor(x), setting)
        done.append((255 * y.clamp(0, 1)).round().byte().permute(0, 2, 3, 1).cpu().numpy())
    return np.concatenate(done) if done else images.copy()


def at_setting(images: Edited, setting: str) -> torch.Tensor:
    """The images at one setting, B×3×H×W."""
    if setting == AUTOMATIC:
        return images.automatic
    tungsten, shade, kelvin = TEMPERATURES["tungsten"], TEMPERATURES["shade"], TEMPERATURES[setting]
    share = (1 / kelvin - 1 / shade) / (1 / tungsten - 1 / shade)
    return share * images.tungsten + (1 - share) * images.shade


def load_editor() -> DeepWhiteBalanceEditor:
    """The editor with its published weights; WeightsError where they are not there, or are others."""
    editor = DeepWhiteBalanceEditor()
    try:
        editor.load_state_dict(load_tensors(DEEP_EDITOR))
    except (RuntimeError, TypeError, AttributeError) as error:
        path = find_weights(DEEP_EDITOR)
        raise WeightsError(f"{path} does not hold the editor's weights ({first_line(error)}); get them anew.") from error
    return editor.eval()
