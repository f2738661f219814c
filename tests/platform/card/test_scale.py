import pytest

from legan.platform.card.scale import Scale, scale_of

MEASURED = {"raters": "simulated", "images": 240, "mean": 4.8, "sd": 1.13, "fake_mean": 6.7, "split": "val"}


def test_a_rating_is_read_beside_who_rated_and_how_real_images_are_rated():
    assert scale_of({"quality": MEASURED}).words == "simulated raters; real images: 4.8 ± 1.1"
    assert scale_of({"quality": MEASURED | {"raters": "people"}}).words == "human raters; real images: 4.8 ± 1.1"
    assert scale_of({"quality": MEASURED | {"raters": None}}).words == "raters unknown; real images: 4.8 ± 1.1"


def test_where_nothing_was_measured_it_is_said():
    assert scale_of({"quality": {"raters": "simulated"}}) == Scale("simulated")
    assert Scale("simulated").words == "simulated raters; no real images were rated"
    assert Scale("simulated").warning is None


@pytest.mark.parametrize(("simulated", "raters"), [(True, "simulated"), (False, "people"), (None, None)])
def test_a_model_of_an_earlier_version_tells_its_raters_at_most(simulated, raters):
    assert scale_of({} if simulated is None else {"simulated_ratings": simulated}) == Scale(raters)


@pytest.mark.parametrize(
    ("mean", "fake_mean", "warns"), [(4.8, 6.7, True), (4.8, 4.84, False), (4.8, 4.86, True), (7.0, 6.9, False)]
)
def test_q_that_rates_outputs_above_real_images_warns(mean, fake_mean, warns):
    warning = Scale("people", 100, mean, 1.0, fake_mean).warning
    assert (warning is not None) == warns
    if warns:
        assert f"above real images ({fake_mean:.1f} against {mean:.1f} on average)" in warning
