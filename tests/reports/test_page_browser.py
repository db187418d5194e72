"""The report in a real browser: no error, charts that answer, and a map that plays."""

import wave
from dataclasses import replace

import pytest
from browser import listened
from made_results import HOSTILE, page_html, playlist_results, probe_results


def opened(browser, folder, results):
    """The open page; `said` has what its console printed."""
    (folder / "report.html").write_text(page_html(results))
    page = listened(browser.new_page(viewport={"width": 1100, "height": 900}))
    page.goto((folder / "report.html").as_uri())
    assert len(page.asked) == 1
    return page


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("report")


@pytest.fixture
def page(browser, folder):
    """A comparison of probes, with one track that can be played."""
    results = probe_results()
    paths = tuple(str(folder / name) for name in ("there.wav", "gone.wav"))
    with wave.open(paths[0], "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(2 * 16_000))
    page = opened(browser, folder, replace(results, map=replace(results.map, paths=paths)))
    yield page
    page.close()


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
def test_every_chart_is_drawn_without_errors_or_requests(page):
    assert page.said == [] and len(page.asked) == 1
    assert page.locator(".chart svg").count() == 7
    assert page.locator(".chart:visible svg").count() == 6  # the tags of one system
    assert page.locator("canvas").evaluate("c => c.width") > 300


@pytest.mark.slow
def test_labels_of_tags_are_12_pixels_high(page):
    label = page.locator(".chooser .chart:visible text", has_text="rare").first
    scale = "e => parseFloat(getComputedStyle(e).fontSize) * e.getScreenCTM().a"
    assert label.evaluate(scale) == pytest.approx(12, abs=0.5)


@pytest.mark.slow
def test_pointing_at_a_mark_tells_its_value(page):
    bar = page.locator(".chooser .chart:visible g[data-row='0'][aria-label*='ROC-AUC']")
    bar.hover()
    text = page.locator("#tooltip.on").inner_text()
    assert text.endswith("ROC-AUC 0.800 ± 0.100, 3 positives")
    page.mouse.move(5, 5)
    assert page.locator("#tooltip.on").count() == 0


@pytest.mark.slow
def test_tags_of_another_system_in_another_order(page):
    charts = page.locator(".chooser .chart")
    page.locator(".which").select_option(index=1)
    assert [chart.is_visible() for chart in charts.all()] == [False, True]
    label = charts.nth(1).locator("g[data-row='1'] text").first
    before = label.bounding_box()["y"]
    page.locator(".order").select_option("name")  # "<" sorts before "r": nothing moves
    assert label.bounding_box()["y"] == before
    charts.nth(1).evaluate("c => { c.dataset.places = '{\"score\": [1, 0]}'; }")
    charts.nth(0).evaluate("c => { c.dataset.places = '{\"score\": [1, 0]}'; }")
    page.locator(".order").select_option("score")
    other = charts.nth(1).locator("g[data-row='0'] text").first
    assert other.bounding_box()["y"] == pytest.approx(before, abs=0.5)
    assert page.said == []


@pytest.mark.slow
def test_charts_have_the_colours_of_the_scheme(page):
    bar = page.locator(".chooser .chart:visible g[aria-label] path").first
    colour = "e => getComputedStyle(e).fill"
    assert bar.evaluate(colour) == "rgb(0, 114, 178)"
    page.emulate_media(color_scheme="dark")
    assert bar.evaluate(colour) == "rgb(79, 163, 227)"


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
    page.locator(".map select").select_option(label="all tracks")
    assert canvas.evaluate(image) != whole
    assert page.said == []


@pytest.mark.slow
def test_playlists_have_charts_with_intervals_and_losses_by_system(browser, tmp_path):
    page = opened(browser, tmp_path, playlist_results())
    assert page.said == []
    assert page.locator(".chart svg").count() == 2 + 2 + 2 + 1
    losses = page.locator(".chooser .chart")
    assert [chart.is_visible() for chart in losses.all()] == [True, False]
    page.locator(".which").select_option(index=1)
    assert [chart.is_visible() for chart in losses.all()] == [False, True]
    page.locator("g[aria-label^='Random: 0.200']").first.hover()
    text = page.locator("#tooltip.on").inner_text()
    assert text == "Random: 0.200, 95 % interval 0.188 to 0.213"
    page.close()
