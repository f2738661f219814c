from pathlib import Path

import pytest

from legan.platform.errors import WeightsError
from legan.platform.weights import PRETRAINED, find_weights, weights_folder


def test_weights_are_found_in_the_named_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEGAN_WEIGHTS", str(tmp_path))
    (tmp_path / PRETRAINED["alexnet"].file).touch()
    assert find_weights("alexnet") == tmp_path / "alexnet-owt-7be5be79.pth"


@pytest.mark.parametrize("name", PRETRAINED)
def test_missing_weights_say_which_file_from_where_into_which_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LEGAN_WEIGHTS", raising=False)
    monkeypatch.chdir(tmp_path)
    weights = PRETRAINED[name]
    with pytest.raises(WeightsError) as caught:
        find_weights(name)
    for part in (weights.file, weights.origin, weights.url, str(tmp_path / "weights"), "LEGAN_WEIGHTS"):
        assert part in str(caught.value)
    assert weights_folder() == tmp_path / "weights"


def test_unknown_weights_name_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown weights 'vgg'; known: facenet, inception, alexnet"):
        find_weights("vgg")


def test_the_files_are_the_ones_the_libraries_load() -> None:
    from facenet_pytorch.models import inception_resnet_v1
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
    from torchvision.models import AlexNet_Weights

    assert PRETRAINED["inception"].url == URL_INCEPTION_V3
    assert PRETRAINED["alexnet"].url == AlexNet_Weights.IMAGENET1K_V1.url
    assert PRETRAINED["facenet"].url in Path(inception_resnet_v1.__file__).read_text()
    assert all(weights.url.endswith(weights.file) for weights in PRETRAINED.values())
