import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from legan.models.colours.deep_editor import DECODERS, DeepWhiteBalanceEditor


def expected(state: dict[str, Tensor], x: Tensor, decoder: str) -> Tensor:
    """One decoder's images, layer by layer, from weights with the published names."""

    def conv(name: str, x: Tensor, padding: int = 1) -> Tensor:
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=padding)

    def two(name: str, x: Tensor) -> Tensor:
        return conv(f"{name}.double_conv.2", conv(f"{name}.double_conv.0", x).relu()).relu()

    def up(name: str, x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, state[f"{name}.weight"], state[f"{name}.bias"], stride=2)

    skips = [two("encoder_inc", x)]
    for number in (1, 2, 3):
        skips.append(two(f"encoder_down{number}.maxpool_conv.1", F.max_pool2d(skips[-1], 2)))
    y = conv("encoder_bridge_down.maxpool_conv.1", F.max_pool2d(skips[-1], 2)).relu()
    bridge = f"{decoder}_decoder_bridge_up.conv_up"
    y = up(f"{bridge}.2", conv(f"{bridge}.0", y).relu())
    for number in (1, 2, 3):
        stage = f"{decoder}_decoder_up{number}"
        y = up(f"{stage}.up", two(f"{stage}.conv", torch.cat([skips.pop(), y], dim=1))).relu()
    out = f"{decoder}_decoder_out.out_conv"
    return conv(f"{out}.1", two(f"{out}.0", torch.cat([skips.pop(), y], dim=1)), padding=0)


def test_it_is_the_published_network_under_its_names():
    torch.manual_seed(0)
    editor, x = DeepWhiteBalanceEditor(width=3), torch.rand(2, 3, 32, 48)
    for images, decoder in zip(editor(x), DECODERS, strict=True):
        assert torch.equal(images, expected(editor.state_dict(), x, decoder))


def test_it_has_the_published_size():
    with torch.device("meta"):
        editor = DeepWhiteBalanceEditor()
    assert sum(weight.numel() for weight in editor.parameters()) == 10_450_401
    assert len(editor.state_dict()) == 102


def test_another_size_is_refused():
    with pytest.raises(ValueError, match=r"multiples of 16, not \(1, 3, 24, 32\)"):
        DeepWhiteBalanceEditor(width=1)(torch.zeros(1, 3, 24, 32))
