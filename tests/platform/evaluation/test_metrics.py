import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity as skimage_ssim
from torchmetrics.functional.image import structural_similarity_index_measure

from legan.platform.evaluation.metrics import feature_correlation, is_class, l1_distance, structural_similarity


def pictures(seed: int, batch: int = 2, size: int = 24) -> torch.Tensor:
    return torch.rand(batch, 3, size, size + 3, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), noise=st.floats(0.0, 1.0))
def test_ssim_agrees_with_scikit_image(seed: int, noise: float) -> None:
    x = pictures(seed)
    y = (x + noise * pictures(seed + 1)).clamp(-1, 1)
    expected = [
        skimage_ssim(
            (a.permute(1, 2, 0).double().numpy() + 1) / 2,
            (b.permute(1, 2, 0).double().numpy() + 1) / 2,
            channel_axis=2,
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for a, b in zip(x, y, strict=True)
    ]
    np.testing.assert_allclose(structural_similarity(x, y).numpy(), expected, atol=1e-5)


def test_ssim_of_smooth_pictures_agrees_with_scikit_image_on_bytes() -> None:
    ramp = np.linspace(0, 255, 32, dtype=np.float32)
    a = np.stack([np.add.outer(ramp, ramp) / 2] * 3, axis=2).astype(np.uint8)
    b = a[::-1].copy()
    expected = skimage_ssim(a, b, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255)
    x, y = (torch.from_numpy(image).permute(2, 0, 1)[None].double() / 127.5 - 1 for image in (a, b))
    np.testing.assert_allclose(structural_similarity(x, y).numpy(), [expected], atol=1e-5)


def test_the_border_that_torchmetrics_reflects_does_not_count() -> None:
    """Images that are equal in the middle and not at the border: the window sees the border from the 5 outer positions more."""
    x = torch.zeros(1, 3, 32, 32)
    y = x.clone()
    y[:, :, :, :4] = 1.0
    ours = structural_similarity(x, y).item()
    theirs = structural_similarity_index_measure((x + 1) / 2, (y + 1) / 2, data_range=1.0)
    expected = skimage_ssim(
        *(image[0].permute(1, 2, 0).double().numpy() / 2 + 0.5 for image in (x, y)),
        channel_axis=2, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    )  # fmt: skip
    assert ours == pytest.approx(expected, abs=1e-5)
    assert ours > theirs.item() + 0.1


def test_ssim_of_an_image_with_itself_is_one_in_bf16_too() -> None:
    x = pictures(3)
    assert structural_similarity(x, x).tolist() == pytest.approx([1.0, 1.0], abs=1e-6)
    half = x.bfloat16()
    assert structural_similarity(half, half).dtype == torch.float64
    torch.testing.assert_close(structural_similarity(half, x), structural_similarity(half.float(), x))


def test_ssim_refuses_images_smaller_than_its_window() -> None:
    with pytest.raises(ValueError, match="at least 11 pixels"):
        structural_similarity(torch.zeros(1, 3, 10, 32), torch.zeros(1, 3, 10, 32))


def test_l1_is_per_image_in_units_of_the_pixels() -> None:
    x = torch.zeros(2, 3, 4, 4)
    y = torch.stack([torch.full((3, 4, 4), 0.25), torch.full((3, 4, 4), -1.0)])
    assert l1_distance(x, y).tolist() == [0.25, 1.0]
    assert l1_distance(-torch.ones(1, 3, 4, 4), torch.ones(1, 3, 4, 4)).item() == 2.0


@settings(deadline=None)
@given(st.integers(0, 1000), st.floats(0.1, 10), st.floats(-5, 5))
def test_correlation_is_numpys_and_ignores_scale_and_offset(seed: int, scale: float, offset: float) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 3, 16))
    expected = [np.corrcoef(u, v)[0, 1] for u, v in zip(a, b, strict=True)]
    np.testing.assert_allclose(
        feature_correlation(torch.from_numpy(a), torch.from_numpy(b) * scale + offset).numpy(), expected, atol=1e-9
    )


def test_correlation_of_a_constant_vector_is_zero_not_nan() -> None:
    assert feature_correlation(torch.ones(1, 8), torch.arange(8.0)[None]).tolist() == [0.0]


def test_is_class_counts_hits() -> None:
    logits = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.4]])
    assert is_class(logits, torch.tensor([1, 1, 1])).tolist() == [1.0, 0.0, 1.0]
