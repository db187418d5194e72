"""One's own labels: a folder a tag, or a table."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from ssl_audio.audio.sources import find_audio
from ssl_audio.datasets.dataset import SPLITS, Listed, Split, check_folder, one_hot
from ssl_audio.io.errors import SslAudioError

FRACTIONS = (("train", 0.7), ("validation", 0.8), ("test", 1.0))  # cumulative
SPLIT_NAMES = {"valid": "validation", "val": "validation", "dev": "validation"}


def load_folder(root: str | None, seed: int = 0) -> Listed:
    """`root/TAG/...`: a file's tag is the folder that it lies in.

    A file that is linked into several folders has all of their tags. 70, 10 and 20 % are train,
    validation and test, by a hash of the seed and the file's path: adding files moves none.

    Raises:
        SslAudioError: no folder, no audio, or fewer than two tags.
    """
    folder = check_folder(root)
    tags_of: dict[str, set[str]] = defaultdict(set)
    name_of: dict[Path, str] = {}
    for source in find_audio(folder):
        inside = Path(source.path).relative_to(folder)
        if len(inside.parts) > 1:
            name = name_of.setdefault(Path(source.path).resolve(), inside.as_posix())
            tags_of[name].add(inside.parts[0])
    if len({tag for tags in tags_of.values() for tag in tags}) < 2:
        raise SslAudioError(f"{folder}: give a folder a tag, two or more, with audio in each")
    rows = [(name, folder / name, tags_of[name], None) for name in sorted(tags_of)]
    return _listed(rows, seed)


def load_csv(table: str, root: str | None = None, seed: int = 0) -> Listed:
    """A CSV with columns `path`, `tags` (with `|` between them) and, if there is one, `split`.

    Args:
        table: the file.
        root: folder that paths are relative to; None is the table's.
        seed: of the split, as in `load_folder`, where the table has none.

    Raises:
        SslAudioError: the table cannot be read, or a line of it is malformed (with its number).
    """
    path = Path(table)
    folder = check_folder(root) if root else path.resolve().parent
    rows = [(name, folder / name, tags, split) for name, tags, split in _table_rows(path)]
    twice = [name for name, count in Counter(row[0] for row in rows).items() if count > 1]
    if twice:
        raise SslAudioError(f"{path}: {twice[0]} is listed twice")
    return _listed(rows, seed)


def _table_rows(path: Path) -> Iterable[tuple[str, set[str], str | None]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if not {"path", "tags"} <= set(reader.fieldnames or ()):
                raise SslAudioError(f"{path}: columns path and tags are wanted")
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                name, tags = (row["path"] or "").strip(), row["tags"]
                if not name or tags is None:
                    raise SslAudioError(f"{where}: no path, or no tags")
                split = _split_name(row.get("split"), where)
                yield name, {tag.strip() for tag in tags.split("|")} - {""}, split
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SslAudioError(f"cannot read {path}: {error}") from error


def _split_name(cell: str | None, where: str) -> str | None:
    if cell is None or not cell.strip():
        return None
    name = SPLIT_NAMES.get(cell.strip().lower(), cell.strip().lower())
    if name not in SPLITS:
        raise SslAudioError(f"{where}: the split {cell!r} is none of {', '.join(SPLITS)}")
    return name


def _listed(rows: Sequence[tuple[str, Path, set[str], str | None]], seed: int) -> Listed:
    tags = tuple(sorted({tag for _, _, own, _ in rows for tag in own}))
    members: dict[str, list[tuple[str, Path, set[str]]]] = {name: [] for name in SPLITS}
    for name, path, own, split in rows:
        members[split or _drawn_split(name, seed)].append((name, path, own))
    for split, of in members.items():
        if not of:
            raise SslAudioError(f"the {split} split is empty: more tracks are wanted")
    splits = {
        split: Split(
            tuple(name for name, _, _ in of),
            tuple(path for _, path, _ in of),
            one_hot([own for _, _, own in of], tags),
        )
        for split, of in members.items()
    }
    drawn = any(row[3] is None for row in rows)
    notes = (f"split at random, 70/10/20 %, seed {seed}",) if drawn else ()
    return Listed(tags, splits, {}, notes)


def _drawn_split(name: str, seed: int) -> str:
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    return next(split for split, last in FRACTIONS if place < last)
