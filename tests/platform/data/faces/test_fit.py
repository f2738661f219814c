import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from legan.platform.data.align import HEAD
from legan.platform.data.dataset import DEFAULT_ALIGNMENT
from legan.platform.data.faces.fit import fit_head, share_outside
from legan.platform.data.masks import five_points, mean_shape

FRONTAL = five_points(mean_shape()) * 60 + 100


def seen(yaw: float, pitch: float, roll: float, size: float) -> np.ndarray:
    """The mean head's five points from far away, its top leaning to the viewer's right by ``roll`` degrees; y down."""
    y, p, r = np.radians([yaw, pitch, -roll])
    turn_yaw = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    turn_pitch = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    turn_roll = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    turned = HEAD @ (turn_roll @ turn_pitch @ turn_yaw).T * size
    return (turned[:, :2] * [1, -1] + [300, 200]).astype(np.float32)


@settings(max_examples=150, deadline=None)
@given(st.floats(-80, 80), st.floats(-40, 40), st.floats(-179, 179), st.floats(8, 900))
def test_a_head_in_any_pose_fits_and_its_roll_is_known(yaw: float, pitch: float, roll: float, size: float) -> None:
    fit = fit_head(seen(yaw, pitch, roll, size))
    assert fit.misfit < 0.06  # half a step between two poses
    assert abs((fit.roll - roll + 180) % 360 - 180) < 12


def test_what_is_no_head_does_not_fit() -> None:
    assert fit_head(FRONTAL).misfit < 0.04
    assert fit_head((FRONTAL * [-1, 1]).astype(np.float32)).misfit > 0.3, "mirrored"
    assert fit_head(FRONTAL[[4, 3, 2, 1, 0]]).roll == pytest.approx(180, abs=1), "eyes below the mouth: upside down"
    assert fit_head(FRONTAL[[0, 3, 2, 1, 4]]).misfit > 0.15
    assert fit_head(np.full((5, 2), 7, np.float32)).misfit == float("inf")


@pytest.mark.parametrize(("shift", "share"), [((0, 0), 0.0), ((-100, 0), 0.5), ((0, 150), 0.75), ((0, 400), 1.0)])
def test_how_much_of_the_aligned_square_is_outside(shift: tuple[int, int], share: float) -> None:
    # Eyes 66 pixels apart: a square of 200 pixels from (0, 0) on.
    eyes = np.array([[67, 80], [133, 80], [100, 118], [72, 150], [128, 150]], np.float32) - 0.5
    assert share_outside((eyes + shift).astype(np.float32), DEFAULT_ALIGNMENT, 200, 200) == pytest.approx(share, abs=0.02)
