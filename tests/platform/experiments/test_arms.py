from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.platform.experiments.conftest import translated
from tests.tiny import keep_faces

from legan.models.attributes import AttributeSchema
from legan.platform.data.dataset import Dataset, open_dataset
from legan.platform.data.write import write_dataset
from legan.platform.errors import DataError
from legan.platform.experiments.arms import Added, counts_of, further_rows, jittered, joined_schema, shown_rows, write_arm
from legan.platform.experiments.experiment import Experiment


@pytest.fixture
def verification(asked, tmp_path: Path) -> Experiment:
    made = Experiment(tmp_path / "verification", asked)
    translated(made)
    return made


@pytest.fixture
def expression(asked, sparse_data: Path, tmp_path: Path) -> Experiment:
    values = {"question": "expression", "data": sparse_data, "protocol": None, "pairs": None}
    made = Experiment(tmp_path / "expression", asked.model_copy(update=values))
    translated(made)
    return made


def test_the_arm_none_is_the_data_set_itself(verification):
    assert write_arm(verification, "none").path == verification.settings.data
    assert counts_of(write_arm(verification, "none")) == {"images": 48, "added": 0, "people": 4}


@pytest.mark.parametrize("arm", ["legan", "jitter", "copies"])
def test_people_are_shown_in_one_more_image_for_each_training_image(verification, arm):
    made, base = write_arm(verification, arm), open_dataset(verification.settings.data)
    assert counts_of(made) == {"images": 96, "added": 48, "people": 4}
    assert np.array_equal(made.images[:72], base.images)
    for split in ("val", "test"):
        assert np.array_equal(made.real_rows(split), base.real_rows(split))
    added = made.faces.iloc[72:]
    assert (added["subject"].to_numpy() == base.subject[base.rows("train")]).all()
    assert made.people("train") == base.people("train")


def test_a_copy_says_of_what_and_shows_the_same(verification):
    made = write_arm(verification, "copies")
    of = made.faces["duplicate_of"].iloc[72:].to_numpy(np.int64)
    assert np.array_equal(made.images[72:], made.images[of])
    assert np.array_equal(of, made.rows("train")[:48])


def test_translations_are_those_of_augment(verification):
    made, translations = write_arm(verification, "legan"), open_dataset(verification.translations)
    assert np.array_equal(made.images[72:], translations.images)
    assert made.faces["lighting"].iloc[72:].tolist() == translations.faces["lighting"].tolist()
    assert made.faces["synthetic"].sum() == 48


def test_an_arm_that_is_there_is_not_written_again(verification):
    first = write_arm(verification, "jitter")
    before = (first.path / "images.npy").stat().st_mtime_ns
    assert (write_arm(verification, "jitter").path / "images.npy").stat().st_mtime_ns == before


def test_expressions_are_filled_with_faces_that_show_them_each_as_often_as_any_other(expression):
    translations, base = open_dataset(expression.translations), open_dataset(expression.settings.data)
    assert translations.faces["expression"].value_counts().to_dict() == {"scream": 12}
    made = write_arm(expression, "copies")
    assert made.faces["expression"].iloc[len(base) :].tolist() == ["scream"] * 12
    of = made.faces["duplicate_of"].iloc[len(base) :].value_counts()
    assert len(of) == 4
    assert set(of) == {3}
    shown = made.faces.iloc[made.rows("train")]["expression"].value_counts()
    assert set(shown) == {16}


def test_rows_do_not_depend_on_the_order_of_translations(expression):
    base, translations = open_dataset(expression.settings.data), open_dataset(expression.translations)
    rows = shown_rows("expression", base, translations, seed=1)
    assert not np.array_equal(rows, shown_rows("expression", base, translations, seed=2))
    assert np.array_equal(np.sort(rows), np.sort(shown_rows("expression", base, translations, seed=2)))


def test_a_jittered_image_depends_on_its_seed_alone():
    rng = np.random.default_rng(0)
    images, hulls = rng.integers(0, 256, (3, 32, 32, 3), np.uint8), np.ones((3, 32, 32), np.bool_)
    whole = jittered(images, hulls, [(0, 1), (0, 2), (0, 3)])
    alone = jittered(images[1:2], hulls[1:2], [(0, 2)])
    assert np.array_equal(whole.images[1], alone.images[0])
    assert whole.mirrored[1] == alone.mirrored[0]
    assert not np.array_equal(whole.images[1], images[1])


def test_half_are_mirrored_and_hulls_follow():
    image, hull = np.zeros((1, 32, 32, 3), np.uint8), np.zeros((1, 32, 32), np.bool_)
    image[:, 8:24, 2:12], hull[:, 8:24, 2:12] = 255, True
    many = 200
    made = jittered(np.repeat(image, many, 0), np.repeat(hull, many, 0), range(many))
    assert 70 < made.mirrored.sum() < 130
    middle = (made.hulls * np.arange(32)).sum((1, 2)) / made.hulls.sum((1, 2))
    assert np.array_equal(middle > 16, made.mirrored)
    bright = made.images.mean(3) > 90
    overlap = (bright & made.hulls).sum((1, 2)) / (bright | made.hulls).sum((1, 2))
    assert np.median(overlap) > 0.85


def test_lightings_of_mirrored_images_are_mirrored_too(verification):
    made, base = write_arm(verification, "jitter"), open_dataset(verification.settings.data)
    rows = made.faces["row_there"].iloc[72:].to_numpy()
    before, after = base.faces["lighting"].to_numpy()[rows], made.faces["lighting"].iloc[72:].to_numpy()
    changed = before != after
    assert changed.any()
    assert all(base.schema.flip[one] == other for one, other in zip(before[changed], after[changed], strict=True))


def test_classes_that_only_added_rows_show_come_behind_the_data_sets_own():
    def data(lightings, flip, shown):
        faces = pd.DataFrame({"expression": ["neutral"] * len(shown), "lighting": shown})
        schema = AttributeSchema(("neutral", "grin"), lightings, flip)
        return Dataset(Path("x"), "x", 32, schema, faces, np.zeros(0, np.uint8), "", "", np.zeros(0, np.uint8), {}, {})

    base = data(("any",), {"any": "any"}, ["any"])
    more = data(("left", "right", "top"), {"left": "right", "right": "left", "top": "top"}, ["left", "right", "left"])
    joined = joined_schema(base, Added(more, np.arange(3)))
    assert joined.expressions == ("neutral", "grin")
    assert joined.lightings == ("any", "left", "right")
    assert joined.flip == {"any": "any", "left": "right", "right": "left"}
    one_side = joined_schema(base, Added(more, np.array([0])))
    assert one_side.lightings == ("any", "left")
    assert one_side.flip == {}


def test_further_real_images_are_of_the_same_people_and_of_nobody_who_is_tested(tiny_data, verification, tmp_path):
    whole = open_dataset(tiny_data)
    few = open_dataset(keep_faces(whole, tmp_path / "few", whole.faces["lighting"].isin(["left", "right"])))
    translations = open_dataset(verification.translations).faces.iloc[:20]
    some = Dataset(**{**vars(open_dataset(verification.translations)), "faces": translations})
    data, rows = further_rows("verification", few, some, whole, whole)
    assert len(set(rows.tolist())) == 20
    assert set(data.subject[rows]) <= set("abcd")
    assert not set(data.faces["lighting"].iloc[rows]) & {"left", "right"}  # which are there already


def test_people_of_another_source_get_names_of_their_own(tiny_data, verification, tmp_path):
    whole = open_dataset(tiny_data)
    other = write_dataset(
        tmp_path / "other", name="other", schema=whole.schema, faces=whole.faces.drop(columns="duplicate_of"),
        images=255 - whole.images, hulls=whole.packed_hulls, source="elsewhere",
    )  # fmt: skip
    data, rows = further_rows("verification", whole, open_dataset(verification.translations), other, whole)
    assert {name.partition("/")[0] for name in data.subject[rows]} == {"other"}


def test_too_few_further_images_are_counted(tiny_data, verification):
    whole = open_dataset(tiny_data)
    with pytest.raises(DataError, match="has 0 further real images of people who may be trained on, and 48 are needed"):
        further_rows("verification", whole, open_dataset(verification.translations), whole, whole)
