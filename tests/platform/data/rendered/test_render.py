import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from legan.platform.data.dataset import Alignment, Split, open_dataset
from legan.platform.data.masks import five_points, hull_mask
from legan.platform.data.rendered.render import EXPRESSIONS, LIGHTINGS, SCHEMA, render_dataset, render_faces
from legan.platform.errors import DataError


def test_twenty_lightings_and_six_expressions_with_a_flip_map() -> None:
    assert EXPRESSIONS == ("neutral", "smile", "surprise", "squint", "disgust", "scream")
    assert len(LIGHTINGS) == 20
    assert SCHEMA.flip["left"] == "right"
    assert SCHEMA.flip["bottom_left"] == "bottom_right"
    assert SCHEMA.flip["front"] == "front"


def test_the_same_numbers_give_the_same_bytes() -> None:
    first = render_faces(5, size=32, seed=2)
    again = render_faces(5, size=32, seed=2, expressions=("scream",), lightings=("left", "top"))
    assert first.images.dtype == np.uint8
    assert first.images.shape == (6, 20, 32, 32, 3)
    assert np.array_equal(first.images[5][[LIGHTINGS.index("left"), LIGHTINGS.index("top")]], again.images[0])
    assert np.array_equal(first.landmarks[5], again.landmarks[0])
    assert not np.array_equal(first.images, render_faces(5, size=32, seed=3).images)


def test_unknown_names_are_told() -> None:
    with pytest.raises(ValueError, match=r"unknown: grin; expressions are .*'smile'"):
        render_faces(0, expressions=("grin",))


@pytest.mark.parametrize("size", [32, 64, 100, 256])
def test_all_sizes_show_the_same_picture(size: int) -> None:
    wanted = {"expressions": ("smile",), "lightings": ("left_half",)}
    here, there = render_faces(1, size=size, **wanted), render_faces(1, size=128, **wanted)
    small = [_reduced(faces.images[0, 0], 16) for faces in (here, there)]
    assert np.abs(small[0] - small[1]).mean() < 3
    assert np.allclose((here.landmarks + 0.5) / size, (there.landmarks + 0.5) / 128, atol=1e-4)


@settings(max_examples=15, deadline=None)
@given(identity=st.integers(0, 10_000), seed=st.integers(0, 100))
def test_eyes_lie_where_aligned_photographs_have_them(identity: int, seed: int) -> None:
    points = render_faces(identity, seed=seed, lightings=()).landmarks
    for face in points:
        assert np.abs(five_points(face)[:2] - Alignment(128).eyes).max() < 2.0
        assert (face[:, 0] > 0).all()
        assert (face[:, 0] < 127).all()
        mouth = face[48:60]
        assert mouth[:, 1].min() > face[36:48, 1].max()
        assert face[8, 1] > mouth[:, 1].max()


def test_lightings_differ_and_expressions_change_the_face() -> None:
    faces = render_faces(3, size=64).images.astype(float)
    for moved in range(1, len(EXPRESSIONS)):
        for other in range(moved):
            assert np.abs(faces[moved] - faces[other]).mean() > 3, (EXPRESSIONS[moved], EXPRESSIONS[other])
    for lit in range(1, len(LIGHTINGS)):
        for other in range(lit):
            assert np.abs(faces[:, lit] - faces[:, other]).mean() > 2.5, (LIGHTINGS[lit], LIGHTINGS[other])


def test_people_differ_in_colours_more_than_expressions_do() -> None:
    people = np.stack([render_faces(i, size=64, lightings=("front",)).images[:, 0] for i in range(16)]).astype(float)
    cheeks = people[:, :, 30:40, 16:22].mean(axis=(2, 3))
    hair = people[:, :, :6, 20:44].mean(axis=(2, 3))
    for colours in (cheeks, hair):
        between_people = colours.mean(axis=1).std(axis=0).mean()
        between_expressions = colours.std(axis=1).mean()
        assert between_people > 4 * between_expressions


def test_data_set_does_not_depend_on_the_workers(tmp_path: Path) -> None:
    wanted = {"subjects": 3, "size": 32, "seed": 4, "images_per_subject": 7}
    counted: list[int] = []
    one = render_dataset(tmp_path / "one", **wanted, progress=counted.append)
    two = render_dataset(tmp_path / "two", **wanted, workers=2)
    assert counted == [7, 7, 7]
    assert one.content_hash == two.content_hash
    assert np.array_equal(one.images, two.images)
    assert one.hulls(one.rows()).tolist() == two.hulls(two.rows()).tolist()


def test_data_set_is_labelled_as_it_was_drawn(tmp_path: Path) -> None:
    dataset = render_dataset(tmp_path / "faces", subjects=3, size=32)
    assert len(dataset) == 3 * 120
    assert dataset.source == "rendered"
    assert {split: len(subjects) for split, subjects in dataset.splits.items()} == {"train": 1, "val": 1, "test": 1}
    assert Alignment.from_dict(dataset.alignment).eyes == pytest.approx(Alignment(32).eyes)
    assert dataset.alignment["image_size"] == 32
    faces = render_faces(1, size=32)
    row = 120 + 20 * EXPRESSIONS.index("scream") + LIGHTINGS.index("bottom")
    assert dataset.faces.loc[row, ["subject", "expression", "lighting"]].tolist() == ["rendered-00001", "scream", "bottom"]
    assert np.array_equal(dataset.images[row], faces.images[5, LIGHTINGS.index("bottom")])
    assert np.allclose(dataset.landmarks([row])[0], faces.landmarks[5], atol=1e-4)
    assert np.array_equal(dataset.hulls([row])[0], hull_mask(faces.landmarks[5], 32))
    assert open_dataset(tmp_path / "faces").schema == SCHEMA


def test_all_bad_numbers_are_told_at_once_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        render_dataset(tmp_path / "faces", subjects=2, size=16, seed=-1, images_per_subject=121, workers=0)
    for part in ("subjects: at least 3", "from 32 to 512, not 16", "seed", "1 to 120, not 121", "workers: at least 1"):
        assert part in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_data_set_is_not_overwritten_by_accident(tmp_path: Path) -> None:
    render_dataset(tmp_path / "faces", subjects=3, size=32, images_per_subject=1)
    with pytest.raises(DataError, match="already exists"):
        render_dataset(tmp_path / "faces", subjects=3, size=32, images_per_subject=1)
    render_dataset(tmp_path / "faces", subjects=4, size=32, images_per_subject=1, overwrite=True)
    assert json.loads((tmp_path / "faces" / "dataset.json").read_text())["faces"] == 4


def test_command_draws_and_says_how_to_look(tmp_path: Path) -> None:
    import typer

    from legan.platform.commands.render import mount_data

    app = typer.Typer()
    mount_data(app)
    out = tmp_path / "faces"
    arguments = ["render", "--out", str(out), "--subjects", "3", "--size", "32", "--images-per-subject", "2", "--workers", "1"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "6 rendered faces of 3 people (32×32)" in result.output
    assert f"legan data show {out}" in result.output
    ratings = CliRunner().invoke(
        app, ["ratings", str(out), "--out", str(tmp_path / "rated"), "--count", "8"], catch_exceptions=False
    )
    assert "8 images with simulated ratings" in ratings.output


def _reduced(image: np.ndarray, size: int) -> np.ndarray:
    import cv2

    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA), float)


def test_people_are_the_same_in_renderings_of_one_seed_and_others_in_those_of_another(tmp_path: Path) -> None:
    def people(name: str, size: int, seed: int) -> set[str]:
        made = render_dataset(tmp_path / name, subjects=4, size=size, seed=seed, images_per_subject=1)
        splits: tuple[Split, ...] = ("train", "val", "test")
        return {person for split in splits for person in made.people(split)}

    assert people("small", 32, 1) == people("large", 48, 1)
    assert people("again", 32, 1).isdisjoint(people("others", 32, 2))
