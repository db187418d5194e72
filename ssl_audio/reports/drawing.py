"""Style and export of figures: PNG and SVG files, and the SVG of the page, from one drawing.

Marks that were passed to `describe` have a tooltip.
"""

from __future__ import annotations

import io
import json
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from ssl_audio.io.atomic import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# colours on white and on the page's dark background: contrast of 3 or more to the background,
# pairwise distance of 28 or more in CIELAB; markers differ too, for colour-blind readers
SERIES = (
    ("#0072b2", "#4fa3e3"), ("#d55e00", "#ff8a3d"), ("#00896a", "#2cc59b"),
    ("#b8509c", "#ee8fc8"), ("#9a7500", "#f0d050"), ("#5d3a9b", "#a98bf5"),
    ("#17a0b8", "#8fe6f5"), ("#7a4a1e", "#b98a60"), ("#757b82", "#a3adb7"),
    ("#1b1f26", "#ffffff"),
)  # fmt: skip
MARKERS = "osD^vPX"
# the other colours of a page, on light and on dark
PALETTE = {
    "--ink": ("#1b1f24", "#e8ebee"), "--soft": ("#5b6570", "#a3adb7"),
    "--line": ("#d9dee4", "#3a424b"), "--paper": ("#ffffff", "#14181c"),
    "--panel": ("#f6f8fa", "#1d2329"), "--accent": ("#0072b2", "#56b4e9"),
    "--warn": ("#fff4d6", "#3a3110"), "--warn-line": ("#e0b400", "#a88700"),
}  # fmt: skip
INK, SOFT, LINE, PAPER = (PALETTE[name][0] for name in ("--ink", "--soft", "--line", "--paper"))
_VARIABLES = {light: name for name, (light, _) in PALETTE.items()} | {
    light: f"--series-{k}" for k, (light, _) in enumerate(SERIES)
}
_MARK = "mark:"
_SVG = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"


def colour(k: int) -> str:
    return SERIES[k % len(SERIES)][0]


def marker(k: int) -> str:
    return MARKERS[k % len(MARKERS)]


@contextmanager
def style() -> Iterator[None]:
    """Context in which all figures are created and written: fonts, colours, reproducible SVG."""
    import matplotlib

    settings: Any = {
        "font.size": 9, "axes.titlesize": 9, "legend.fontsize": 9, "legend.frameon": False,
        "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": SOFT, "xtick.color": SOFT,
        "ytick.color": SOFT, "xtick.labelcolor": INK, "ytick.labelcolor": INK, "grid.color": LINE,
        "axes.axisbelow": True, "axes.spines.top": False, "axes.spines.right": False,
        "text.parse_math": False, "svg.fonttype": "none", "svg.hashsalt": "ssl_audio",
    }  # fmt: skip
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        yield


def describe(artist: Any, text: str = "", row: int | None = None) -> None:
    """Give a mark a tooltip, and a row.

    Args:
        artist: of matplotlib.
        text: of the tooltip; "": none.
        row: all marks of one row move together when the page sorts the rows.
    """
    artist.set_gid(_MARK + json.dumps({"text": text, "row": row}))
    artist.set_in_layout(hasattr(artist, "get_text"))  # only texts can lie outside the axes


def png(figure: Figure) -> bytes:
    """A figure as PNG; equal figures give equal bytes."""
    return _written(figure, "png", {"Software": None})


def svg(figure: Figure) -> ElementTree.Element:
    """A figure as SVG, with a `<title>` in every described mark."""
    written = _written(figure, "svg", {"Date": None})
    root = ElementTree.fromstring(written)  # noqa: S314 - Matplotlib's XML, which escapes all text
    for group in root.iter(f"{{{_SVG}}}g"):
        name = group.get("id", "")
        if not name.startswith(_MARK):
            continue
        mark = json.loads(name.removeprefix(_MARK))
        del group.attrib["id"]
        if mark["row"] is not None:
            group.set("data-row", str(mark["row"]))
        if mark["text"]:
            title = ElementTree.Element(f"{{{_SVG}}}title")
            title.text = mark["text"]
            group.insert(0, title)
    return root


def write_figure(stem: Path, figure: Figure) -> tuple[ElementTree.Element, list[Path]]:
    """Write a figure, within `style()`, as STEM.svg and STEM.png; returns its SVG and the files."""
    root = svg(figure)
    contents = {Path(f"{stem}.svg"): svg_file(root), Path(f"{stem}.png"): png(figure)}
    for path, content in contents.items():
        write_bytes(path, content)
    return root, list(contents)


def svg_file(root: ElementTree.Element) -> bytes:
    """The content of an SVG file."""
    ElementTree.register_namespace("", _SVG)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def svg_element(root: ElementTree.Element, prefix: str, label: str) -> str:
    """An SVG as an element of the page, in the page's colours; changes `root`.

    Args:
        prefix: makes the ids of this figure differ from those of others.
        label: what the figure shows, for screen readers.
    """
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith(("metadata", "}style")):
                parent.remove(child)
    for values in (one.attrib for one in root.iter()):
        if "id" in values:
            values["id"] = prefix + values["id"]
        if _LINK in values:
            values["href"] = "#" + prefix + values.pop(_LINK)[1:]
        if "clip-path" in values:
            values["clip-path"] = values["clip-path"].replace("#", "#" + prefix)
        if "style" in values:
            values["style"] = re.sub("#[0-9a-f]{6}", _variable, values["style"])
    root.set("role", "img")
    root.set("aria-label", label)
    ElementTree.register_namespace("", _SVG)
    return ElementTree.tostring(root, encoding="unicode")


def _variable(found: re.Match[str]) -> str:
    name = _VARIABLES.get(found[0])
    return f"var({name})" if name else found[0]


def _written(figure: Figure, kind: str, metadata: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=200, bbox_inches=_box(figure), metadata=metadata)
    return buffer.getvalue()


@lru_cache(1)
def _box(figure: Figure) -> Any:
    """What a figure fills, inches; to measure takes as long as to draw, so once for both files."""
    figure.draw_without_rendering()
    return figure.get_tightbbox().padded(0.05)
