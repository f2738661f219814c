"""The page at / in a real Chromium, before the real application with a tiny model and the real detector."""

import base64
import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from tests.serve.conftest import BESIDE, SIZE, Server, Serving, tiny_model, with_matcher
from tests.serve.study.conftest import open_browser
from tests.serve.study.test_page import contrast, press, text
from tests.serve.study.test_page import wait as wait_s

from legan.models.attributes import AttributeSchema
from legan.models.generator import Generator
from legan.platform.data.dataset import DEFAULT_ALIGNMENT
from legan.platform.data.rendered.render import render_faces
from legan.platform.model import Model, write_model
from legan.serve.api.session import Limits
from legan.serve.api.use_cases import aligned_face
from legan.serve.deploy.local import local_backend

pytestmark = pytest.mark.long
Picture = NDArray[np.uint8]
BREAK_SECOND = """
const real = window.fetch;
let asked = 0;
const lost = (path) => path === "v1/augment" && ++asked === 2;
window.fetch = (path, options) => lost(path) ? Promise.reject(new TypeError("lost")) : real(path, options);
"""
"""The page's second request for combinations does not arrive."""
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


def wait(browser: Chrome, condition: Callable[[], Any]) -> None:
    """Patiently: translations, a detector and a browser share the machine."""
    wait_s(browser, condition, 60)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A Chromium with a camera that shows no face, and a folder for downloads."""
    opened = open_browser(tmp_path_factory.mktemp("chromium"), *CAMERA)
    yield opened
    opened.quit()


@pytest.fixture(scope="module")
def served(model_folder: Path, matcher_folder: Path, serving: Serving) -> Iterator[Server]:
    """The tiny model with a matcher and MTCNN."""
    with serving(local_backend(str(model_folder), str(matcher_folder), "cpu")) as running:
        yield running


@pytest.fixture(scope="module")
def scene() -> Picture:
    """A picture of two rendered people."""
    picture = np.full((300, 520, 3), 90, np.uint8)
    for person, size, left in ((9001, 260, 0), (9002, 200, 300)):
        (((drawn,),), _) = render_faces(person, size=size, expressions=("neutral",), lightings=("ambient",))
        picture[-size:, left : left + size] = drawn
    return picture


@pytest.fixture
def scene_file(scene: Picture, tmp_path: Path) -> Path:
    Image.fromarray(scene).save(tmp_path / "two.people.png")
    return tmp_path / "two.people.png"


@pytest.fixture
def page(browser: Chrome, served: Server) -> Chrome:
    return opened(browser, served)


def opened(browser: Chrome, server: Server) -> Chrome:
    browser.get_log("browser")
    browser.get(f"{server.url}/")
    wait(browser, lambda: shown(browser, "main") or shown(browser, "token"))
    return browser


def shown(browser: Chrome, name: str) -> bool:
    return browser.find_element(By.ID, name).is_displayed()


def upload(browser: Chrome, file: Path) -> None:
    browser.find_element(By.ID, "file").send_keys(str(file))


def choose(browser: Chrome, kind: str, name: str) -> None:
    browser.find_element(By.XPATH, f"//label[input[@name='{kind}' and @value='{name}']]").click()


def done(browser: Chrome, beginning: str) -> None:
    wait(
        browser, lambda: text(browser, "status").startswith(beginning) and not browser.find_elements(By.CSS_SELECTOR, ".waiting")
    )


def pixels(browser: Chrome, name: str) -> Picture:
    """What an image of the page holds, at its own size."""
    script = """
    const image = document.getElementById(arguments[0]), canvas = document.createElement("canvas");
    return image.decode().then(() => {
      Object.assign(canvas, { width: image.naturalWidth, height: image.naturalHeight });
      canvas.getContext("2d").drawImage(image, 0, 0);
      return canvas.toDataURL().split(",")[1];
    });
    """
    data = base64.b64decode(browser.execute_script(script, name))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def downloads(browser: Chrome, folder: Path) -> Callable[[str, str], bytes]:
    """``download(id, name)`` clicks a link and gives the file of this name."""
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})

    def download(link: str, name: str) -> bytes:
        browser.find_element(By.ID, link).click()
        wait(browser, (folder / name).is_file)
        return (folder / name).read_bytes()

    return download


def decoded(data: bytes) -> Picture:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_a_face_is_chosen_by_picture_and_the_photograph_travels_once(
    page: Chrome, served: Server, scene: Picture, scene_file: Path
) -> None:
    tiles = page.find_elements(By.CSS_SELECTOR, "#choices .tile")
    assert [tile.text for tile in tiles] == ["neutral", "smile", "left", "front", "right"]
    assert [radio.accessible_name for radio in page.find_elements(By.CSS_SELECTOR, "#choices input")] == [
        tile.text for tile in tiles
    ]
    wait(
        page,
        lambda: page.execute_script("return [...document.querySelectorAll('.tile img')].every((i) => i.naturalWidth === 128)"),
    )
    served.log.clear()
    upload(page, scene_file)
    done(page, "Neutral, left")
    first, second = served.backend.engine.find_faces(scene)
    np.testing.assert_array_equal(pixels(page, "input"), first.aligned.image)
    choose(page, "expression", "smile")
    done(page, "Smile, left")
    press(page, Keys.TAB, Keys.ARROW_RIGHT)  # to the lightings, and to the next of them
    done(page, "Smile, front")
    made = served.backend.engine.translate_with_masks(first.aligned.image[None], ["smile"], ["front"])
    np.testing.assert_array_equal(pixels(page, "output"), made.images[0])
    np.testing.assert_array_equal(pixels(page, "mask-expression"), made.expression_masks[0])
    np.testing.assert_array_equal(pixels(page, "mask-lighting"), made.lighting_masks[0])
    faces = [aligned_face(found.aligned.image, served.backend) for found in (first, second)]
    (rating,) = served.backend.engine.rate(made.images, faces[:1])
    (before,) = served.backend.engine.rate(first.aligned.image[None], faces[:1])
    assert text(page, "status") == f"Smile, front: naturalness {rating:.1f} of 10 {BESIDE}."
    wait(page, lambda: f"{rating:.1f} of 10\n{BESIDE[1:-1]}; input: {before:.1f}" in text(page, "scores"))
    assert text(page, "scale-warning").startswith("Q rates this model's outputs above real images (6.7 against 4.8 on average)")
    assert "Same person" in text(page, "scores")

    choose(page, "face", "1")
    wait(page, lambda: np.array_equal(pixels(page, "input"), second.aligned.image))
    choose(page, "face", "0")
    done(page, "Smile, front")
    translations = [entry for entry in served.log if entry["route"] == "/v1/translate"]
    assert len(translations) == 4  # what was made once is not asked for again
    assert sum(entry["bytes_in"] > scene_file.stat().st_size for entry in served.log) == 1
    assert page.get_log("browser") == []


def test_the_face_is_put_back_and_everything_can_be_downloaded(
    page: Chrome, served: Server, scene: Picture, scene_file: Path, tmp_path: Path
) -> None:
    download = downloads(page, tmp_path / "downloads")
    upload(page, scene_file)
    done(page, "Neutral, left")
    page.find_elements(By.CSS_SELECTOR, "#frame .box")[1].click()
    choose(page, "lighting", "right")
    done(page, "Neutral, right")
    engine = served.backend.engine
    second = engine.find_faces(scene)[1]
    made = engine.translate_with_masks(second.aligned.image[None], ["neutral"], ["right"])
    np.testing.assert_array_equal(decoded(download("download", "two.people.neutral.right.png")), made.images[0])
    mask = download("download-mask-lighting", "two.people.neutral.right.lighting-mask.png")
    np.testing.assert_array_equal(decoded(mask), made.lighting_masks[0])
    page.find_element(By.ID, "paste").click()
    # Not by its pixels: an image that is exchanged while it is decoded is an error in Chromium.
    wait(page, lambda: page.execute_script("return document.getElementById('output').naturalWidth") == scene.shape[1])
    whole = decoded(download("download", "two.people.neutral.right.photograph.png"))
    np.testing.assert_array_equal(whole, engine.translate_photo(scene, "neutral", "right", 1, paste=True))
    np.testing.assert_array_equal(pixels(page, "input"), scene)


def test_a_pasted_face_says_what_the_model_was_trained_on_and_whether_it_shows_somebody_else(
    browser: Chrome, serving: Serving, scene_file: Path, tmp_path: Path
) -> None:
    write_model(tmp_path / "model", with_matcher(tiny_model(), 1.1))
    with serving(local_backend(str(tmp_path / "model"), device="cpu")) as server:
        page = opened(browser, server)
        upload(page, scene_file)
        done(page, "Neutral, left")
        stranger = "The matcher finds the person nearer to strangers than to the photograph (similarity "
        assert text(page, "person").startswith(stranger)
        assert text(page, "person").endswith("one person from 1.100 on).")
        page.find_element(By.ID, "paste").click()
        wait(page, lambda: "rendered" in text(page, "person"))
        _, note = text(page, "person").splitlines()
        assert note.startswith("This model was trained on faces (source rendered, 40 people); skin, age or hair")


def test_all_combinations_come_a_few_at_a_time_and_are_packed(
    browser: Chrome, served: Server, serving: Serving, scene: Picture, scene_file: Path, tmp_path: Path
) -> None:
    with serving(served.backend, Limits(variants=4)) as small:
        page = opened(browser, small)
        download = downloads(page, tmp_path / "downloads")
        upload(page, scene_file)
        done(page, "Neutral, left")
        assert text(page, "grid-make") == "Make all 6"
        page.execute_script(BREAK_SECOND)
        page.find_element(By.ID, "grid-make").click()
        wait(page, lambda: text(page, "grid-status") == "4 of 6 pictures are made.")
        buttons = page.find_elements(By.CSS_SELECTOR, "#grid button")
        assert [button.is_enabled() for button in buttons] == [True] * 4 + [False] * 2
        assert text(page, "grid-make") == "Make the other 2"
        page.find_element(By.ID, "trouble-retry").click()
        combinations_are_complete(page, served, scene, download)
        assert [entry["status"] for entry in small.log if entry["route"] == "/v1/augment"] == [200, 200]


def combinations_are_complete(page: Chrome, served: Server, scene: Picture, download: Callable[[str, str], bytes]) -> None:
    wait(page, lambda: shown(page, "grid-download"))
    assert text(page, "grid-status") == "6 pictures. Choose one to see it above."
    script = "scrollTo(0, 1e6); return [[details, 'bottom'], [all, 'top']].map(([e, side]) => e.getBoundingClientRect()[side])"
    above, below = page.execute_script(script.replace("all,", "document.getElementById('all'),"))
    assert above <= below  # the result stays in view beside the choices, but never over the table
    assert [head.text for head in page.find_elements(By.CSS_SELECTOR, "#grid th")] == [
        "left",
        "front",
        "right",
        "neutral",
        "smile",
    ]
    data = download("grid-download", "two.people.combinations.zip")
    image = served.backend.engine.find_faces(scene)[0].aligned.image
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        told = json.loads(archive.read("augmented.json"))
        results = told["results"]
        assert (told["model"], told["rejected"]) == (served.backend.info.label, 0)
        assert (told["quality_scale"]["raters"], told["quality_scale"]["mean"]) == ("simulated", 4.8)
        assert [each["index"] for each in results] == list(range(6))
        assert archive.namelist() == ["augmented.json", *(each["image"] for each in results)]
        assert results[5]["image"] == "005-smile-right.png"
        for each in results:
            made = served.backend.engine.translate(image[None], [each["expression"]], [each["lighting"]])[0]
            # A batch may differ from single ones in the last digit.
            assert np.abs(decoded(archive.read(each["image"])).astype(int) - made).max() <= 1
    cells = page.find_elements(By.CSS_SELECTOR, "#grid button")
    names = [cell.accessible_name for cell in cells]
    assert all(name.endswith(f" of 10 {BESIDE}") for name in names)
    assert [", ".join(name.split(", ")[:2]) for name in names[:4]] == [
        "neutral, left",
        "neutral, front",
        "neutral, right",
        "smile, left",
    ]
    page.execute_script("arguments[0].focus()", cells[0])
    press(page, Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.ENTER)
    done(page, "Smile, front")
    assert page.execute_script("return document.activeElement.title") == names[4]
    assert page.find_element(By.CSS_SELECTOR, "#lightings input:checked").get_attribute("value") == "front"
    choose(page, "face", "1")
    wait(page, lambda: not shown(page, "grid"))  # these were of the other face


@pytest.mark.parametrize("single", ["expressions", "lightings"])
def test_a_kind_with_one_class_is_no_choice(
    browser: Chrome, serving: Serving, scene_file: Path, tmp_path: Path, single: str
) -> None:
    schema = AttributeSchema(**{"expressions": ("neutral", "smile"), "lightings": ("left", "right"), single: ("any",)})
    model = replace(tiny_model(), generator=Generator(*(len(names) for names in (schema.expressions, schema.lightings)), 4, 0))
    write_model(tmp_path / "one", replace(model, schema=schema))
    kept = ["neutral", "smile"] if single == "lightings" else ["left", "right"]
    with serving(local_backend(str(tmp_path / "one"), None, "cpu")) as server:
        page = opened(browser, server)
        assert [tile.text for tile in page.find_elements(By.CSS_SELECTOR, "#choices .tile") if tile.is_displayed()] == kept
        upload(page, scene_file)
        done(page, f"{kept[0].capitalize()}: naturalness ")
        page.find_element(By.ID, "grid-make").click()
        wait(page, lambda: text(page, "grid-status").startswith("2 pictures."))
        assert [head.text for head in page.find_elements(By.CSS_SELECTOR, "#grid th")] == kept
        page.find_elements(By.CSS_SELECTOR, "#grid button")[1].click()
        done(page, f"{kept[1].capitalize()}: naturalness ")
        assert "any" not in page.find_element(By.TAG_NAME, "main").text


def test_what_is_wrong_with_a_picture_is_said(page: Chrome, scene_file: Path, tmp_path: Path) -> None:
    Image.new("RGB", (200, 200), (10, 120, 30)).save(tmp_path / "wall.jpg")
    upload(page, tmp_path / "wall.jpg")
    wait(page, lambda: "No face was found in wall.jpg" in text(page, "trouble-text"))
    assert page.find_element(By.ID, "trouble").get_attribute("role") == "alert"
    assert not shown(page, "trouble-retry")  # the same picture again would not help
    (tmp_path / "broken.png").write_bytes(b"no picture at all")
    upload(page, tmp_path / "broken.png")
    wait(page, lambda: "is no image of a known format" in text(page, "trouble-text"))
    (tmp_path / "letter.pdf").write_bytes(b"%PDF")
    upload(page, tmp_path / "letter.pdf")
    wait(page, lambda: "letter.pdf is no picture" in text(page, "trouble-text"))
    (tmp_path / "huge.png").write_bytes(bytes(20_000_001))
    upload(page, tmp_path / "huge.png")
    wait(page, lambda: "huge.png has 20.0 MB, more than the 20 MB" in text(page, "trouble-text"))
    upload(page, scene_file)
    done(page, "Neutral, left")
    assert not shown(page, "trouble")


def test_a_busy_server_and_a_lost_one_are_waited_for(page: Chrome, served: Server, scene_file: Path) -> None:
    upload(page, scene_file)
    done(page, "Neutral, left")
    served.backend.queue = 0
    try:
        choose(page, "lighting", "front")
        wait(page, lambda: "All places are taken just now" in text(page, "trouble-text"))
        assert "tries again by itself" in text(page, "trouble-text")
    finally:
        served.backend.queue = 64
    done(page, "Neutral, front")
    assert not shown(page, "trouble")
    lost = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    page.execute_cdp_cmd("Network.enable", {})
    try:
        page.execute_cdp_cmd("Network.emulateNetworkConditions", lost | {"offline": True})
        choose(page, "lighting", "right")
        wait(page, lambda: "The server cannot be reached" in text(page, "trouble-text"))
    finally:
        page.execute_cdp_cmd("Network.emulateNetworkConditions", lost | {"offline": False})
    page.find_element(By.ID, "trouble-retry").click()
    done(page, "Neutral, right")


def test_a_token_is_asked_for_and_kept_in_memory_only(
    browser: Chrome, served: Server, serving: Serving, scene_file: Path
) -> None:
    with serving(served.backend, tokens=["open sesame", "s3cret"]) as closed:
        opened(browser, closed)
        assert shown(browser, "token")
        assert not shown(browser, "main")
        field = browser.find_element(By.ID, "token-field")
        assert (field.accessible_name, field.get_attribute("type")) == ("This server asks for a token", "password")
        press(browser, "wrong", Keys.ENTER)  # the field has the focus
        wait(browser, lambda: "does not know this token" in text(browser, "trouble-text"))
        press(browser, "s3cret", Keys.ENTER)
        wait(browser, lambda: shown(browser, "main"))
        assert not shown(browser, "token")
        assert not shown(browser, "trouble")
        upload(browser, scene_file)
        done(browser, "Neutral, left")
        kept = browser.execute_script("return [localStorage.length, sessionStorage.length, document.cookie, location.href]")
        assert kept == [0, 0, "", f"{closed.url}/"]
        browser.refresh()
        wait(browser, lambda: shown(browser, "token"))


def test_on_a_phone_at_night_nothing_has_to_be_moved_sideways(page: Chrome, scene_file: Path) -> None:
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    try:
        upload(page, scene_file)
        done(page, "Neutral, left")
        page.find_element(By.ID, "grid-make").click()
        wait(page, lambda: shown(page, "grid-download"))
        assert [head.text for head in page.find_elements(By.CSS_SELECTOR, "#grid th")][:2] == ["neutral", "smile"]  # turned
        widths = "return [document.documentElement, document.getElementById('grid')].map((e) => e.scrollWidth - e.clientWidth)"
        assert page.execute_script(widths) == [0, 0]
        for name in ("status", "choose", "model", "grid-status"):
            assert contrast(page, name) >= 4.5, name
        low = "return [...document.querySelectorAll('.tile, .button')].map((e) => e.offsetHeight).filter((height) => height)"
        assert min(page.execute_script(low)) >= 44  # for fingers
        page.execute_script("document.querySelector('[name=expression]').closest('label').scrollIntoView()")
        choose(page, "expression", "smile")  # below the result, not under it
        done(page, "Smile, left")
        top = page.execute_script("return document.getElementById('output').getBoundingClientRect().top")
        assert 0 <= top < 300  # the result stays in view beside the choices
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_pictures_are_dropped_pasted_and_taken(page: Chrome, scene_file: Path) -> None:
    give = """
    const bytes = Uint8Array.from(atob(arguments[1]), (letter) => letter.charCodeAt(0)), data = new DataTransfer();
    data.items.add(new File([bytes], "given.png", { type: "image/png" }));
    const options = { bubbles: true, cancelable: true, [arguments[0] === "drop" ? "dataTransfer" : "clipboardData"]: data };
    document.body.dispatchEvent(new (arguments[0] === "drop" ? DragEvent : ClipboardEvent)(arguments[0], options));
    """
    for event in ("drop", "paste"):
        opened(page, Server(page.current_url.rstrip("/"), None))  # type: ignore[arg-type]
        page.execute_script(give, event, base64.b64encode(scene_file.read_bytes()).decode())
        done(page, "Neutral, left")
        assert len(page.find_elements(By.CSS_SELECTOR, "#face-tiles .tile")) == 2
    page.find_element(By.ID, "camera-open").click()
    wait(page, lambda: page.execute_script("return document.getElementById('video').videoWidth") > 0)
    page.find_element(By.ID, "camera-take").click()
    wait(page, lambda: "No face was found in camera.jpg" in text(page, "trouble-text"))
    assert not shown(page, "camera")
    assert page.execute_script("return document.getElementById('video').srcObject") is None  # and the camera is off


def test_an_aligned_face_and_a_model_without_masks_and_quality(
    browser: Chrome, plain_folder: Path, serving: Serving, face: Picture, tmp_path: Path
) -> None:
    assert face.shape == (SIZE, SIZE, 3)
    Image.fromarray(face).save(tmp_path / "face.png")
    with serving(local_backend(str(plain_folder), None, "cpu")) as plain:
        page = opened(browser, plain)
        upload(page, tmp_path / "face.png")
        done(page, "Neutral, left.")
        np.testing.assert_array_equal(
            pixels(page, "output"), plain.backend.engine.translate(face[None], ["neutral"], ["left"])[0]
        )
        assert "it has the model's size, 32×32" in text(page, "photo-note")
        assert not any(shown(page, name) for name in ("masks", "scores", "paste"))
        assert {entry["route"] for entry in plain.log} >= {"/v1/model", "/v1/translate"}
        assert "/v1/faces" not in {entry["route"] for entry in plain.log}
        page.find_element(By.CSS_SELECTOR, "#photo-note button").click()
        wait(page, lambda: "No face was found in face.png" in text(page, "trouble-text"))


def test_a_faces_own_class_is_kept_and_shown(
    browser: Chrome, keeping_folder: Path, serving: Serving, scene: Picture, scene_file: Path
) -> None:
    with serving(local_backend(str(keeping_folder), None, "cpu")) as running:
        page = opened(browser, running)
        tiles = [tile.text for tile in page.find_elements(By.CSS_SELECTOR, "#choices .tile")]
        assert tiles == ["as it is", "neutral", "smile", "as it is", "left", "front", "right"]
        upload(page, scene_file)
        done(page, "Neutral, left")
        engine = running.backend.engine
        face = engine.find_faces(scene)[0].aligned.image[None]
        ((expression, lighting),) = engine.own_classes(face)
        choose(page, "expression", "keep")
        done(page, f"{expression.capitalize()} (kept), left")
        np.testing.assert_array_equal(pixels(page, "output"), engine.translate(face, [expression], ["left"])[0])
        assert f"{expression}, as the model reads it: right for 83 % of 240 faces of other people" in text(page, "scores")
        assert page.find_element(By.ID, "download").get_attribute("download") == f"two.people.{expression}.left.png"
        shown_tile = page.find_element(By.CSS_SELECTOR, "#choices input[value=keep] + img").get_attribute("src")
        assert shown_tile == page.find_element(By.ID, "input").get_attribute("src")
        page.find_element(By.ID, "paste").click()
        wait(page, lambda: pixels(page, "output").shape == scene.shape)
        choose(page, "lighting", "keep")
        done(page, f"{expression.capitalize()} (kept), {lighting} (kept)")


def test_one_lighting_is_no_choice(browser: Chrome, serving: Serving, face: Picture, tmp_path: Path) -> None:
    schema = AttributeSchema(("neutral", "smile"), ("daylight",))
    generator = Generator(2, 1, width=4, blocks=1, upsampling="bilinear")
    write_model(tmp_path / "one", Model(generator, None, schema, SIZE, DEFAULT_ALIGNMENT, {}))
    Image.fromarray(face).save(tmp_path / "face.png")
    with serving(local_backend(str(tmp_path / "one"), None, "cpu")) as one:
        page = opened(browser, one)
        assert not shown(page, "lightings")
        upload(page, tmp_path / "face.png")
        done(page, "Neutral.")


def test_a_model_of_another_size_and_with_other_names_takes_over(
    browser: Chrome, model_folder: Path, serving: Serving, scene: Picture, scene_file: Path, tmp_path: Path
) -> None:
    schema = AttributeSchema(("frown", "neutral"), ("left", "front", "back"))
    generator = Generator(2, 3, width=4, blocks=1, upsampling="bilinear")
    write_model(tmp_path / "next", Model(generator, None, schema, 48, DEFAULT_ALIGNMENT, {}))
    with serving(local_backend(str(model_folder), None, "cpu")) as running:
        page = opened(browser, running)
        upload(page, scene_file)
        done(page, "Neutral, left")
        following = local_backend(str(tmp_path / "next"), None, "cpu")
        running.backend.engine, running.backend._info = following.engine, following.info
        choose(page, "lighting", "front")
        wait(page, lambda: "Model next" in text(page, "model"))
        done(page, "Neutral, front.")
        assert [tile.text for tile in page.find_elements(By.CSS_SELECTOR, "#choices .tile")][:3] == ["frown", "neutral", "left"]
        image = following.engine.find_faces(scene)[0].aligned.image
        np.testing.assert_array_equal(pixels(page, "output"), following.engine.translate(image[None], ["neutral"], ["front"])[0])
        assert not shown(page, "trouble")


def test_nothing_is_fetched_from_elsewhere(page: Chrome, served: Server, scene_file: Path) -> None:
    upload(page, scene_file)
    done(page, "Neutral, left")
    time.sleep(0.2)
    loaded: list[Any] = page.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert {name.rpartition("/static/")[2] for name in loaded} >= {
        "page.css",
        "page.js",
        "api.js",
        "grid.js",
        "scores.js",
        "zip.js",
        "camera.js",
    }
    assert all(name.startswith((f"{served.url}/", f"blob:{served.url}/")) for name in loaded)
    policy = served.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert served.get("/static/page.js").headers["cache-control"] == "no-cache"
