"""The files of a report: an offline HTML page, CSV, LaTeX, and figures as PNG and SVG."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from ssl_audio.io.atomic import write_text
from ssl_audio.io.console import say, warn
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.run_folder import RESULTS
from ssl_audio.reports import drawing, tables
from ssl_audio.reports.components import templates
from ssl_audio.reports.figures import ROW, Figures, playlist_figures, probe_figures, tag_orders
from ssl_audio.reports.results import PlaylistResults, PretrainResults, ProbeResults, read_results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = "report.html"
Comparison = ProbeResults | PlaylistResults
Pictures = dict[str, dict[str, Markup]]  # SVG elements by group, then by label


def read_comparisons(paths: Sequence[Path]) -> tuple[list[Comparison], int]:
    """The results of the probe and recommend runs among several, and how many are unreadable."""
    found: list[Comparison] = []
    failed = 0
    for path in paths:
        if not path.exists() or (path.is_dir() and not (path / RESULTS).exists()):
            say(f"{path}: no {RESULTS}, left out")
            continue
        try:
            results = read_results(path)
        except SslAudioError as error:
            warn(f"{error}; left out")
            failed += 1
            continue
        if isinstance(results, PretrainResults):
            say(f"{path}: a run of pretrain, left out")
        else:
            found.append(results)
    return found, failed


def publish(results: Comparison, folder: Path) -> None:
    """Write the report of a run into its folder; print its tables and where the page is."""
    write_report([results], folder)
    print(tables.terminal_text(results))
    print(f"report: {folder / PAGE}")


def write_report(many: Sequence[Comparison], folder: Path) -> list[Path]:
    """Write `report.html`, `results.csv`, `table.tex` and `figures/*.{png,svg}` of comparisons into
    an existing folder; returns the files.
    """
    files, pictures = [], []
    with drawing.style():
        for number, one in enumerate(many, 1):
            # a number, since runs of one name may lie in several folders
            below = folder / "figures" / (f"{number}-{Path(one.run).name}" if many[1:] else "")
            below.mkdir(parents=True, exist_ok=True)
            drawn, written = _draw(one, number, below)
            pictures.append(drawn)
            files += written
    texts = {PAGE: _render(many, pictures), "table.tex": "\n".join(map(tables.latex, many))}
    probes = [one for one in many if isinstance(one, ProbeResults)]
    playlists = [one for one in many if isinstance(one, PlaylistResults)]
    if probes:
        texts["results.csv"] = tables.probe_csv(probes)
    if playlists:
        texts["playlists.csv" if probes else "results.csv"] = tables.playlist_csv(playlists)
    for name, text in texts.items():
        write_text(folder / name, text)
    return [*(folder / name for name in texts), *files]


def _draw(one: Comparison, number: int, folder: Path) -> tuple[Pictures, list[Path]]:
    """Draw figures for the page and write them as files; of the tag figures, only the first."""
    figures = probe_figures(one) if isinstance(one, ProbeResults) else playlist_figures(one)
    pictures: Pictures = {}
    files = []
    for stem, group, label, figure in _listed(figures):
        if group != "tags" or group not in pictures:
            root, written = drawing.write_figure(folder / stem, figure)
            files += written
        else:
            root = drawing.svg(figure)
        element = drawing.svg_element(root, f"f{number}-{stem}-", f"{group} {label}".strip())
        pictures.setdefault(group, {})[label] = Markup(element)  # noqa: S704 - escaped by ElementTree
    return pictures, files


def _listed(figures: Figures) -> Iterator[tuple[str, str, str, Figure]]:
    """File name without suffix, group, label and figure; no two file names are the same."""
    for group, by_label in figures.items():
        for k, (label, figure) in enumerate(by_label.items(), 1):
            slug = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")
            yield f"{group}-{k}-{slug[:60]}".rstrip("-") if label else group, group, label, figure


def _render(many: Sequence[Comparison], pictures: Sequence[Pictures]) -> str:
    return templates().get_template("page.html").render(
        sections=list(zip(many, pictures, strict=True)), tables=tables,
        side_by_side=tables.side_by_side(many), map_data=_map_data, tag_orders=tag_orders,
        row_pitch=72 * ROW,
    )  # fmt: skip


def _map_data(results: ProbeResults) -> dict[str, Any]:
    """Points, tags and audio URLs of the map of the test tracks."""
    found = results.map
    assert found is not None
    urls = [Path(path).absolute().as_uri() for path in found.paths]
    return {
        "x": found.x, "y": found.y, "ids": found.ids, "tags": found.tags, "paths": found.paths,
        "urls": urls, "names": results.dataset.tags,
    }  # fmt: skip
