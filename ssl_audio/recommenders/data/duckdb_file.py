"""DuckDB files of plain tables, also from people who are not trusted.

A database may hold views, macros and computed columns: code that is run by whoever reads them, such
as `create view about as select * from read_text('/etc/passwd')`. A file is opened so that nothing
in it can reach other files, the network or extensions, and is refused unless it holds exactly the
expected tables.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ssl_audio.io.errors import SslAudioError, first_line

Schema = Mapping[str, Mapping[str, str]]  # table -> column -> DuckDB type
CLOSED = {  # of every connection; `lock_configuration` makes them final
    "enable_external_access": False,
    "autoload_known_extensions": False,
    "autoinstall_known_extensions": False,
    "lock_configuration": True,
}
# A file may define macros with the names of functions: the prefix names the built-in ones.
_COLUMNS = """
    select table_name, column_name, data_type, is_generated
    from system.main.duckdb_columns() where not internal
"""
_CODE = """
    select 'view', view_name from system.main.duckdb_views() where not internal
    union all
    select 'function', function_name from system.main.duckdb_functions() where not internal
    union all
    select 'type', type_name from system.main.duckdb_types() where not internal
"""


def import_duckdb() -> Any:
    """The module duckdb, of the extra `playlists`."""
    try:
        import duckdb
    except ImportError as error:
        needed = "pip install 'ssl_audio[playlists]'"
        raise SslAudioError(f"a playlist store needs duckdb: {needed}") from error
    return duckdb


def write_tables(path: str, tables: Mapping[str, Mapping[str, Any]]) -> None:
    """Write a new file of tables; each is a mapping of column names to arrays or lists."""
    import pyarrow as pa

    with connect(Path(path), read_only=False) as connection:
        for name, columns in tables.items():
            connection.register("columns", pa.table(columns))
            query = f"create table {name} as select * from columns"  # noqa: S608 - names of our own
            connection.execute(query)
            connection.unregister("columns")


def check_tables(path: Path, schema: Schema) -> None:
    """Refuse a file that has anything but these tables.

    Raises:
        SslAudioError: no DuckDB file, another schema, or a view, macro, type or computed column.
    """
    duckdb = import_duckdb()
    try:
        with connect(path) as connection:
            columns = connection.execute(_COLUMNS).fetchall()
            code = connection.execute(_CODE).fetchall()
    except duckdb.Error as error:
        raise SslAudioError(f"{path} is no DuckDB file: {first_line(error)}") from error
    code += [("computed column", f"{row[0]}.{row[1]}") for row in columns if row[3]]
    if code:
        kind, name = code[0]
        raise SslAudioError(
            f"{path} holds the {kind} {name!r}, where only tables are expected: it is not used"
        )
    found = {(str(table), str(column), str(kind)) for table, column, kind, _ in columns}
    expected = {
        (table, column, kind) for table, own in schema.items() for column, kind in own.items()
    }
    for table, column, kind in sorted(found ^ expected):
        what = "unexpected" if (table, column, kind) in found else "missing"
        raise SslAudioError(f"{path}: {what} column {table}.{column} of type {kind}")


def fetch(path: Path, query: str) -> dict[str, np.ndarray]:
    """Columns that a query on checked tables yields.

    Raises:
        SslAudioError: a damaged file, or an empty cell.
    """
    duckdb = import_duckdb()
    try:
        with connect(path) as connection:
            found: dict[str, np.ndarray] = connection.execute(query).fetchnumpy()
    except duckdb.Error as error:
        raise SslAudioError(f"{path} is damaged: {first_line(error)}") from error
    for name, column in found.items():
        if np.ma.is_masked(column):
            raise SslAudioError(f"{path} is damaged: an empty cell in column {name}")
    return {name: np.asarray(column) for name, column in found.items()}


def connect(path: Path | None = None, read_only: bool = True) -> Any:
    """A closed connection to a file, or to memory; all connections are made here.

    An absolute path is no URL and names no extension.
    """
    name, fixed = (str(path.absolute()), read_only) if path else (":memory:", False)
    return import_duckdb().connect(name, read_only=fixed, config=dict(CLOSED))
