"""ESC-50: 50 classes of environmental sounds of 5 s, in five folds.

Piczak 2015, "ESC: dataset for environmental sound classification"; github.com/karolpiczak/ESC-50.
"""

from pathlib import Path

from ssl_audio.datasets.dataset import LabelledData, LabelledTrack, Listed, require_folder
from ssl_audio.datasets.files import read_rows
from ssl_audio.datasets.single_label import classified, fold_split
from ssl_audio.io.errors import SslAudioError
from ssl_audio.settings.fields import setting

FOLDS = 5
COLUMNS = ("filename", "fold", "category", "src_file")


class ESC50(LabelledData):
    """Clips cut from one recording are in one fold. Published figures are means of five folds."""

    name = "esc50"
    licence = "CC BY-NC 3.0"
    citation = (
        "K. J. Piczak. ESC: dataset for environmental sound classification. ACM Multimedia 2015."
    )

    root: Path = setting(help="folder of audio/ and meta/esc50.csv")
    fold: int = setting(
        1, help="fold that is tested; the next one validates, the others train", min=1, max=FOLDS
    )

    def read(self) -> Listed:
        root = require_folder(self.root)
        rows = _rows(root / "meta" / "esc50.csv")
        tracks = [
            LabelledTrack(
                row["filename"], root / "audio" / row["filename"], (row["category"],),
                fold_split(int(row["fold"]), self.fold, FOLDS), group=row["src_file"],
            )
            for row in rows
        ]  # fmt: skip
        tags = sorted({row["category"] for row in rows})
        return classified(tracks, tags, notes=(f"fold {self.fold} of {FOLDS} is tested",))


def _rows(path: Path) -> list[dict[str, str]]:
    """The columns of each clip."""
    rows = []
    for where, row in read_rows(path, COLUMNS):
        if row["fold"] not in map(str, range(1, FOLDS + 1)) or not row["category"]:
            raise SslAudioError(f"{where}: a fold from 1 to {FOLDS} and a category")
        rows.append(row)
    return rows
