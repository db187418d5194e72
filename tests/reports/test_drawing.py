"""Colours that can be told apart, and figures that are written alike for files and for the page."""

import itertools
import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from ssl_audio.reports import drawing

BACKGROUNDS = drawing.PALETTE["--paper"]  # light and dark


def linear(colour):
    """Linear RGB of a hexadecimal colour."""
    values = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(colour):
    """CIELAB of a colour, D65."""
    matrix = [[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]]
    xyz = np.array(matrix) @ linear(colour) / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(one, other):
    """WCAG's contrast ratio."""
    low, high = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1])
def test_colours_of_series_are_apart_and_stand_out(theme):
    colours = [shades[theme] for shades in drawing.SERIES]
    assert min(contrast(colour, BACKGROUNDS[theme]) for colour in colours) >= 3
    pairs = itertools.combinations(map(lab, colours), 2)
    assert min(np.linalg.norm(a - b) for a, b in pairs) >= 28


def test_series_of_one_colour_have_other_markers():
    looks = [(drawing.colour(k), drawing.marker(k)) for k in range(60)]
    assert len(set(looks)) == 60


def drawn():
    figure = Figure(figsize=(2, 2))
    axes = figure.subplots()
    (line,) = axes.plot([0, 1], [0, 1], color=drawing.colour(0))
    drawing.describe(line, 'a <b> & "c"', row=3)
    axes.text(0.5, 0.5, "<script> $x$ #0072b2")
    return figure


def test_a_file_keeps_its_colours_and_describes_its_marks():
    with drawing.style():
        text = drawing.svg_file(drawing.svg(drawn())).decode()
    assert re.search(r'<g data-row="3">\s*<title>a &lt;b&gt; &amp; "c"</title>', text)
    assert "stroke: #0072b2" in text and "&lt;script&gt; $x$ #0072b2" in text


def test_an_element_of_the_page_takes_the_pages_colours_and_ids_of_its_own():
    with drawing.style():
        text = drawing.svg_element(drawing.svg(drawn()), "f1-", "a line")
    assert text.startswith("<svg") and 'aria-label="a line"' in text and "<style" not in text
    assert "stroke: var(--series-0)" in text and "fill: var(--ink)" in text
    assert "&lt;script&gt; $x$ #0072b2" in text  # text stays as it is
    ids = re.findall(r' id="([^"]*)"', text)
    assert ids and all(name.startswith("f1-") for name in ids)
    assert set(re.findall(r"url\(#([^)]*)", text)) <= set(ids)
