"""CSV that a spreadsheet opens without running anything in it."""

import csv
from collections.abc import Iterable
from typing import Any, TextIO

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def plain_cell(value: Any) -> Any:
    """A value as a cell: text that a spreadsheet would run as a formula gets a `'` before it."""
    if not isinstance(value, str) or not value.startswith(_FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value  # a number


class CsvWriter:
    """Writes rows of cells, each made plain.

    Args:
        file: opened with newline="".
    """

    def __init__(self, file: TextIO) -> None:
        self._writer = csv.writer(file, lineterminator="\n")
        self._quoting = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def row(self, cells: Iterable[Any]) -> None:
        plain = [plain_cell(cell) for cell in cells]
        # a carriage return ends a line for readers, and is not quoted by Python before 3.13
        quoted = any(isinstance(cell, str) and "\r" in cell for cell in plain)
        (self._quoting if quoted else self._writer).writerow(plain)

    def rows(self, rows: Iterable[Iterable[Any]]) -> None:
        for cells in rows:
            self.row(cells)
