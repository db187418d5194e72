"""CSV for spreadsheets: formulas become text, numbers stay numbers."""

import csv
import io

import pytest

from ssl_audio.io.csv_file import CsvWriter, plain_cell


@pytest.mark.parametrize("cell", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1"])
def test_formulas_are_text(cell):
    assert plain_cell(cell) == f"'{cell}"
    file = io.StringIO(newline="")
    CsvWriter(file).rows([["id"], [cell]])
    assert list(csv.reader(io.StringIO(file.getvalue(), newline=""))) == [["id"], [f"'{cell}"]]


@pytest.mark.parametrize("cell", ["-0.25", "+1e-3", -0.25, 7, None, "a=b", "", "it's", "-inf"])
def test_the_rest_is_as_it_was(cell):
    assert plain_cell(cell) == cell
