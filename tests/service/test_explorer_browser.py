"""The explorer in a real browser, on a service over forty short tones."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import uvicorn
from browser import listened

from ssl_audio.recommenders.data.m3u import read_m3u
from ssl_audio.service.app import create_app
from ssl_audio.service.state import Service
from ssl_audio.settings.serve import ServeSettings
from ssl_audio.stores.columns import Row
from ssl_audio.stores.writer import write_store

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
expect.set_options(timeout=30_000)  # milliseconds: a busy machine fails no test
pytestmark = pytest.mark.slow

RATE = 8_000
HOSTILE = '<img src=x onerror=alert(1)> & "quoted".wav'
IDS = [f"{folder}/{k:02} tune.wav" for folder in ("folk", "jazz") for k in range(19)]
IDS += [f"<b>bold<b>/{HOSTILE}", "#1 <script>.wav"]
NEW = {
    "seconds": 2.0, "note": "", "embedding": [0.0] * 8, "inductive": None,
    "acoustic": {"energy": 0.25, "speechiness": 0.5},
    "tags": [{"name": "<i>slow", "probability": 0.9, "present": True},
             {"name": "loud", "probability": 0.1, "present": False}],
    "neighbours": [{"id": IDS[0], "similarity": 0.5}],
    "playlist": {"model": "similarity", "ids": IDS[:3], "unknown": []},
}  # fmt: skip


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The service, in a thread."""
    folder = tmp_path_factory.mktemp("explorer")
    random = np.random.default_rng(0)
    rows = []
    for k, name in enumerate(IDS):
        path = folder / "music" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        time_axis = np.arange(RATE) / RATE
        soundfile.write(path, 0.5 * np.sin(2 * np.pi * (200 + 20 * k) * time_axis), RATE)
        vector = np.eye(3)[0 if k < 19 else 1 if k < 38 else 2].repeat(3) * 3
        rows.append(Row(name, str(path), 1.0, "", (vector + random.normal(size=9)).astype("f4")))
    write_store(folder / "features.parquet", {"kind": "made"}, rows)
    app = create_app(Service(ServeSettings(features=folder / "features.parquet")))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        server.should_exit = True
        thread.join()


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """`opened(width, **context)`: the page, with its map loaded; what it says is checked."""
    contexts = []

    def open_page(width: int = 1300, before: str = "", **settings: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 800}, **settings)
        contexts.append(context)
        page = listened(context.new_page())
        if before:
            page.add_init_script(before)
        # a service with an encoder; what it would say of a file is given by each test
        page.route("**/health", lambda route: route.fulfill(json={"encoder": True}))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        for page in context.pages:
            assert page.said == []
            assert all(url.startswith((address, "blob:" + address)) for url in page.asked)
        context.close()


@pytest.fixture
def page(opened: Callable[..., Any]) -> Any:
    page = opened()
    page.locator(f"#map[data-tracks='{len(IDS)}'][data-method='t-SNE']").wait_for()
    return page


def choose(page: Any, text: str) -> None:
    """Search for a track, and take the first that is found."""
    page.locator("#search").fill(text)
    page.locator("[role=option]").first.wait_for()
    page.keyboard.press("Enter")
    page.locator("#neighbours li").first.wait_for()


def until(page: Any, expression: str, value: Any = True) -> None:
    """Wait for a value; Playwright's own waiting is forbidden by the page's policy."""
    deadline = time.monotonic() + 20
    while (found := page.evaluate(expression)) != value:
        assert time.monotonic() < deadline, (expression, found)
        page.wait_for_timeout(30)


def playlist(page: Any) -> list[str]:
    rows = page.locator("#playlist li").all()
    return [row.get_attribute("data-id") for row in rows]


def test_search_plays_a_track_and_shows_its_neighbours(page: Any, address: str) -> None:
    page.locator("#search").fill("tune 07")
    options = page.locator("[role=option]")
    expect(options).to_have_count(2)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    expect(page.locator("#track h2")).to_have_text("07 tune")
    expect(page.locator("#track .where")).to_contain_text("jazz")
    until(page, "document.getElementById('audio').readyState >= 2")
    page.locator("#track > .waveform[data-peaks]").wait_for()
    asked = page.request.post(f"{address}neighbours", data={"id": IDS[26], "k": 12}).json()
    rows = page.locator("#neighbours li")
    expect(rows).to_have_count(12)
    assert [row.get_attribute("data-id") for row in rows.all()] == [one["id"] for one in asked]
    assert rows.first.locator(".number").inner_text() == f"{asked[0]['similarity']:.2f}"
    rows.first.locator(".waveform[data-peaks]").wait_for()
    rows.first.locator(".round").click()
    expect(page.locator("#playing")).to_have_text(asked[0]["id"].split("/")[1][:-4])
    page.locator("#search").fill("nothing like this")
    expect(page.locator("#found")).to_have_text("no track has this in its name")


def test_a_click_in_a_waveform_goes_there(page: Any) -> None:
    choose(page, "folk 03")
    page.locator("#track > .waveform[data-peaks]").wait_for()
    page.keyboard.press(" ")
    box = page.locator("#track > .waveform").bounding_box()
    page.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 20)
    until(page, "document.getElementById('audio').currentTime >= 0.74")
    page.locator("#seek").fill("100")
    until(page, "document.getElementById('audio').currentTime >= 0.1")


def test_the_map_is_walked_by_keys_and_clicked(page: Any, address: str) -> None:
    canvas = page.locator("#points")
    until(page, "document.getElementById('points').width > 400")  # drawn
    canvas.focus()
    page.keyboard.press("ArrowRight")
    first = page.locator("#tooltip.on").inner_text()
    page.keyboard.press("ArrowLeft")
    assert page.locator("#tooltip.on").inner_text() != first
    for key in "++-0":
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    page.locator("#neighbours li").first.wait_for()
    # the leftmost track is at the margin of the whole map
    found = page.request.get(f"{address}map").json()
    row = found["x"].index(0)
    box = canvas.bounding_box()
    y = 56 + (1 - found["y"][row] / 65_535) * (box["height"] - 2 * 56)
    page.mouse.click(box["x"] + 26, box["y"] + y)
    title = found["ids"][row].rpartition("/")[2].removesuffix(".wav")
    expect(page.locator("#track h2")).to_have_text(title)
    page.locator("#legend").get_by_text("jazz").click()
    expect(page.locator("#legend [aria-pressed=true]")).to_have_text("jazz")


def test_names_are_shown_as_text(page: Any) -> None:
    choose(page, "onerror")
    expect(page.locator("#track h2")).to_have_text(HOSTILE.removesuffix(".wav"))
    page.keyboard.press("a")
    expect(page.locator("#playlist .title")).to_have_text(HOSTILE.removesuffix(".wav"))
    assert page.locator("#legend").inner_text().count("<b>bold<b>") == 1
    assert page.locator("img, b, #track i, body script").count() == 0


def test_a_playlist_is_built_reordered_continued_and_read_back(
    page: Any, address: str, tmp_path: Path
) -> None:
    choose(page, "folk 05")
    page.get_by_role("button", name="Add to playlist").click()
    adding = page.locator("#neighbours").get_by_role("button", name="to the playlist")
    for k in (0, 1):
        adding.nth(k).click()
    a, b, c = playlist(page)
    assert a == IDS[5]
    page.get_by_role("button", name="move 05 tune down").click()
    assert playlist(page) == [b, a, c]
    page.locator("#playlist li").nth(2).locator(".name").focus()
    page.keyboard.press("Alt+ArrowUp")
    assert playlist(page) == [b, c, a]
    last = page.locator("#playlist li").nth(2)
    page.locator("#playlist li").nth(0).drag_to(last, target_position={"x": 60, "y": 40})
    assert playlist(page) == [c, a, b]
    page.locator("#playlist li").nth(0).locator(".name").focus()
    page.keyboard.press("Delete")
    assert playlist(page) == [a, b]
    page.get_by_label("tracks to add").select_option("5")
    page.locator("#playlist .primary").click()
    expect(page.locator("#playlist li")).to_have_count(7)
    expect(page.locator("#playlist .result")).to_have_text("5 tracks added by similarity")
    expect(page.locator("#playlist li.new")).to_have_count(5)
    with page.expect_download() as waited:
        page.get_by_role("button", name="download as M3U").click()
    file = tmp_path / waited.value.suggested_filename
    waited.value.save_as(file)
    shown = playlist(page)
    music = page.request.get(f"{address}tracks?query=folk 05").json()["tracks"][0]["path"]
    assert [one.id for one in read_m3u(file, Path(music).parents[1])] == shown
    assert read_m3u(file)[0].title == "05 tune"
    page.reload()
    expect(page.locator("#playlist li")).to_have_count(7)
    assert playlist(page) == shown
    expect(page.locator("#track h2")).to_have_text("05 tune")  # the address names it
    page.get_by_role("button", name="remove all tracks").click()
    assert playlist(page) == []
    page.get_by_role("button", name="Undo").click()
    assert playlist(page) == shown


def answered(page: Any) -> list[bytes]:
    """The bodies of the files that the page sends; each is answered with `NEW`."""
    bodies: list[bytes] = []

    def answer(route: Any) -> None:
        bodies.append(route.request.post_data_buffer)
        route.fulfill(json=NEW)

    page.route("**/new-track", answer)
    return bodies


def test_a_dropped_file_gets_tags_neighbours_and_a_playlist(page: Any) -> None:
    bodies = answered(page)
    content = io.BytesIO()
    soundfile.write(content, np.linspace(-0.5, 0.5, RATE), RATE, format="WAV")
    drop = """(body, [bytes, name]) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], name, { type: "audio/wav" }));
        for (const type of ["dragover", "drop"])
            body.dispatchEvent(new DragEvent(type, { dataTransfer: data, bubbles: true }));
    }"""
    page.locator("body").evaluate(drop, [list(content.getvalue()), "<u>new.wav"])
    expect(page.locator("#track h2")).to_have_text("<u>new.wav")
    expect(page.locator("#neighbours li")).to_have_count(1)
    assert content.getvalue() in bodies[0]
    tags = page.get_by_label("probabilities of tags").locator("div")
    assert [one.inner_text().split("\n") for one in tags.all()] == [
        ["<i>slow", "0.90"],
        ["loud", "0.10"],
    ]
    assert tags.first.locator(".bar span").evaluate("e => e.style.width") == "90%"
    expect(page.get_by_label("acoustic features").locator("div")).to_have_count(2)
    page.get_by_role("button", name="Add a playlist around it (3)").click()
    assert playlist(page) == IDS[:3]
    page.locator("#track > .waveform[data-peaks='400']").click()
    until(page, "document.getElementById('audio').readyState >= 2")


def test_the_microphone_gives_a_wav_file(page: Any) -> None:
    bodies = answered(page)
    page.locator("#record").click()
    expect(page.locator("#record")).to_have_attribute("aria-pressed", "true")
    page.wait_for_timeout(1300)
    page.keyboard.press("m")
    expect(page.locator("#neighbours li")).to_have_count(1)
    start = bodies[0].index(b"RIFF")
    size = int.from_bytes(bodies[0][start + 4 : start + 8], "little") + 8
    samples, rate = soundfile.read(io.BytesIO(bodies[0][start : start + size]))
    assert samples.ndim == 1 and 1 <= len(samples) / rate < 5
    assert np.abs(samples).max() > 0.01  # Chromium's own microphone beeps


def test_a_refusal_is_shown(page: Any) -> None:
    detail = "the audio is damaged"
    page.route(
        "**/new-track",
        lambda route: route.fulfill(
            status=422, body=json.dumps({"detail": detail}), content_type="application/problem+json"
        ),
    )
    page.locator("#file").set_input_files(
        {"name": "a.wav", "mimeType": "audio/wav", "buffer": b"no"}
    )
    expect(page.locator("#track .notes")).to_have_text(detail)
    assert page.said.pop().endswith("(Unprocessable Entity)")  # the browser's own line


def test_keys_and_help(page: Any) -> None:
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    choose(page, "jazz 01")
    until(page, "!document.getElementById('audio').paused")
    for key in "jj":
        page.keyboard.press(key)
    rows = page.locator("#neighbours li")
    expect(page.locator("#playing")).to_have_text(rows.nth(1).locator(".title").inner_text())
    page.keyboard.press("a")
    assert playlist(page) == [rows.nth(1).get_attribute("data-id")]
    page.keyboard.press("c")
    expect(page.locator("#playlist li")).to_have_count(11)
    unnamed = "[...document.querySelectorAll('button, input, select, [role=slider]')].filter((e) =>"
    unnamed += " !e.textContent.trim() && !e.ariaLabel && !e.labels?.length).length"
    assert page.evaluate(unnamed) == 0


def test_dark_and_light(opened: Callable[..., Any]) -> None:
    page = opened(color_scheme="dark")
    colour = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(colour) == "rgb(20, 24, 28)"
    page.keyboard.press("d")
    assert page.evaluate(colour) == "rgb(255, 255, 255)"
    page.reload()
    assert page.evaluate(colour) == "rgb(255, 255, 255)"


def test_narrow_screens_show_a_part_at_a_time(opened: Callable[..., Any]) -> None:
    page = opened(360)
    for name in ("Track", "Playlist", "Map"):
        page.get_by_role("button", name=name, exact=name != "Playlist").first.click()
        assert page.locator("main > :visible").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth") == 360
    choose(page, "folk 03")
    expect(page.locator("#track")).to_be_visible()
    assert page.locator("#track").evaluate("e => e.scrollWidth <= e.clientWidth")
    assert page.locator("#play").bounding_box()["y"] < 800


def test_without_webgl_the_rest_works(opened: Callable[..., Any]) -> None:
    without = """const own = HTMLCanvasElement.prototype.getContext;
        HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
            return kind.startsWith("webgl") ? null : own.call(this, kind, ...rest);
        };"""
    page = opened(before=without)
    expect(page.locator("#map-note")).to_contain_text("no WebGL")
    choose(page, "folk 03")
