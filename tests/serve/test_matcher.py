import numpy as np
import pytest
import torch

from legan.models.identity import LightCNN
from legan.models.quality import QualityModel
from legan.platform.errors import ConfigError, ImageError
from legan.platform.model import StoredNetwork
from legan.serve.matcher import Matcher, check_matcher


def matcher() -> Matcher:
    torch.manual_seed(0)
    return Matcher(LightCNN(9, 3, image_size=32, width=0.1, features=16), torch.device("cpu"), batch_size=2)


def test_similarity_is_the_correlation_of_the_features() -> None:
    a, b = np.random.default_rng(0).integers(0, 256, (2, 5, 32, 32, 3), dtype=np.uint8)
    found = matcher().similarity(a, b)
    with torch.no_grad():
        features = [matcher().network.features(torch.tensor(x).permute(0, 3, 1, 2) / 127.5 - 1).double().numpy() for x in (a, b)]
    expected = [np.corrcoef(one, other)[0, 1] for one, other in zip(*features, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(matcher().similarity(a, a), 1, atol=1e-6)
    assert matcher().similarity(a[:0], b[:0]).shape == (0,)
    with pytest.raises(ImageError, match="of one shape"):
        matcher().similarity(a, b[:3])


def test_only_matchers_of_the_models_size_are_taken() -> None:
    network = matcher().network
    assert check_matcher(StoredNetwork("lightcnn", network, {"image_size": 32}, {}), 32) is network
    with pytest.raises(ConfigError, match="--matcher: it is for 32×32 images, the model for 64×64"):
        check_matcher(StoredNetwork("lightcnn", network, {"image_size": 32}, {}), 64)
    with pytest.raises(ConfigError, match="--matcher: it is a quality model"):
        check_matcher(StoredNetwork("quality", QualityModel(32, 4, 2, 4), {}, {}), 32)
