"""Files of data sets, made by the tests."""

from pathlib import Path


def touch(folder: Path, names) -> None:
    """Files that differ in their content, and are no audio."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(str(name).encode())


def write_table(path: Path, rows) -> Path:
    """A CSV of (path, tags, split), with its files."""
    lines = ["path,tags,split", *(f'{name},"{tags}",{split}' for name, tags, split in rows)]
    path.write_text("\n".join(lines))
    touch(path.parent, [name for name, _, _ in rows])
    return path
