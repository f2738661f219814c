import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from legan.platform.errors import CheckpointError, DataError
from legan.platform.evaluation.tables.evaluated import (
    Evaluated,
    incomparable,
    read_evaluation,
    read_preferences,
    repeated,
)
from legan.platform.evaluation.tables.files import csv_text, markdown, picture, write_table
from legan.platform.evaluation.tables.paper import PAPER, method_name
from legan.platform.evaluation.tables.tables import make_table
from legan.platform.tracking.places import Delivered
from legan.platform.tracking.spool import Spool


def evaluation(source: str, output: dict[str, float], *, reference: str = "target", **values: Any) -> Evaluated:
    """As an evaluation's file has it."""
    known = {
        "run_id": f"id-of-{source}",
        "data": "faces",
        "data_hash": "d",
        "generator_hash": source,
        "reference": reference,
        "real_images": 1440,
        "compared_by": {"pairs": "p", "matcher": "m"},
        "left_out": {"lpips": "no weights"},
        "methods": {
            "output": {"pairs": 400, **output},
            "copy input": {"pairs": 400, f"match_to_{reference}": 0.5, f"ssim_to_{reference}": 0.25, "fd_identity": 3.0},
            "real images": {"pairs": 400, f"match_to_{reference}": 1.0, "quality": 6.5, "fd_identity": 0.125},
        },
    }
    return Evaluated(source, known | values)


def three_seeds() -> list[Evaluated]:
    return [evaluation(f"s{i}", {"ssim_to_target": value}) for i, value in enumerate((0.5, 0.6, 0.7))]


def test_a_model_does_not_count_as_two_seeds() -> None:
    same = evaluation("./s1", {}, generator_hash="s1")
    assert [problem.message for problem in repeated([*three_seeds(), same])] == [
        "s1 and ./s1 are one model (their weights are equal), which would count 2 times; name it once"
    ]
    assert repeated(three_seeds()) == []


def test_a_table_names_the_run_of_the_store_in_use(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(home / "legan-0")
    uid = spool.uid
    for sent in (Delivered(0, "http://one", "r1"), Delivered(0, "http://two", "r2")):
        spool.mark_sent(sent)
    spool.close()
    (home / "legan-0" / "model").mkdir()
    known = {"run": "legan-0", "run_id": "r1"}
    for values in (known, known | {"run_uid": uid}, {"run": "legan-0", "run_id": None}):
        assert evaluation("legan-0", {}, **values).run == "r2"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://three")
        assert evaluation("legan-0", {}, **values).run == "legan-0 (not in MLflow)"
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert evaluation("legan-0", {}, **known | {"run_uid": "of another run of this name"}).run == "r1"
    assert evaluation("legan-0", {}, run="legan-0", run_id="of another run").run == "of another run"


def test_the_papers_rows_are_whole() -> None:
    assert PAPER[1].numbers["LEGAN"] == {
        "FID": 29.964, "LPIPS": 0.120, "SSIM": 0.649, "Match": 0.649, "Quality": 5.853, "Human preference": 39.3
    }  # fmt: skip
    assert PAPER[2].numbers["StarGAN-v2"]["LPIPS"] == 0.445
    assert PAPER[3].numbers["StarGAN w/ Lqual"]["Quality"] == 7.15
    votes = [row["Human preference"] for row in PAPER[1].numbers.values() if "Human preference" in row]
    assert sum(votes) == pytest.approx(100, abs=0.1)
    assert all(len(row) == 5 for number in (2, 3) for name, row in PAPER[number].numbers.items() if name != "Real images")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("legan", "LEGAN"),
        ("StarGAN", "StarGAN"),
        ("stargan-lqual", "StarGAN w/ Lqual"),
        ("StarGAN w/ Lqual", "StarGAN w/ Lqual"),
        ("stargan_v2", "StarGAN-v2"),
        ("LEGAN without T", "LEGAN without T"),
    ],
)
def test_methods_are_known_in_several_spellings(given: str, name: str) -> None:
    assert method_name(given) == name


def test_a_cell_is_the_mean_and_deviation_over_seeds_and_names_its_runs() -> None:
    cell = make_table(1, {"LEGAN": three_seeds()}).cells["LEGAN", "SSIM"]
    assert (cell.mean, cell.sd) == (pytest.approx(0.6), pytest.approx(0.1))
    assert (cell.seeds, cell.images, cell.paper) == (3, 400, 0.649)
    assert cell.runs == ("id-of-s0", "id-of-s1", "id-of-s2")
    single = make_table(1, {"LEGAN": three_seeds()[:1]}).cells["LEGAN", "SSIM"]
    assert (single.mean, single.sd, single.seeds) == (0.5, None, 1)


def test_what_is_absent_is_shown_as_absent() -> None:
    table = make_table(1, {"LEGAN": three_seeds()})
    for method, metric in (("LEGAN", "FID"), ("LEGAN", "LPIPS"), ("StarGAN", "SSIM"), ("LEGAN", "Human preference")):
        cell = table.cells[method, metric]
        assert cell.mean is None
        assert cell.paper is not None
    assert "Absent: LPIPS: no weights." in table.notes
    assert "whether they saw" not in str(table.notes)
    strange = [evaluation(name, {}, people_are_new_to_the_model=known) for name, known in (("a", "checked"), ("b", "unknown, …"))]
    assert "unknown whether they saw these people: b." in str(make_table(3, {"LEGAN": strange}).notes)
    partly = [*three_seeds()[:2], evaluation("s3", {"ssim_to_target": 0.5, "fid": 9.0})]
    assert make_table(1, {"LEGAN": partly}).cells["LEGAN", "FID"].mean is None, "a mean over some seeds is no mean over all"


def test_copied_inputs_and_real_images_stand_beside_the_papers_real_row() -> None:
    cells = make_table(1, {"LEGAN": three_seeds()}).cells
    assert cells["Copy input", "SSIM"].mean == 0.25
    real = cells["Real images", "Match"]
    assert (real.mean, real.paper) == (0.5, 0.739), "two real images of one person, not one held against itself"
    assert cells["Real images", "SSIM"].mean is None
    assert cells["Real images", "Quality"].mean == 6.5
    unpaired = make_table(2, {"LEGAN": [evaluation("s", {}, reference="source")]}).cells
    assert unpaired["Real images", "Match"].mean is None


def test_other_models_get_rows_of_their_own_below_the_papers() -> None:
    table = make_table(3, {"mine": three_seeds(), "StarGAN": three_seeds()})
    assert table.methods == ("StarGAN", "StarGAN w/ Lqual", "StarGAN-v2", "LEGAN", "mine", "Copy input", "Real images")
    assert table.cells["mine", "SSIM"].paper is None
    assert "Human preference" not in table.metrics
    assert any("the paper compares them with the source" in note for note in table.notes)


def test_evaluations_by_other_pairs_judges_or_data_are_not_comparable() -> None:
    first = evaluation("a", {})
    assert incomparable([first, evaluation("b", {})]) == []
    other = evaluation("c", {}, compared_by={"pairs": "q", "matcher": "n"}, data_hash="e")
    (problem,) = map(str, incomparable([first, other]))
    assert "a and c are not comparable: they differ in data, pairs, matcher" in problem


def test_markdown_csv_and_picture_say_the_same(tmp_path: Any) -> None:
    table = make_table(1, {"LEGAN": three_seeds(), "StarGAN": [evaluation("g", {"ssim_to_target": 0.55})]})
    text = markdown(table)
    row = next(line for line in text.splitlines() if line.startswith("| LEGAN"))
    assert "0.600 ± 0.100 [2–4]<br>paper 0.649" in row
    assert "| StarGAN | –<br>paper 38.745 |" in text
    assert "0.550 [1]<br>paper 0.559" in text
    assert "2. `id-of-s0`" in text
    rows = list(csv.DictReader(io.StringIO(csv_text(table))))
    ours = next(row for row in rows if (row["method"], row["metric"]) == ("LEGAN", "SSIM"))
    assert float(ours["mean"]) == pytest.approx(0.6)
    assert ours["runs"] == "id-of-s0 id-of-s1 id-of-s2"
    absent = next(row for row in rows if (row["method"], row["metric"]) == ("LEGAN", "FID"))
    assert (absent["mean"], absent["paper"]) == ("", "29.964")
    files = write_table(tmp_path, table)
    assert [path.name for path in files] == ["table1.md", "table1.csv", "table1.png"]
    with Image.open(files[2]) as image:
        assert image.size[0] > 1500


def test_signs_in_names_are_drawn_as_they_are() -> None:
    strange = evaluation("$x_1$ \\frac", {"ssim_to_target": 0.5}, run_id=None)
    assert picture(make_table(1, {"my $model_1$ \\frac": [strange]}))[:4] == b"\x89PNG"


@pytest.mark.parametrize("content", ["", "{}", '{"methods": {}}', "[1]"])
def test_a_damaged_evaluation_is_named(content: str, tmp_path: Any) -> None:
    (tmp_path / "evaluation.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"evaluation\.json cannot be used .* evaluate the model again"):
        read_evaluation(tmp_path, "m")


@pytest.mark.parametrize("damage", [{"left_out": 3}, {"real_images": None}, {"compared_by": 1}, {"methods": {"output": 1}}])
def test_an_evaluation_with_values_of_other_types_is_damaged(damage: dict[str, Any], tmp_path: Any) -> None:
    (tmp_path / "evaluation.json").write_text(json.dumps(evaluation("m", {}).values))
    assert read_evaluation(tmp_path, "m").values == evaluation("m", {}).values
    (tmp_path / "evaluation.json").write_text(json.dumps({**evaluation("m", {}).values, **damage}))
    with pytest.raises(CheckpointError, match=r"evaluation\.json cannot be used"):
        read_evaluation(tmp_path, "m")


def test_human_preference_is_the_share_of_votes_of_a_study(tmp_path: Path) -> None:
    file = tmp_path / "preferences.csv"
    file.write_text("model,votes,share\nLEGAN,6,0.6\nstargan,3,0.3\nmine,1,0.1\n", encoding="utf-8")
    table = make_table(1, {"LEGAN": three_seeds(), "mine": three_seeds()}, read_preferences(file))
    shares = {method: table.cells[method, "Human preference"].mean for method in table.methods}
    assert shares == {
        "LEGAN": pytest.approx(60), "StarGAN": pytest.approx(30), "mine": pytest.approx(10), "StarGAN w/ Lqual": None,
        "StarGAN-v2": None, "Copy input": None, "Real images": None,
    }  # fmt: skip
    assert table.cells["LEGAN", "Human preference"].paper == 39.3
    assert "| 60.0 %<br>paper 39.3 % |" in markdown(table)
    assert any("10 votes in a line-up study of 3 methods, mine among them" in note for note in table.notes)
    assert "Human preference" in make_table(3, {}, read_preferences(file)).metrics


@pytest.mark.parametrize(
    "text", ["model,share\nLEGAN,0.6\n", "model,votes\nLEGAN,some\n", "model,votes\nLEGAN,1\nlegan,2\n", "model,votes\nLEGAN,0\n"]
)
def test_another_file_is_no_preferences(tmp_path: Path, text: str) -> None:
    file = tmp_path / "preferences.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"preferences\.csv.*legan study report"):
        read_preferences(file)


def test_simulated_raters_are_named_in_the_notes() -> None:
    simulated = evaluation("s", {"quality": 6.0}, raters_of_quality="simulated, no person was asked")
    assert "Quality is by simulated raters" in markdown(make_table(1, {"LEGAN": [simulated]}))
    assert "simulated" not in markdown(make_table(1, {"LEGAN": [evaluation("s", {"quality": 6.0})]}))


def seeded(source: str, seed: int | None, ssim: float, **more: float) -> Evaluated:
    values = {"training_seed": None if seed is None else str(seed)}
    return evaluation(source, {"ssim_to_target": ssim, **more}, **values)


def test_methods_are_compared_with_legan_seed_by_seed() -> None:
    legan = [seeded(f"L{seed}", seed, 0.7 + seed / 100, fd_identity=10.0) for seed in range(3)]
    star = [seeded(f"S{seed}", seed, 0.6 + seed / 100 + (seed == 2) / 100, fd_identity=9.0) for seed in (2, 0, 1)]
    table = make_table(1, {"LEGAN": legan, "StarGAN": star, "Mine": [seeded("M", None, 0.9)]})
    difference = table.cells["StarGAN", "SSIM"].difference
    assert difference is not None
    # -0.10, -0.10, -0.09: mean -0.0967, sd 0.00577, half-width 4.30265 · 0.00577 / √3
    assert difference.mean == pytest.approx(-0.29 / 3)
    assert difference.interval == pytest.approx((-0.29 / 3 - 0.014342, -0.29 / 3 + 0.014342), abs=1e-5)
    assert difference.verdict(lower_is_better=False) == "worse"
    assert table.cells["LEGAN", "SSIM"].difference is None
    assert table.cells["Mine", "SSIM"].difference is None
    assert any(note.startswith("Not compared with LEGAN: Mine, whose trainings name no seed") for note in table.notes)
    assert any("Of 2 such comparisons, about 0.1 would be called better or worse by chance" in note for note in table.notes)
    assert "<br>*worse* |" in markdown(table)
    rows = {(row["method"], row["metric"]): row for row in csv.DictReader(io.StringIO(csv_text(table)))}
    assert rows["StarGAN", "FD identity"]["verdict"] == "better"
    assert float(rows["StarGAN", "SSIM"]["low"]) == pytest.approx(-0.29 / 3 - 0.014342, abs=1e-5)
    assert rows["Mine", "SSIM"]["verdict"] == ""


def test_a_seed_that_two_models_of_a_method_have_pairs_nobody() -> None:
    legan = [seeded("L0", 0, 0.7), seeded("L1", 1, 0.8)]
    table = make_table(1, {"LEGAN": legan, "StarGAN": [seeded("a", 0, 0.5), seeded("b", 0, 0.6), seeded("c", 1, 0.6)]})
    difference = table.cells["StarGAN", "SSIM"].difference
    assert difference is not None
    assert (difference.seeds, difference.verdict(lower_is_better=False)) == (1, "one seed only")
