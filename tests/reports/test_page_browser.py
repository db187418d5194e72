"""The report in a real browser: no error, and a map that answers."""

import shutil
import wave

import pytest
from test_page import HOSTILE, made_results

from ssl_audio.reports.page import page_html

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
        try:
            started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        except sync_api.Error as error:
            pytest.skip(f"no browser starts here: {str(error).splitlines()[0]}")
        yield started
        started.close()


@pytest.fixture
def page(browser, tmp_path):
    """The open page, with all that its console said, and one track that can be played."""
    results = made_results()
    for k, name in enumerate(("there.wav", "gone.wav")):
        results["map"]["paths"][k] = str(tmp_path / name)
    with wave.open(str(tmp_path / "there.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(2 * 16_000))
    (tmp_path / "report.html").write_text(page_html([results]))
    opened = browser.new_page(viewport={"width": 1100, "height": 900})
    opened.said = []
    opened.on("console", lambda message: opened.said.append(message.text))
    opened.on("pageerror", lambda error: opened.said.append(str(error)))
    opened.on("dialog", lambda dialog: opened.said.append("a dialog"))
    opened.goto((tmp_path / "report.html").as_uri())
    yield opened
    opened.close()


def place(page, k):
    """Where the k-th track of the map is; two tracks lie in opposite corners."""
    canvas = page.locator("canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    edge = 0.04 / 1.08
    x = box["x"] + box["width"] * (edge if k == 0 else 1 - edge)
    y = box["y"] + box["height"] * (edge if k == 0 else 1 - edge)
    return x, y


@pytest.mark.slow
def test_every_chart_is_drawn_and_nothing_is_wrong(page):
    assert page.said == []
    assert page.locator("[data-chart] svg").count() == 8
    assert page.locator("[data-chart^='dots'] circle").count() == 2 * 2 * 6
    assert page.locator("canvas").evaluate("c => c.width") > 300


@pytest.mark.slow
def test_pointing_at_a_track_names_it(page):
    page.mouse.move(*place(page, 0))
    assert page.locator("#tooltip.on").inner_text().startswith("a · ")
    page.mouse.move(*place(page, 1))
    assert page.locator("#tooltip.on").inner_text().startswith(HOSTILE)
    assert page.said == []


@pytest.mark.slow
def test_a_click_plays_the_track_or_says_why_not(page):
    page.mouse.click(*place(page, 0))
    page.wait_for_function("document.querySelector('audio').readyState >= 2")
    assert page.locator("audio").evaluate("a => decodeURI(a.src)").endswith("there.wav")
    page.mouse.click(*place(page, 1))
    page.wait_for_function(
        "document.querySelector('.status').textContent.includes('cannot be played')"
    )


@pytest.mark.slow
def test_the_map_zooms_and_takes_another_colour(page):
    canvas, image = page.locator("canvas"), "c => c.toDataURL()"
    page.mouse.move(*place(page, 0))
    before = canvas.evaluate(image)
    page.mouse.wheel(0, -300)
    page.wait_for_function("b => document.querySelector('canvas').toDataURL() !== b", arg=before)
    page.get_by_role("button", name="whole map").click()
    page.mouse.move(5, 5)
    whole = canvas.evaluate(image)
    page.locator("[data-chart=map] select").select_option(label="all tracks")
    assert canvas.evaluate(image) != whole
    page.locator("[data-chart=tags] select").first.select_option(index=1)
    page.locator("[data-chart=tags] select").nth(2).select_option("name")
    assert page.said == []
