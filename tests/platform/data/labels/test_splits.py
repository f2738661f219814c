import random
import time
from collections import Counter, defaultdict
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from legan.platform.data.dataset import Alignment
from legan.platform.data.labels.splits import split_by_subject, split_people
from legan.platform.data.pipeline import Options
from legan.platform.data.prepare import prepare
from legan.platform.data.sources.registry import load_source
from legan.platform.errors import DataError

SPLITS = ("train", "val", "test")
shares = st.floats(0, 0.3)
people_and_labels = st.dictionaries(
    st.text(min_size=1, max_size=4),
    st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from("xyz")), min_size=1, max_size=4),
    min_size=3,
    max_size=40,
)


def faces_of(shown: dict[str, list[tuple[str, str]]]) -> pd.DataFrame:
    rows = [(subject, *labels) for subject, own in shown.items() for labels in own]
    return pd.DataFrame(rows, columns=["subject", "expression", "source"])


def people_of(faces: pd.DataFrame, splits: dict[str, str], kind: str) -> dict[str, Counter[str]]:
    """People of each split by class."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for row in faces[["subject", kind]].drop_duplicates().itertuples():
        found[str(row[2])][splits[str(row.subject)]] += 1
    return found


@settings(deadline=None)
@given(st.sets(st.text(min_size=1), min_size=3, max_size=60), st.integers(0, 5), shares, shares)
def test_splits_are_disjoint_complete_and_of_the_asked_size(
    subjects: set[str], seed: int, val_share: float, test_share: float
) -> None:
    splits = split_by_subject([*subjects, *subjects], val_share=val_share, test_share=test_share, seed=seed)
    assert set(splits) == subjects
    counts = {name: list(splits.values()).count(name) for name in SPLITS}
    for name, share in (("val", val_share), ("test", test_share)):
        assert counts[name] == (max(1, round(share * len(subjects))) if share else 0)
    assert counts["train"] > 0
    assert splits == split_by_subject(sorted(subjects, reverse=True), val_share=val_share, test_share=test_share, seed=seed)


def test_seeds_split_differently_and_too_few_subjects_are_refused() -> None:
    names = [f"{i:03d}" for i in range(337)]
    splits = [split_by_subject(names, test_share=34 / 337, seed=seed) for seed in (0, 1)]
    assert [list(split.values()).count("test") for split in splits] == [34, 34]
    assert splits[0] != splits[1]
    with pytest.raises(DataError, match="2 subjects cannot be split into 1 for validation, 1 for testing"):
        split_by_subject(["a", "b"], val_share=0.1, test_share=0.1)


@settings(max_examples=50, deadline=None)
@given(people_and_labels, st.integers(0, 5), shares, shares)
def test_everybody_is_in_one_split_and_every_class_and_source_trains(
    shown: dict[str, list[tuple[str, str]]], seed: int, val_share: float, test_share: float
) -> None:
    faces = faces_of(shown)
    splits = split_people(faces, val_share=val_share, test_share=test_share, seed=seed)
    assert set(splits) == set(shown)
    for split, share in (("val", val_share), ("test", test_share)):
        assert list(splits.values()).count(split) <= (max(1, round(share * len(shown))) if share else 0)
    people = Counter(splits.values())
    for kind, several in (("expression", 1), ("source", 2)):
        for counts in people_of(faces, splits, kind).values():
            alone = all(people[split] == 1 for split in counts)
            assert counts["train"] or counts.total() < several or alone, "only where nobody else could be held out"
    again = faces.sample(frac=1, random_state=1).sort_index(axis=1)
    assert split_people(again, val_share=val_share, test_share=test_share, seed=seed) == splits


@settings(max_examples=30, deadline=None)
@given(st.sets(st.text(min_size=1), min_size=3, max_size=60), st.integers(0, 5), shares, shares)
def test_people_who_show_the_same_are_split_by_the_hash_alone(
    subjects: set[str], seed: int, val_share: float, test_share: float
) -> None:
    faces = faces_of({subject: [("a", "x"), ("b", "x")] for subject in subjects})
    splits = split_people(faces, val_share=val_share, test_share=test_share, seed=seed)
    assert splits == split_by_subject(subjects, val_share=val_share, test_share=test_share, seed=seed)


@pytest.mark.parametrize("seed", range(20))
def test_a_rare_class_comes_into_train_first_and_into_all_splits_as_soon_as_it_can(seed: int) -> None:
    drawn = random.Random(seed)
    people = {name: drawn.randint(1, 8) for name in "abcdefgh"} | {"common": 300}
    faces = faces_of({f"{name}{i}": [(name, drawn.choice("xy"))] for name, count in people.items() for i in range(count)})
    splits = split_people(faces, val_share=0.05, test_share=0.1, seed=seed)

    shown = people_of(faces, splits, "expression")
    for name, count in people.items():
        assert {split for split in SPLITS if shown[name][split]} == set(
            SPLITS[:1] if count == 1 else SPLITS[::2] if count == 2 else SPLITS
        )
    assert Counter(splits.values())["test"] == round(0.1 * len(splits))
    assert Counter(splits.values())["val"] == round(0.05 * len(splits))


def test_large_classes_and_sources_get_about_their_share() -> None:
    drawn = random.Random(0)
    faces = faces_of(
        {
            f"s{i}": [(drawn.choices("abc", (70, 20, 10))[0], drawn.choices("xy", (9, 1))[0]) for _ in range(drawn.randint(1, 2))]
            for i in range(1000)
        }
    )
    splits = split_people(faces, val_share=0.05, test_share=0.1, seed=0)
    for kind in ("expression", "source"):
        for counts in people_of(faces, splits, kind).values():
            assert counts["test"] / counts.total() == pytest.approx(0.1, abs=0.02)
            assert counts["val"] / counts.total() == pytest.approx(0.05, abs=0.01)


def test_the_few_who_are_held_out_show_as_much_as_possible() -> None:
    faces = faces_of(
        {f"s{i}": [("a", "x")] for i in range(20)} | {f"all{i}": [(name, "x") for name in "abcde"] for i in range(3)}
    )
    splits = split_people(faces, val_share=0.05, test_share=0.05, seed=0)
    assert sorted(splits[f"all{i}"] for i in range(3)) == ["test", "train", "val"]


def test_all_may_test_and_one_may_be_left() -> None:
    faces = faces_of({"ann": [("a", "x")], "bob": [("b", "x")], "cid": [("c", "x")]})
    assert set(split_people(faces, val_share=0.05, test_share=1, seed=0).values()) == {"test"}
    assert set(split_people(faces, val_share=0, test_share=0, seed=0).values()) == {"train"}
    assert split_people(faces.iloc[:1], val_share=0.1, test_share=0.1, seed=0) == {"ann": "train"}


def test_a_hundred_thousand_people_take_seconds() -> None:
    drawn = random.Random(0)
    subjects = [f"{i}.png" for i in range(100_000)]
    faces = pd.DataFrame({"subject": subjects, "expression": "any", "source": drawn.choices("abcdefgh", k=len(subjects))})
    start = time.process_time()
    splits = split_people(faces, val_share=0.1, test_share=0.1, seed=0)
    assert time.process_time() - start < 20
    assert Counter(splits.values()) == {"train": 80_000, "val": 10_000, "test": 10_000}


def test_somebody_is_held_out_though_each_alone_shows_a_class() -> None:
    shown = {"ann": "ab", "bob": "c", "cid": "d", "dan": "ef"}
    faces = faces_of({name: [(label, "x") for label in labels] for name, labels in shown.items()})
    splits = split_people(faces, val_share=0.1, test_share=0.1, seed=0)
    assert {splits["ann"], splits["dan"]} == {"train"}, "they would cost two classes each"
    assert {splits["bob"], splits["cid"]} == {"val", "test"}


def test_a_source_of_one_person_may_be_in_any_split() -> None:
    faces = faces_of({"ann": [("a", "x")], "bob": [("a", "x")], "cid": [("a", "y")], "dan": [("a", "z")]})
    assert set(split_people(faces, val_share=0.1, test_share=0.1, seed=0).values()) == set(SPLITS)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Twelve people under two lightings, the last of whom alone screams, under one."""
    rows = []
    for i in range(24):
        Image.new("RGB", (32, 32), (10 * i, 100, 100)).save(tmp_path / f"{i:02d}.png")
        rows.append((f"{i:02d}.png", f"s{i // 2}", "scream" if i == 23 else "neutral", "left" if i % 2 else "right"))
    pd.DataFrame(rows, columns=["path", "subject", "expression", "lighting"]).to_csv(tmp_path / "faces.csv", index=False)
    return tmp_path / "faces.csv"


@pytest.mark.parametrize("seed", range(12))
def test_a_person_whose_photographs_are_skipped_takes_nobodys_place(table: Path, tmp_path: Path, seed: int) -> None:
    def made(name: str):
        source = load_source("table", None, table)
        return prepare(source, tmp_path / name, Options(Alignment(32), aligned=True), seed=seed, workers=0)

    before = made("before")
    assert before.splits["train"].count("s11") == 1, "who alone screams trains"
    for split in ("val", "test"):
        assert len(before.splits[split]) == 1
        for path in before.faces.loc[before.faces["split"] == split, "source_path"]:
            (tmp_path / path).write_bytes(b"broken")
    after = made("after")
    assert {split: len(people) for split, people in after.splits.items()} == {"train": 8, "val": 1, "test": 1}
    assert len(after.skipped) == 4
