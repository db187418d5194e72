"""The report of playlist models in a real browser."""

import pytest
from test_page_browser import browser  # noqa: F401
from test_playlist_page import made_playlist_results

from ssl_audio.reports.page import page_html


@pytest.fixture
def page(browser, tmp_path):  # noqa: F811
    """The open page, with all that its console said."""
    (tmp_path / "report.html").write_text(page_html([made_playlist_results()]))
    opened = browser.new_page(viewport={"width": 1100, "height": 900})
    opened.said = []
    opened.on("console", lambda message: opened.said.append(message.text))
    opened.on("pageerror", lambda error: opened.said.append(str(error)))
    opened.on("dialog", lambda dialog: opened.said.append("a dialog"))
    opened.goto((tmp_path / "report.html").as_uri())
    yield opened
    opened.close()


@pytest.mark.slow
def test_every_chart_is_drawn_and_nothing_is_wrong(page):
    assert page.said == []
    assert page.locator("[data-chart='losses'] svg").count() == 3
    assert page.locator("[data-chart='correlation'] circle").count() == 400
    assert page.locator("table.main").count() == 2


@pytest.mark.slow
def test_another_system_has_other_losses(page):
    select = page.locator("[data-chart='losses'] select")
    select.select_option(index=1)
    assert page.locator("[data-chart='losses'] svg").count() == 1
    assert page.said == []


@pytest.mark.slow
def test_a_figure_tells_its_interval(page):
    cell = page.locator("table.main td[title]").first
    assert cell.is_visible() and " to " in cell.get_attribute("title")
