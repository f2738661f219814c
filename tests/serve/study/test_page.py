"""The page in a real Chromium, as raters use it."""

import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait
from tests.serve.study.conftest import COLOURS, Served, make

from legan.platform.data.image import read_image
from legan.serve.study.store import Study

pytestmark = pytest.mark.long
Start = Callable[[Study], Served]


def press(browser: Chrome, *keys: str) -> None:
    ActionChains(browser, duration=0).send_keys(*keys).perform()


def text(browser: Chrome, name: str) -> str:
    return browser.find_element(By.ID, name).text


def wait(browser: Chrome, condition: Callable[[], Any], seconds: float = 15) -> None:
    WebDriverWait(browser, seconds, poll_frequency=0.02).until(lambda _: condition())


def begin(browser: Chrome, link: str) -> None:
    """Open a link and start; returns when the first question takes answers."""
    browser.get(link)
    wait(browser, lambda: browser.find_element(By.ID, "start").is_displayed())
    browser.find_element(By.ID, "start").click()
    wait(browser, lambda: ready(browser))


def ready(browser: Chrome) -> bool:
    return bool(browser.execute_script("return !busy && !document.getElementById('question').hidden"))


def finish(browser: Chrome, *keys: str) -> None:
    """Answer by keyboard, and wait for the next question or another section."""
    before = text(browser, "progress-text")
    press(browser, *keys)
    wait(browser, lambda: text(browser, "progress-text") != before and (ready(browser) or shown(browser) != "question"))


def shown(browser: Chrome) -> str:
    return str(browser.execute_script("return SECTIONS.find((id) => !document.getElementById(id).hidden)"))


def rows(server: Served, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(server.folder / "study.sqlite") as database:
        found = database.execute(query).fetchall()
    database.close()
    return found


def test_ratings_by_keyboard_and_mouse(browser: Chrome, rating_images: Path, tmp_path: Path, served: Start) -> None:
    server = served(make(tmp_path / "study", ratings=rating_images))
    browser.get_log("browser")
    browser.get(server.link())
    wait(browser, lambda: shown(browser) == "intro")
    assert "4 pictures of faces" in text(browser, "intro-text")
    assert "60 seconds for each" in text(browser, "intro-time")
    press(browser, Keys.ENTER)  # the button to start has the focus
    wait(browser, lambda: ready(browser))
    assert text(browser, "progress-text") == "1 of 4"
    assert text(browser, "clock") in ("1:00 left", "0:59 left")
    press(browser, Keys.ENTER)
    assert text(browser, "hint") == "Choose a number first."
    finish(browser, "7", Keys.ENTER)
    finish(browser, "1", "0", Keys.ENTER)
    press(browser, "x", Keys.ARROW_LEFT)
    finish(browser, Keys.ENTER)
    scores = browser.find_elements(By.CSS_SELECTOR, ".score")
    assert [score.text for score in scores] == [str(score) for score in range(11)]
    scores[4].click()
    browser.find_element(By.ID, "save").click()
    wait(browser, lambda: shown(browser) == "done")
    assert "all 4 are done and saved" in text(browser, "done-text")
    stored = rows(server, "SELECT score, seconds FROM answers JOIN tasks USING (task) ORDER BY position")
    assert [score for score, _ in stored] == [7, 10, 9, 4]
    assert all(0 < seconds < 15 for _, seconds in stored)
    assert browser.get_log("browser") == []
    loaded = browser.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert loaded
    assert all(address.startswith(f"http://127.0.0.1:{server.port}/") for address in loaded)


def test_a_lineup_stores_the_model_of_the_picture_chosen(
    browser: Chrome, second_browser: Chrome, lineup_images: Path, tmp_path: Path, served: Start
) -> None:
    """Two raters at once, each picks the picture of one colour wherever it stands."""
    server = served(make(tmp_path / "study", lineup=lineup_images, seed=1))
    wishes = {0: "LEGAN", 1: "StarGAN"}
    browsers = {0: browser, 1: second_browser}
    for rater, driver in browsers.items():
        begin(driver, server.link(rater))
        assert [image.get_attribute("alt") for image in driver.find_elements(By.CSS_SELECTOR, "#examples img")] == [
            "Example of expression smile", "Example of lighting top left",
        ]  # fmt: skip
        assert not driver.find_element(By.ID, "clock").is_displayed()
    places: dict[int, list[int]] = {0: [], 1: []}
    for _ in range(3):
        for rater, driver in browsers.items():
            assert "expression “smile” and lighting “" in text(driver, "ask")
            sources = [image.get_attribute("src") for image in driver.find_elements(By.CSS_SELECTOR, ".candidate img")]
            files = [server.folder / "images" / str(source).rsplit("/", 1)[1] for source in sources]
            colours = [tuple(read_image(file)[0, 0].tolist()) for file in files]
            places[rater].append(colours.index(COLOURS[wishes[rater]]) + 1)
            finish(driver, str(places[rater][-1]), Keys.ENTER)
    assert all(shown(driver) == "done" for driver in browsers.values())
    assert rows(server, "SELECT DISTINCT rater, model, COUNT(*) FROM answers JOIN tasks USING (task) GROUP BY rater, model") == [
        (1, "LEGAN", 3), (2, "StarGAN", 3),
    ]  # fmt: skip
    assert len({*places[0], *places[1]}) > 1


@pytest.mark.kills
def test_a_killed_server_loses_nothing_and_the_page_goes_on(
    browser: Chrome, rating_images: Path, tmp_path: Path, served: Start
) -> None:
    server = served(make(tmp_path / "study", ratings=rating_images))
    begin(browser, server.link())
    finish(browser, "3", Keys.ENTER)
    server.stop(signal.SIGKILL)
    assert rows(server, "SELECT score FROM answers") == [(3,)]
    press(browser, "8", Keys.ENTER)
    wait(browser, lambda: browser.find_element(By.ID, "trouble").is_displayed())
    assert text(browser, "trouble-text").endswith("Your answer is kept in this browser and sent again by itself.")
    server.start()
    wait(browser, lambda: not browser.find_element(By.ID, "trouble").is_displayed())
    wait(browser, lambda: ready(browser))
    assert text(browser, "progress-text") == "3 of 4"
    # Killed again, and this time the rater gives up and comes back later.
    server.stop(signal.SIGKILL)
    press(browser, "5", Keys.ENTER)
    wait(browser, lambda: browser.find_element(By.ID, "trouble").is_displayed())
    browser.get("about:blank")
    server.start()
    browser.get(server.link())
    wait(browser, lambda: shown(browser) == "intro")
    assert text(browser, "start") == "Go on"
    assert "You will see 1 more picture of a face" in text(browser, "intro-text")
    assert rows(server, "SELECT score FROM answers ORDER BY at") == [(3,), (8,), (5,)]


def test_time_runs_out(browser: Chrome, rating_images: Path, tmp_path: Path, served: Start) -> None:
    for name in ("one/0.png", "one/1.png"):
        (rating_images / name).unlink()
    server = served(make(tmp_path / "study", ratings=rating_images, seconds=1))
    begin(browser, server.link())
    wait(browser, lambda: shown(browser) == "timeout")
    assert "It comes once more at the end." in text(browser, "timeout-text")
    time.sleep(1.2)  # nothing runs while nobody is there
    assert rows(server, "SELECT COUNT(*) FROM answers") == [(1,)]
    press(browser, Keys.ENTER)
    wait(browser, lambda: ready(browser))
    press(browser, "6")  # chosen, but not saved: counts when time runs out
    wait(browser, lambda: text(browser, "progress-text") == "2 of 2, second time" and ready(browser))
    wait(browser, lambda: shown(browser) == "timeout")
    assert "for good" in text(browser, "timeout-text")
    press(browser, Keys.ENTER)
    wait(browser, lambda: shown(browser) == "done")
    first, second = (row[0] for row in rows(server, "SELECT task FROM tasks WHERE rater = 1 ORDER BY position"))
    assert rows(server, "SELECT task, round, score, seconds FROM answers ORDER BY at") == [
        (first, 1, None, 1.0), (second, 1, 6, 1.0), (first, 2, None, 1.0),
    ]  # fmt: skip


def test_the_clock_goes_on_where_it_stood(browser: Chrome, rating_images: Path, tmp_path: Path, served: Start) -> None:
    server = served(make(tmp_path / "study", ratings=rating_images))
    begin(browser, server.link())
    time.sleep(1.5)
    browser.get("about:blank")
    time.sleep(2)
    begin(browser, server.link())
    finish(browser, "5", Keys.ENTER)
    ((seconds,),) = rows(server, "SELECT seconds FROM answers")
    assert 1.25 <= seconds < 3.5


@pytest.mark.parametrize("kind", ["ratings", "lineup"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(
    browser: Chrome, kind: str, scheme: str, rating_images: Path, lineup_images: Path, tmp_path: Path, served: Start
) -> None:
    folder = rating_images if kind == "ratings" else lineup_images
    server = served(make(tmp_path / "study", **{kind: folder}))
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    )
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    try:
        begin(browser, server.link())
        assert browser.execute_script("return [innerWidth, document.documentElement.scrollWidth]") == [390, 390]
        for target in browser.find_elements(By.CSS_SELECTOR, "#choices label, #save"):
            box = target.rect
            assert min(box["width"], box["height"]) >= 44
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 390
        save = browser.find_element(By.ID, "save")
        assert browser.execute_script("return arguments[0].getBoundingClientRect().bottom", save) <= 844
        assert contrast(browser, "ask") >= 4.5
        assert contrast(browser, "caption") >= 4.5
        browser.find_elements(By.CSS_SELECTOR, "#choices label")[1].click()
        assert contrast(browser, "save") >= 4.5
        save.click()
        wait(browser, lambda: text(browser, "progress-text").startswith("2 of") and ready(browser))
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def contrast(browser: Chrome, name: str) -> float:
    """WCAG's contrast ratio of an element's text and what lies behind it."""
    script = """
    let element = document.getElementById(arguments[0]), colour = getComputedStyle(element).color, behind;
    do {
      behind = getComputedStyle(element).backgroundColor;
      element = element.parentElement;
    } while (behind === "rgba(0, 0, 0, 0)");
    return [colour, behind].map((text) => text.match(/\\d+/g).slice(0, 3).map(Number));
    """

    def luminance(colour: list[int]) -> float:
        parts = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    low, high = sorted(luminance(colour) for colour in browser.execute_script(script, name))
    return (high + 0.05) / (low + 0.05)


def test_every_control_has_a_name_and_the_focus_is_seen(
    browser: Chrome, lineup_images: Path, tmp_path: Path, served: Start
) -> None:
    server = served(make(tmp_path / "study", lineup=lineup_images))
    begin(browser, server.link())
    radios = browser.find_elements(By.CSS_SELECTOR, "#choices input")
    assert [radio.accessible_name for radio in radios] == ["Picture 1", "Picture 2", "Picture 3"]
    press(browser, Keys.TAB)
    assert browser.switch_to.active_element.get_attribute("name") == "value"
    label = browser.find_element(By.CSS_SELECTOR, "label:has(:focus-visible)")
    assert label.value_of_css_property("outline-style") == "solid"
    press(browser, Keys.SPACE, Keys.ARROW_RIGHT)
    assert radios[1].is_selected()
    press(browser, Keys.TAB)
    assert browser.switch_to.active_element.get_attribute("id") == "save"


def test_a_bad_link_is_explained(browser: Chrome, rating_images: Path, tmp_path: Path, served: Start) -> None:
    server = served(make(tmp_path / "study", ratings=rating_images))
    browser.get(server.link()[:-5] + "/")
    assert "Please open the whole link" in browser.find_element(By.TAG_NAME, "main").text
    assert browser.find_element(By.TAG_NAME, "section").value_of_css_property("max-width") == "640px"  # the style sheet is there
