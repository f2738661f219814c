import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from legan.models.colours.deep_editor import DeepWhiteBalanceEditor, Edited
from legan.platform.data.dataset import open_dataset
from legan.platform.data.variants.deep_editor import at_setting, editing, load_editor
from legan.platform.errors import WeightsError
from legan.platform.settings import TranslatorSettings
from legan.platform.training.colours import colour_problems, colour_variants
from legan.platform.weights import DEEP_EDITOR, PRETRAINED

CPU = torch.device("cpu")
ASKED = TranslatorSettings(steps=1, white_balance=("shade", "cloudy"), white_balance_by="deep_editor")


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the published file would lie, with a file of its form that passes for it."""
    monkeypatch.setenv("LEGAN_WEIGHTS", str(tmp_path))
    path = tmp_path / PRETRAINED[DEEP_EDITOR].file
    torch.manual_seed(0)
    torch.save(DeepWhiteBalanceEditor().state_dict(), path)
    publish(path, monkeypatch)
    return path


def publish(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = path.read_bytes()
    blob = hashlib.sha1(b"blob " + str(len(content)).encode() + b"\0" + content, usedforsecurity=False).hexdigest()
    monkeypatch.setitem(PRETRAINED, DEEP_EDITOR, replace(PRETRAINED[DEEP_EDITOR], git_blob=blob))


def test_images_are_what_the_network_gives_at_their_own_size(weights: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (18, 16, 16, 3), np.uint8)
    editor = DeepWhiteBalanceEditor()
    editor.load_state_dict(torch.load(weights, weights_only=True))
    with torch.no_grad():
        automatic, tungsten, shade = editor(torch.tensor(images).permute(0, 3, 1, 2) / 255)
    for setting, expected in (("automatic", automatic), ("tungsten", tungsten), ("shade", shade)):
        shown = (255 * expected.clamp(0, 1)).permute(0, 2, 3, 1).numpy()
        assert np.abs(editing(setting, CPU)(images) - shown).max() <= 0.51


def test_what_lies_between_follows_the_inverse_of_the_temperature() -> None:
    images = Edited(torch.tensor(7.0), torch.tensor(1.0), torch.tensor(0.0))
    shares = {"fluorescent": 0.5968, "daylight": 0.2229, "cloudy": 0.0943}  # (1/T - 1/7500) / (1/2850 - 1/7500)
    assert {name: at_setting(images, name).item() for name in shares} == pytest.approx(shares, abs=5e-4)
    assert at_setting(images, "automatic") == 7


def test_a_training_asks_for_the_weights_before_it_starts(weights: Path, tiny_data: Path) -> None:
    assert not colour_problems(ASKED, None)
    assert [variant.name for variant in colour_variants(ASKED, open_dataset(tiny_data))] == [
        "deep-editor-shade",
        "deep-editor-cloudy",
    ]
    odd = replace(open_dataset(tiny_data), image_size=36)
    (problem,) = colour_problems(ASKED, odd)
    assert str(problem) == "white_balance_by: the editor takes images of a multiple of 16 pixels, not 36; set adaptation instead"
    weights.write_bytes(b"something else")
    (problem,) = colour_problems(ASKED, None)
    assert problem.place == "white_balance_by"
    assert "is not the published file" in problem.message
    weights.unlink()
    (problem,) = colour_problems(ASKED, None)
    assert "`legan weights deep_white_balance` downloads them" in problem.message


def test_weights_of_another_network_are_named(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(DeepWhiteBalanceEditor(width=1).state_dict(), weights)
    publish(weights, monkeypatch)
    with pytest.raises(WeightsError, match=r"net\.pth does not hold the editor's weights .*; get them anew"):
        load_editor()
