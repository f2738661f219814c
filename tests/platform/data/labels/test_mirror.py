from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from legan.cli import app
from legan.models.attributes import AttributeSchema
from legan.platform.data.dataset import open_dataset
from legan.platform.data.labels.mirror import mirror_line, mirrored, schema_of
from legan.platform.data.labels.words import words_in
from legan.platform.data.rendered.light import FLIP, LIGHTINGS
from legan.platform.data.sources.yale import SCHEMA as YALE
from legan.platform.errors import ConfigError


def swaps(*pairs: str, alone: str = "") -> dict[str, str]:
    """A flip map of ``left=right`` each, and names that stay themselves."""
    split = [(pair.partition("=")[0], pair.partition("=")[2]) for pair in pairs]
    return dict(split) | {b: a for a, b in split} | {name: name for name in alone.split(",") if name}


@pytest.mark.parametrize(
    "flip",
    [
        swaps("left=right"),
        swaps("L=R", alone="frontal"),
        swaps("left_45=right_45", "left_90=right_90", alone="front"),
        swaps("left light=right light", alone="frontal light,ambient"),
        swaps("leftlight=rightlight", alone="centerlight"),
        swaps("LeftLight=RightLight", alone="TopLight,NoLight"),
        swaps("Left_Light=Right_Light", alone="Frontal_Light,Dark"),
        swaps("lit from the left=lit from the right", alone="lit from above"),
        swaps("-45=+45", "-90=+90", alone="0"),
        swaps("-45=45", "-15=15", alone="00"),
        swaps("-45.5=45.5"),
        swaps("az-45=az+45", alone="az0,ambient"),
        swaps("−45°=45°", alone="0°"),
        swaps("m45=p45", alone="0"),
        swaps("neg_30=pos_30", alone="frontal"),
        swaps("azimuth 45=azimuth 315", "azimuth 90=azimuth 270", alone="azimuth 0,azimuth 180"),
        swaps("A-035E+20=A+035E+20", "A-035E-20=A+035E-20", alone="A+000E+90,ambient"),
        swaps("P00A-110E+15=P00A+110E+15", alone="P00A+000E+00"),
        swaps("L45=R45", "L90=R90"),
        swaps("45L=45R", alone="top"),
        swaps("left-45=right-45", "left-90=right-90"),
        swaps("top_left=top_right", "bottom_left=bottom_right", alone="top,bottom,center"),
        swaps("left top=top right", alone="top"),
        swaps("topleft=topright", "lowerleft=lowerright"),
        swaps("TL=TR", "BL=BR"),
        swaps("left=light right", alone="front_1,front_2"),
        swaps("left side=right side", alone="both sides,ambient"),
        swaps("links=rechts", alone="vorne,oben"),
        swaps("Licht von links=Licht von rechts", alone="Licht von vorne,Raumlicht"),
        swaps("gauche=droite", alone="face"),
        swaps("izquierda=derecha", alone="frente"),
        swaps("左=右", alone="正面"),
        swaps("左上=右上", alone="上"),
        swaps(alone="indoor,outdoor"),
        swaps(alone="bright,dark,backlit"),
        swaps(alone="front,side,back"),
        swaps(alone="ambient,flash off,flash on"),
        swaps(alone="any"),
        swaps(alone="lamp 7"),
    ],
)
def test_names_as_users_write_them(flip: dict[str, str]) -> None:
    lightings = sorted(flip)
    assert schema_of(["neutral"], lightings).flip == flip


@pytest.mark.parametrize(
    "lightings",
    [
        ["lamp1", "lamp2"],
        ["light-1", "light-2"],
        ["0", "1", "2"],
        ["-1", "1"],
        ["-1", "0", "1"],
        ["100 lux", "500 lux"],
        ["window", "ambient"],
        ["left", "front"],
        ["left_45", "right_30"],
        ["-45", "0"],
        ["left", "Left", "right"],
        ["45 20", "-45 20"],
        ["side 1", "side 2"],
        ["A", "B"],
        [f"light_{i:02d}" for i in range(20)],
        ["E-20", "E+20"],
    ],
)
def test_nothing_is_guessed(lightings: list[str]) -> None:
    assert schema_of(["neutral"], lightings).flip == {}
    assert mirror_line(schema_of(["neutral"], lightings)).startswith("off, since nobody says what it makes of ")


def test_words_are_found_where_they_are_written_together() -> None:
    assert [words_in(text) for text in ("toplefthand", "bright", "brightlight", "window", "l", "windowleft")] == [
        ["top", "left", "hand"], ["bright"], ["bright", "light"], ["window"], ["l"], ["windowleft"],
    ]  # fmt: skip


def test_the_maps_that_were_written_by_hand_are_read_off_the_names() -> None:
    assert schema_of(YALE.expressions, YALE.lightings).flip == YALE.flip
    assert schema_of(["neutral"], LIGHTINGS).flip == FLIP


def test_an_expression_with_a_side_keeps_images_from_being_mirrored() -> None:
    schema = schema_of(["look left", "look right", "neutral"], ["left", "right"])
    assert schema.flip == {}
    assert mirror_line(schema) == "off, since the expression look left names a side, which it would make wrong"
    assert mirrored(schema, ["left=right"]).flip == {"left": "right", "right": "left"}


def test_what_is_asked_for_comes_before_what_names_tell() -> None:
    schema = schema_of(["neutral"], ["left", "right", "window", "lamp"])
    assert schema.flip == {}
    assert mirror_line(schema) == (
        "off, since nobody says what it makes of window, lamp; say it to `legan data prepare`: --mirror window=lamp where they "
        "swap, --mirror window=window where it stays"
    )
    assert mirrored(schema, []) is schema
    assert mirrored(schema, ["window=lamp"]).flip == swaps("left=right", "window=lamp")
    assert mirrored(schema, ["window=window"]).flip == swaps("left=right", alone="window,lamp")
    assert mirrored(YALE, ["left=left", "right = right"]).flip == swaps(alone="ambient,center,left,right")
    named = schema_of(["neutral"], ["f=1", "f=2"])
    assert mirrored(named, ["f=1=f=2"]).flip == {"f=1": "f=2", "f=2": "f=1"}


def test_all_that_is_wrong_with_mirror_is_told_at_once() -> None:
    schema = AttributeSchema(("neutral",), ("left", "right", "top", "lamp"))
    with pytest.raises(ConfigError) as error:
        mirrored(schema, ["left", "lamp=window", "top=lamp", "lamp=lamp", "left=top"])
    problems = {problem.place: problem.message for problem in error.value.problems}
    assert "write it as LIGHTING=LIGHTING" in problems["--mirror left"]
    assert "there are: left, right, top, lamp" in problems["--mirror lamp=window"]
    assert problems["--mirror lamp=lamp"] == "lamp was to become top; name each lighting once"
    assert problems["--mirror left=top"] == "top was to become lamp; name each lighting once"
    assert problems["--mirror"] == "nobody says what right becomes; say it with --mirror right=LIGHTING"


def test_a_table_with_two_lightings_is_prepared_and_mirrored_as_documented(tmp_path: Path) -> None:
    rows = ["path,subject,lighting"]
    for i in range(12):
        Image.new("RGB", (32, 32), (20 * i, 90, 90)).save(tmp_path / f"{i}.png")
        rows.append(f"{i}.png,s{i // 2},{'lamp1' if i % 2 else 'lamp2'}")
    (tmp_path / "faces.csv").write_text("\n".join(rows))

    def prepare(*more: str) -> str:
        words = ["data", "prepare", "table", "--table", str(tmp_path / "faces.csv"), "--out", str(tmp_path / "out")]
        words += ["--aligned", "--size", "32", "--workers", "0", "--overwrite", *more]
        done = CliRunner().invoke(app, words, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    assert "mirroring: off, since nobody says what it makes of lamp1, lamp2" in prepare()
    assert "mirroring: on, it swaps lamp1 ↔ lamp2" in prepare("--mirror", "lamp1=lamp2")
    assert open_dataset(tmp_path / "out").schema.flip == {"lamp1": "lamp2", "lamp2": "lamp1"}
