"""Grids as Markdown, and the grid of retrieval and cost."""

from dataclasses import replace

from made_results import change_systems, page_html, probe_results

from ssl_audio.reports.estimates import Cost, Interval, Retrieval
from ssl_audio.reports.grids import Cell, Grid, grid_markdown
from ssl_audio.reports.tables import encoder_grid, probe_csv, terminal_text


def measured():
    """Two systems, of which the second has no network."""
    found = Retrieval("artist", 40, Interval(0.5, 0.4, 0.6), Interval(0.75, 0.7, 0.8))
    made = change_systems(probe_results("one", "two"), retrieval=(found,))
    first, second = made.systems
    costs = (Cost(2_800_000, 123_456_789.0, 37.25), Cost(None, None, 9.0))
    systems = (replace(first, cost=costs[0]), replace(second, cost=costs[1]))
    return replace(made, systems=systems)


def test_markdown_marks_the_best_and_escapes_bars():
    rows = [[Cell("a|b"), Cell("0.5", "best")], [Cell("c"), Cell("+0.1", "sure")],
            [Cell("d"), Cell("+0.0", "unsure")]]  # fmt: skip
    assert grid_markdown(Grid("", "", ("row", "mAP"), rows)).splitlines() == [
        "| row | mAP |", "| --- | --- |", "| a\\|b | **0.5** |", "| c | **+0.1** |",
        "| d | +0.0 |",
    ]  # fmt: skip


def test_retrieval_and_cost_stand_beside_each_system():
    grid = encoder_grid(measured())
    assert grid.header == (
        "system", "same artist, mAP", "hit@1", "parameters", "MMAC/s", "tracks/s",
    )  # fmt: skip
    assert [[cell.text for cell in row] for row in grid.rows] == [
        ["one", "0.500 ±0.100", "0.750 ±0.050", "2,800,000", "123", "37.2"],
        ["two", "0.500 ±0.100", "0.750 ±0.050", "–", "–", "9"],
    ]
    assert "40 of the same artist" in grid.caption and "millions of multiply" in grid.caption
    assert "Retrieval and cost. Retrieval by cosine" in terminal_text(measured())
    assert "<h2>Retrieval and cost</h2>" in page_html(measured())
    assert "same artist,,,hit@1,,,0.75" in probe_csv([measured()])


def test_results_without_them_have_no_such_grid():
    results = probe_results()
    assert encoder_grid(results).rows == []
    assert "Retrieval" not in terminal_text(results) + page_html(results)
