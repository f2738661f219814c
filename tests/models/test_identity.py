import io
from pathlib import Path

import pytest
import torch
from facenet_pytorch import InceptionResnetV1
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from legan.models.identity import FacenetIdentity, LightCNN, MaxFeatureMap, MaxFeatureMapLinear, max_feature_map, to_grey

# Wu et al., table 2 (LightCNN-29): name, filter, channels in, filters kept of twice as many, output height for 128×128.
LIGHTCNN_29 = [
    ("conv1", 5, 1, 48, 128),
    *((f"block1.0.conv{i}", 3, 48, 48, 64) for i in (1, 2)),
    ("group1.conv_a", 1, 48, 48, 64),
    ("group1.conv", 3, 48, 96, 64),
    *((f"block2.{n}.conv{i}", 3, 96, 96, 32) for n in range(2) for i in (1, 2)),
    ("group2.conv_a", 1, 96, 96, 32),
    ("group2.conv", 3, 96, 192, 32),
    *((f"block3.{n}.conv{i}", 3, 192, 192, 16) for n in range(3) for i in (1, 2)),
    ("group3.conv_a", 1, 192, 192, 16),
    ("group3.conv", 3, 192, 128, 16),
    *((f"block4.{n}.conv{i}", 3, 128, 128, 16) for n in range(4) for i in (1, 2)),
    ("group4.conv_a", 1, 128, 128, 16),
    ("group4.conv", 3, 128, 128, 16),
]
LIGHTCNN_9 = [row for row in LIGHTCNN_29 if not row[0].startswith("block")]  # table 1
TABLES = {29: LIGHTCNN_29, 9: LIGHTCNN_9}


def small(layers: int = 29, **changes: object) -> LightCNN:
    torch.manual_seed(0)
    numbers: dict[str, object] = {"classes": 5, "image_size": 32, "width": 0.25, "features": 16}
    return LightCNN(layers, **(numbers | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("layers", [29, 9])
def test_layers_are_the_published_ones(layers: int) -> None:
    T = LightCNN(layers, classes=10)
    shapes: dict[str, torch.Size] = {}
    maps = {name: module for name, module in T.named_modules() if isinstance(module, MaxFeatureMap)}
    for name, module in maps.items():
        module.register_forward_hook(lambda module, inputs, output, name=name: shapes.update({name: output.shape}))
    with torch.no_grad():
        features = T.features(torch.zeros(1, 3, 128, 128))
        assert T(torch.zeros(1, 3, 128, 128)).shape == (1, 10)
    assert features.shape == (1, 256)
    assert set(maps) == {name for name, *_ in TABLES[layers]}
    for name, kernel, c_in, kept, size in TABLES[layers]:
        conv = maps[name].filter
        assert (conv.kernel_size, conv.stride) == ((kernel, kernel), (1, 1)), name
        assert (conv.in_channels, conv.out_channels) == (c_in, 2 * kept), name
        assert shapes[name] == (1, kept, size, size), name
    assert (T.fc.filter.in_features, T.fc.filter.out_features) == (8 * 8 * 128, 512)


@pytest.mark.parametrize(("layers", "published"), [(29, 12_573_280), (9, 5_480_864)])
def test_parameters_before_the_classifier(layers: int, published: int) -> None:
    T = LightCNN(layers, classes=10)
    counted = sum(p.numel() for name, p in T.named_parameters() if not name.startswith("fc2."))
    convolutions = sum((kernel**2 * c_in + 1) * 2 * kept for _, kernel, c_in, kept, _ in TABLES[layers])
    assert counted == convolutions + (8192 + 1) * 512 == published
    assert sum(p.numel() for p in T.fc2.parameters()) == 256 * 10 + 10


def test_max_feature_map_keeps_the_larger_of_each_pair() -> None:
    layer = MaxFeatureMap(1, 2, kernel_size=1)
    layer.filter.weight.data = torch.tensor([1.0, -1.0, -2.0, 3.0]).view(4, 1, 1, 1)
    layer.filter.bias.data.zero_()
    x = torch.tensor([1.0, -1.0]).view(1, 1, 1, 2)
    assert layer(x).flatten(2).tolist() == [[[1.0, 2.0], [3.0, 1.0]]]  # pairs (1, −2) and (−1, 3)
    linear = MaxFeatureMapLinear(1, 1)
    linear.filter.weight.data = torch.tensor([[1.0], [-3.0]])
    linear.filter.bias.data.zero_()
    assert linear(torch.tensor([[2.0], [-2.0]])).tolist() == [[2.0], [6.0]]


def test_grey_by_bt601() -> None:
    pixel = torch.tensor([1.0, 0.0, -1.0]).view(1, 3, 1, 1)  # red 1, green ½, blue 0 in [0, 1]
    assert to_grey(pixel).item() == pytest.approx(0.299 * 1 + 0.587 * 0.5)
    assert to_grey(torch.tensor([-1.0, 1.0]).view(1, 1, 1, 2)).flatten().tolist() == [0, 1]


def test_grey_images_are_taken_as_they_are() -> None:
    T, grey = small(), torch.rand(2, 1, 32, 32) * 2 - 1
    torch.testing.assert_close(T.features(grey), T.features(grey.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)


def test_features_do_not_depend_on_dropout_and_logits_do() -> None:
    T, x = small().train(), torch.rand(4, 3, 32, 32)
    assert torch.equal(T.features(x), T.features(x))
    assert not torch.equal(T(x), T(x))
    T.eval()
    torch.testing.assert_close(T(x), T.fc2(T.features(x)))


@pytest.mark.parametrize("layers", [29, 9])
def test_features_have_a_sensible_size_from_the_start(layers: int) -> None:
    torch.manual_seed(0)
    features = LightCNN(layers, classes=2).features(torch.rand(4, 3, 128, 128) * 2 - 1)
    assert 0.1 < features.std() < 10


@pytest.mark.parametrize("layers", [29, 9])
def test_small_ones_learn(layers: int) -> None:
    T = small(layers, image_size=16)
    prototypes = F.interpolate(torch.randn(5, 3, 4, 4), size=(16, 16), mode="bilinear") / 2
    adam = torch.optim.Adam(T.parameters(), 2e-3)
    accuracy, steps = 0.0, 0
    while accuracy <= 0.8 and steps < 180:  # chance: 0.2; the way there differs between processors
        steps += 1
        labels = torch.randint(0, 5, (32,))
        logits = T(prototypes[labels] + 0.2 * torch.randn(32, 3, 16, 16))
        adam.zero_grad()
        F.cross_entropy(logits, labels).backward()
        adam.step()
        accuracy = 0.9 * accuracy + 0.1 * float((logits.argmax(1) == labels).float().mean())
    assert accuracy > 0.8


def test_gradients_reach_the_image_of_a_frozen_network() -> None:
    T = small().requires_grad_(requires_grad=False)
    x = torch.rand(1, 3, 32, 32, requires_grad=True)
    T.features(x).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().max() > 0


def test_lightcnn_in_channels_last_and_under_autocast() -> None:
    T, x = small().eval(), torch.rand(2, 3, 32, 32) * 2 - 1
    exact = T.features(x)
    T.to(memory_format=torch.channels_last)
    x = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(T.features(x), exact, rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        features, logits = T.features(x), T(x)
    assert (features.dtype, logits.dtype) == (torch.float32, torch.float32)
    assert F.cosine_similarity(features, exact).min() > 0.99


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="there is no LightCNN-4; there are: LightCNN-29, LightCNN-9"):
        small(4)
    with pytest.raises(ValueError, match="the image size 100 has to be a multiple of 16"):
        small(image_size=100)
    with pytest.raises(ValueError, match=r"reads images of shape B×3×32×32 \(or one grey channel\), not 1×2×32×32"):
        small().features(torch.zeros(1, 2, 32, 32))


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Module]:
    """A file of the form of facenet-pytorch's releases, with random weights, and the network it was made from."""
    torch.manual_seed(0)
    network = InceptionResnetV1(pretrained=None)
    state = network.state_dict() | {"logits.weight": torch.zeros(8631, 512), "logits.bias": torch.zeros(8631)}
    path = tmp_path_factory.mktemp("weights") / "20180402-114759-vggface2.pt"
    torch.save(state, path)
    return path, network.eval()


def test_facenet_is_loaded_from_its_released_form(released: tuple[Path, nn.Module]) -> None:
    path, network = released
    T = FacenetIdentity(path)
    x = torch.rand(2, 3, 128, 128) * 2 - 1
    bytes_ = (x + 1) * 127.5
    larger = F.interpolate(bytes_, size=(160, 160), mode="bilinear", align_corners=False)
    with torch.no_grad():
        expected = network((larger - 127.5) / 128)  # facenet-pytorch's fixed_image_standardization
        features = T.features(x)
    assert features.shape == (2, 512)
    torch.testing.assert_close(features, expected, rtol=1e-3, atol=1e-5)


def test_facenet_stays_frozen_and_in_evaluation_mode(released: tuple[Path, nn.Module]) -> None:
    T = FacenetIdentity(released[0])
    T.train()
    assert not any(module.training for module in T.modules())
    assert not any(parameter.requires_grad for parameter in T.parameters())
    before = {name: value.clone() for name, value in T.state_dict().items()}
    x = torch.rand(2, 3, 64, 64, requires_grad=True)
    T.features(x).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().max() > 0
    assert all(torch.equal(value, before[name]) for name, value in T.state_dict().items())


def without_one(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if name != "last_linear.weight"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as PyTorch weights"),
        (b"<html>not found</html>", "cannot be read as PyTorch weights"),
        ([1, 2], "is no state dict"),
        ({"epoch": 3}, "is no state dict"),
        ({"fc.weight": torch.zeros(2)}, "holds weights of another network than InceptionResnetV1"),
    ],
)
def test_a_wrong_file_is_named(content: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match=rf"wrong\.pt {message}"):
        FacenetIdentity(path)


def test_an_incomplete_file_is_named(released: tuple[Path, nn.Module], tmp_path: Path) -> None:
    path = tmp_path / "part.pt"
    torch.save(without_one(released[1].state_dict()), path)
    with pytest.raises(ValueError, match=r"part\.pt holds weights of another network .*last_linear"):
        FacenetIdentity(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"absent\.pt cannot be read as PyTorch weights: .*No such file"):
        FacenetIdentity(tmp_path / "absent.pt")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(head=st.sampled_from([b"", b"PK\x03\x04", b"\x80\x02"]), tail=st.binary(max_size=80))
def test_no_bytes_get_through_as_anything_but_a_value_error(head: bytes, tail: bytes, tmp_path: Path) -> None:
    path = tmp_path / "noise.pt"
    path.write_bytes(head + tail)
    with pytest.raises(ValueError, match=r"noise\.pt"):
        FacenetIdentity(path)


def test_code_in_a_weight_file_is_not_run(tmp_path: Path) -> None:
    ran: list[int] = []

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[int]]:
            return ran.append, (1,)

    buffer = io.BytesIO()
    torch.save({"fc.weight": Trap()}, buffer)
    path = tmp_path / "trap.pt"
    path.write_bytes(buffer.getvalue())
    with pytest.raises(ValueError, match=r"trap\.pt cannot be read"):
        FacenetIdentity(path)
    assert ran == []


@given(st.integers(0, 2**31 - 1))
def test_max_feature_map_and_its_gradient_are_those_of_torch_maximum(seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 6, 3, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    gradient = torch.randn(2, 3, 3, 3, generator=generator, dtype=torch.float64)
    ours, theirs = max_feature_map(x), torch.maximum(*x.chunk(2, dim=1))
    assert torch.equal(ours, theirs)
    assert torch.equal(*(torch.autograd.grad(y, x, gradient)[0] for y in (ours, theirs)))
