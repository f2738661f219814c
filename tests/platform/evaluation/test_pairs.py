from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from legan.models.attributes import AttributeSchema
from legan.platform.data.dataset import Dataset
from legan.platform.errors import ConfigError, DataError
from legan.platform.evaluation.pairs import choose_pairs, pairs_hash, read_pairs, reference_of, write_pairs


def test_pairs_are_of_one_held_out_subject_and_ask_for_what_the_target_shows(data: Dataset) -> None:
    pairs = choose_pairs(data, 40, seed=0)
    assert len(pairs) == 40
    assert reference_of(pairs) == "target"
    source, target = pairs["source_row"].to_numpy(), pairs["target_row"].to_numpy(np.int64)
    held_out = set(data.rows("test"))
    assert set(source) | set(target) <= held_out
    assert (data.subject[source] == data.subject[target]).all()
    assert (data.subject[source] == pairs["subject"]).all()
    assert (data.faces["expression"].to_numpy()[target] == pairs["expression"]).all()
    assert (data.faces["lighting"].to_numpy()[target] == pairs["lighting"]).all()
    assert (data.faces["expression"].to_numpy()[source] == pairs["source_expression"]).all()
    same = (pairs["expression"] == pairs["source_expression"]) & (pairs["lighting"] == pairs["source_lighting"])
    assert not same.any()
    assert not pairs.duplicated(["source_row", "target_row"]).any()


def test_all_targets_come_once_before_any_comes_twice(data: Dataset) -> None:
    pairs = choose_pairs(data, 24, seed=3)
    assert (pairs.head(12)["target_row"].value_counts() == 1).all()
    assert (pairs["target_row"].value_counts() == 2).all()
    assert (pairs[["expression", "lighting"]].value_counts() == 2).all()


def test_pairs_are_decided_by_the_seed(data: Dataset) -> None:
    pd.testing.assert_frame_equal(choose_pairs(data, 30, seed=5), choose_pairs(data, 30, seed=5))
    assert not choose_pairs(data, 30, seed=5).equals(choose_pairs(data, 30, seed=6))


def test_there_are_no_more_pairs_than_the_data_has(data: Dataset) -> None:
    assert len(choose_pairs(data, 10_000, seed=0)) == 12 * 11


def test_exact_duplicates_are_neither_source_nor_target(data: Dataset) -> None:
    held_out = data.rows("test")
    faces = data.faces.copy()
    faces.loc[held_out[5], "duplicate_of"] = held_out[4]
    pairs = choose_pairs(replace(data, faces=faces), 10_000, seed=0)
    assert held_out[5] not in set(pairs["source_row"]) | set(pairs["target_row"])
    assert len(pairs) == 11 * 10


def test_translations_are_neither_source_nor_target(data: Dataset, tmp_path: Path) -> None:
    held_out = data.rows("test")
    made = replace(data, faces=data.faces.assign(synthetic=np.isin(np.arange(len(data)), held_out[:8])))
    pairs = choose_pairs(made, 10_000, seed=0)
    assert set(pairs["source_row"]) | set(pairs["target_row"]) == set(held_out[8:])
    write_pairs(tmp_path / "pairs.csv", choose_pairs(data, 10_000, seed=0), data)
    with pytest.raises(ConfigError, match=rf"row {held_out[0]} is a translation or an exact copy, .*\(8 such\)"):
        read_pairs(tmp_path / "pairs.csv", made, made.schema)
    with pytest.raises(DataError, match=r"test split of .* holds only translations and exact copies"):
        choose_pairs(replace(data, faces=data.faces.assign(synthetic=True)), 5, seed=0)


def test_sources_of_the_targets_session_go_first(data: Dataset) -> None:
    session = np.arange(len(data)) % 2
    data = replace(data, faces=data.faces.assign(session=session))
    pairs = choose_pairs(data, 12, seed=0)
    assert (session[pairs["source_row"]] == session[pairs["target_row"].to_numpy(np.int64)]).all()


def test_without_targets_pairs_are_unpaired(data: Dataset, one_image_each: Callable[[Dataset], Dataset]) -> None:
    pairs = choose_pairs(one_image_each(data), 7, seed=0)
    assert len(pairs) == 7
    assert reference_of(pairs) == "source"
    assert pairs["target_row"].isna().all()
    assert set(pairs["expression"]) <= set(data.schema.expressions)


def test_a_data_set_without_held_out_subjects_is_refused(data: Dataset) -> None:
    with pytest.raises(DataError, match="has no test split to evaluate on"):
        choose_pairs(replace(data, faces=data.faces.assign(split="train")), 5, seed=0)


def test_other_classes_than_the_datas_have_no_targets_and_are_all_asked_for(data: Dataset) -> None:
    schema = AttributeSchema(("calm", "grin"), ("day", "night"))
    pairs = choose_pairs(data, 12, seed=0, schema=schema)
    assert reference_of(pairs) == "source"
    assert set(pairs["expression"]) == {"calm", "grin"}
    assert set(pairs["source_expression"]) <= set(data.schema.expressions)


# The file


def test_pairs_come_back_from_their_file_as_they_were(
    data: Dataset, tmp_path: Path, one_image_each: Callable[[Dataset], Dataset]
) -> None:
    for part in (data, one_image_each(data)):
        pairs = choose_pairs(part, 10, seed=1)
        write_pairs(tmp_path / "pairs.csv", pairs, part)
        again = read_pairs(tmp_path / "pairs.csv", part, part.schema)
        pd.testing.assert_frame_equal(again, pairs, check_dtype=False)
        assert pairs_hash(again, part) == pairs_hash(pairs, part)


def test_the_hash_is_of_what_is_asked_and_of_the_data(data: Dataset) -> None:
    pairs = choose_pairs(data, 10, seed=1)
    assert pairs_hash(pairs, data) != pairs_hash(choose_pairs(data, 10, seed=2), data)
    assert pairs_hash(pairs, data) != pairs_hash(pairs, replace(data, content_hash="other"))
    assert pairs_hash(pairs, data) != pairs_hash(pairs.iloc[::-1], data)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda pairs: pairs.drop(columns=["lighting"]), "lacks the columns lighting"),
        (lambda pairs: pairs.head(0), "holds no pair"),
        (lambda pairs: pairs.assign(source_row=0), "row 0 is not held out"),
        (lambda pairs: pairs.assign(target_row=9999), "row 9999 is not held out"),
        (lambda pairs: pairs.assign(subject="z"), "its subjects are not those of its source rows"),
        (lambda pairs: pairs.assign(expression="grin"), "it asks for expression grin, which the model doesn't know"),
        (lambda pairs: pairs.assign(target_row=pairs["source_row"]), "a target doesn't show the expression and lighting"),
        (lambda pairs: pairs.assign(target_row=1.5), "cannot be read"),
        (lambda pairs: pairs.assign(target_row=pairs["target_row"].where(pairs.index > 0)), "some pairs have a target"),
    ],
)
def test_a_list_that_does_not_fit_the_data_is_refused(
    change: Callable[[pd.DataFrame], pd.DataFrame], problem: str, data: Dataset, tmp_path: Path
) -> None:
    write_pairs(tmp_path / "pairs.csv", change(choose_pairs(data, 10, seed=1)), data)
    with pytest.raises(ConfigError, match=problem):
        read_pairs(tmp_path / "pairs.csv", data, data.schema)


def test_a_target_of_another_subject_is_refused(data: Dataset, tmp_path: Path) -> None:
    two = replace(data, faces=data.faces.assign(split=["test" if name in "ef" else "train" for name in data.subject]))
    pairs = choose_pairs(two, 1000, seed=1)
    other = pairs[pairs["subject"] == "f"].assign(target_row=pairs.loc[pairs["subject"] == "f", "target_row"] - 12)
    write_pairs(tmp_path / "pairs.csv", other, two)
    with pytest.raises(ConfigError, match="a target is of another subject than its source"):
        read_pairs(tmp_path / "pairs.csv", two, two.schema)


def test_all_problems_of_a_list_are_said_at_once(data: Dataset, tmp_path: Path) -> None:
    pairs = choose_pairs(data, 10, seed=1).assign(subject="z", expression="grin", lighting="moon")
    write_pairs(tmp_path / "pairs.csv", pairs, data)
    with pytest.raises(ConfigError) as caught:
        read_pairs(tmp_path / "pairs.csv", data, data.schema)
    assert len(caught.value.problems) == 3


def test_a_list_of_other_data_or_no_list_is_refused(data: Dataset, tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs.csv", choose_pairs(data, 10, seed=1), replace(data, content_hash="0" * 64))
    with pytest.raises(ConfigError, match="was made for other data"):
        read_pairs(tmp_path / "pairs.csv", data, data.schema)
    (tmp_path / "pairs.csv").write_bytes(b"\x00\xff")
    with pytest.raises(ConfigError, match=r"cannot be read|lacks the columns"):
        read_pairs(tmp_path / "pairs.csv", data, data.schema)
