"""Writing of Parquet files: the parts of a store's folder, and stores of one file."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ssl_audio.io.atomic import atomic_file
from ssl_audio.stores.columns import metadata
from ssl_audio.stores.manifest import Part

LARGE_ROWS, LARGE_BYTES = 1 << 16, 1 << 28  # a part ends once it has so many
ROW_GROUP, GROUP_BYTES = 1024, 1 << 26  # the same of a row group


def write_parts(
    folder: Path, number: int, tables: Iterable[pa.Table], about: Mapping[str, Any]
) -> list[Part]:
    """Write tables as new parts of a store; on an error, none of them stays.

    Args:
        tables: of equal columns; each becomes a row group or more.

    Raises:
        OSError: they cannot be written.
    """
    parts: list[Part] = []
    rest = iter(tables)
    try:
        while (first := next(rest, None)) is not None:
            path = folder / Part(number + len(parts), 0, 0).name
            rows = write_file(path, chain([first], rest), about, LARGE_ROWS, LARGE_BYTES)
            parts.append(Part(number + len(parts), rows, path.stat().st_size))
    except BaseException:
        for part in parts:
            with suppress(OSError):
                (folder / part.name).unlink()
        raise
    return parts


def write_file(
    path: Path, tables: Iterable[pa.Table], about: Mapping[str, Any],
    max_rows: float = float("inf"), max_bytes: float = float("inf"),
) -> int:  # fmt: skip
    """Write tables as one file in one step; it is on disk when the function returns.

    Args:
        tables: one or more, of equal columns.
        max_rows, max_bytes: no more tables are taken once the file has so many.

    Returns:
        the number of rows.

    Raises:
        OSError: it cannot be written.
    """
    first = next(rest := iter(tables))
    schema, rows = first.schema.with_metadata(metadata(about)), 0
    with atomic_file(path, durable=True) as temporary, open(temporary, "wb") as file:
        writer = pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True)
        with writer:
            for table in chain([first], rest):
                writer.write_table(table.cast(schema), row_group_size=ROW_GROUP)
                rows += table.num_rows
                if rows >= max_rows or file.tell() >= max_bytes:
                    break
    return rows


def regrouped(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Small tables joined to tables of a row group each."""
    waiting: list[pa.Table] = []
    rows = size = 0
    for table in tables:
        waiting.append(table)
        rows, size = rows + table.num_rows, size + table.nbytes
        if rows >= ROW_GROUP or size >= GROUP_BYTES:
            yield pa.concat_tables(waiting).combine_chunks()
            waiting, rows, size = [], 0, 0
    if rows:
        yield pa.concat_tables(waiting).combine_chunks()
