"""The browser of the tests of pages."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    "--no-sandbox",
    "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",  # WebGL without GPU
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",  # a microphone
)  # fmt: skip


def started() -> Iterator[Any]:
    """A running Chromium; the test is skipped, with the reason, where none starts."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
        try:
            browser = playwright.chromium.launch(executable_path=found, args=list(ARGUMENTS))
        except sync_api.Error as error:
            pytest.skip(f"no browser starts here: {str(error).splitlines()[0]}")
        yield browser
        browser.close()


def listened(page: Any) -> Any:
    """A page; `said` has what its console printed and its errors, `asked` what it requested."""
    page.said, page.asked = [], []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("dialog", lambda dialog: page.said.append("a dialog"))
    page.on("request", lambda request: page.asked.append(request.url))
    return page
