"""User-provided labels in a CSV table."""

import posixpath
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ssl_audio.datasets.dataset import SPLITS, LabelledData, LabelledTrack, Listed, require_folder
from ssl_audio.datasets.files import read_rows
from ssl_audio.datasets.random_split import listed
from ssl_audio.io.errors import SslAudioError
from ssl_audio.settings.fields import setting

SPLIT_NAMES = {name: name for name in SPLITS} | dict.fromkeys(("valid", "val", "dev"), "validation")
SEPARATOR = re.compile(r"[|;,]")  # between the tags of a cell; a tag contains none of them


class TagTable(LabelledData):
    """A CSV file with columns `path`, `tags` and optionally `split`, `artist` and `group`.

    The tags of a cell are separated by `|`, `;` or `,`: `rock, live` is the tags `rock` and `live`.
    """

    name = "csv"

    table: Path = setting(
        help="CSV with columns path, tags (separated by | ; or ,), [split], [artist], [group]"
    )
    root: Path | None = setting(
        None, help="folder that the paths are relative to; null: the folder of the table"
    )
    seed: int = setting(0, help="seed of the random split of tracks without a split", min=0)

    def read(self) -> Listed:
        folder = require_folder(self.root) if self.root else self.table.resolve().parent
        tracks = list(self._tracks(folder))
        twice = [track for track, count in Counter(t.id for t in tracks).items() if count > 1]
        if twice:
            raise SslAudioError(f"{self.table}: {twice[0]} is listed twice")
        return listed(tracks, self.seed)

    def _tracks(self, folder: Path) -> Iterator[LabelledTrack]:
        for where, row in read_rows(self.table, ("path", "tags")):
            path, cell = (row["path"] or "").strip(), row["tags"]
            if not path or cell is None:
                raise SslAudioError(f"{where}: no path, or no tags")
            tags = frozenset(tag.strip() for tag in SEPARATOR.split(cell)) - {""}
            split = _split_name(row.get("split"), where)
            artist, group = ((row.get(key) or "").strip() for key in ("artist", "group"))
            yield LabelledTrack(posixpath.normpath(path), folder / path, tags, split, artist, group)


def _split_name(cell: str | None, where: str) -> str | None:
    word = (cell or "").strip().lower()
    if word and word not in SPLIT_NAMES:
        raise SslAudioError(f"{where}: the split {cell!r} is none of {', '.join(SPLIT_NAMES)}")
    return SPLIT_NAMES.get(word)
