"""The networks of FID, KID and LPIPS, with random weights in files of the published form, against their own libraries."""

import io
import warnings
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import lpips
import numpy as np
import pytest
import torch
import torch_fidelity
from torch import Tensor, nn
from torch.utils.data import Dataset as TorchDataset
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchvision.models import alexnet

from legan.platform import weights
from legan.platform.errors import WeightsError
from legan.platform.evaluation.distances import DistancesTo
from legan.platform.evaluation.features import identity_extractor, inception_extractor, perceptual_network

pytestmark = pytest.mark.filterwarnings("ignore:The parameter 'pretrained':UserWarning", "ignore:Arguments other than a weight")


class WithoutWeights(FeatureExtractorInceptionV3):
    def load_state_dict(self, state: Any, *given: Any, **more: Any) -> None:
        assert state == {}


def publish(name: str, folder: Path, state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of random weights in the place of the published one, as if it were that."""
    known = weights.PRETRAINED[name]
    folder.mkdir(exist_ok=True)
    torch.save(state, folder / known.file)
    hashed = replace(known, sha256=sha256((folder / known.file).read_bytes()).hexdigest())
    monkeypatch.setitem(weights.PRETRAINED, name, hashed)
    monkeypatch.setenv("LEGAN_WEIGHTS", str(folder))
    return folder / known.file


@pytest.fixture(scope="module")
def inception_state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    empty = io.BytesIO()
    torch.save({}, empty)
    empty.seek(0)
    network = WithoutWeights("inception", ["2048"], empty)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return dict(network.state_dict())


class Pictures(TorchDataset[Tensor]):
    def __init__(self, seed: int, count: int, dark: int):
        coarse = np.random.default_rng(seed).integers(0, 256 - dark, (count, 3, 4, 4), dtype=np.uint8)
        self.images = torch.from_numpy(coarse).repeat_interleave(8, 2).repeat_interleave(8, 3)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index]


def test_fid_and_kid_are_torch_fidelitys(
    inception_state: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = publish("inception", tmp_path, inception_state, monkeypatch)
    real, fake = Pictures(0, 8, 0), Pictures(1, 8, 90)
    extractor = inception_extractor()
    features = [extractor(pictures.images.float() / 127.5 - 1) for pictures in (fake, real)]
    expected = torch_fidelity.calculate_metrics(
        input1=fake, input2=real, fid=True, kid=True, kid_subset_size=8, feature_extractor_weights_path=str(path), cuda=False,
        cache=False, verbose=False, save_cpu_ram=True, batch_size=8,
    )  # fmt: skip
    assert (extractor.frechet, extractor.kernel) == ("fid", "kid")
    to_real = DistancesTo(features[1])
    assert to_real.frechet(features[0]) == pytest.approx(expected["frechet_inception_distance"], rel=1e-3)
    assert to_real.kernel(features[0]) == pytest.approx(expected["kernel_inception_distance_mean"], rel=1e-3)


@pytest.fixture
def alexnet_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = alexnet()
    path = publish("alexnet", tmp_path, dict(network.state_dict()), monkeypatch)
    hub = tmp_path / "torch" / "hub" / "checkpoints"
    hub.mkdir(parents=True)
    (hub / path.name).symlink_to(path)  # where lpips, by way of torchvision, looks for it
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    yield path
    path.unlink()


def test_lpips_is_that_of_lpips(alexnet_file: Path) -> None:
    x, y = torch.rand(2, 3, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    before = torch.get_rng_state()
    ours = perceptual_network()
    assert torch.equal(torch.get_rng_state(), before), "nobody's random numbers depend on it"
    theirs = lpips.LPIPS(net="alex", verbose=False)
    with torch.inference_mode():
        expected = theirs(x, y).flatten()
        np.testing.assert_allclose(ours(x, y).flatten(), expected, rtol=1e-5)
        assert ours(x, x).abs().max() == 0
    assert expected.min() > 0.01


@pytest.mark.parametrize(
    ("load", "name", "origin"),
    [(inception_extractor, "inception", "torch-fidelity"), (perceptual_network, "alexnet", "torchvision")],
)
def test_missing_and_foreign_files_are_named_with_origin_and_folder(
    load: Any, name: str, origin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEGAN_WEIGHTS", str(tmp_path))
    file = weights.PRETRAINED[name].file
    with pytest.raises(WeightsError, match=f"{file}.*not in {tmp_path}.*{origin}"):
        load()
    (tmp_path / file).write_bytes(b"something else")
    with pytest.raises(WeightsError, match=f"{file} is not the published file"):
        load()
    broken = replace(weights.PRETRAINED[name], sha256=sha256(b"something else").hexdigest())
    monkeypatch.setitem(weights.PRETRAINED, name, broken)
    with pytest.raises(WeightsError, match=f"{file} cannot be read"):
        load()


def test_nothing_but_tensors_is_read_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "was here",))

    publish("inception", tmp_path, {"weight": Evil()}, monkeypatch)  # type: ignore[dict-item]
    with pytest.raises(WeightsError, match="cannot be read"):
        inception_extractor()
    assert not (tmp_path / "was here").exists()


def test_the_matchers_distance_has_a_name_of_its_own(tiny: Any) -> None:
    extractor = identity_extractor(tiny.matcher().module)
    assert (extractor.frechet, extractor.kernel) == ("fd_identity", "kd_identity")
    assert extractor(torch.zeros(2, 3, 32, 32)).shape == (2, 16)
    assert extractor.weights != identity_extractor(tiny.matcher(seed=3).module).weights
