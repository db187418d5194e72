"""GTZAN: 10 genres of 30 s excerpts, in the fault-filtered split.

Tzanetakis and Cook 2002. Half of its thousand excerpts are repetitions, distorted, or by an artist
of another split; the filtered split has 930 excerpts, and no artist in two splits (Sturm 2013,
"The GTZAN dataset"; Kereliuk, Sturm and Larsen 2015, "Deep learning and music adversaries").
"""

from pathlib import Path

from ssl_audio.datasets.dataset import SPLITS, LabelledData, LabelledTrack, Listed, require_folder
from ssl_audio.datasets.single_label import classified
from ssl_audio.settings.fields import setting

PUBLISHED_SIZES = dict(zip(SPLITS, (443, 197, 290), strict=True))
FOLDERS = ("", "genres", "genres_original", "Data/genres_original")  # that may hold the genres
SUFFIXES = (".wav", ".au", ".mp3")


class GTZAN(LabelledData):
    name = "gtzan"
    citation = (
        "G. Tzanetakis, P. Cook. Musical genre classification of audio signals. IEEE Transactions "
        "on Speech and Audio Processing 10(5), 2002. Split: C. Kereliuk, B. Sturm, J. Larsen. Deep "
        "learning and music adversaries. IEEE Transactions on Multimedia 17(11), 2015."
    )

    root: Path = setting(
        help="folder of genres/ or of blues/ to rock/; the filtered split's lists are torchaudio's"
    )

    def read(self) -> Listed:
        from torchaudio.datasets import gtzan

        root = require_folder(self.root)
        names = {
            "train": gtzan.filtered_train,
            "validation": gtzan.filtered_valid,
            "test": gtzan.filtered_test,
        }
        folder, suffix = _layout(root, [track for split in names.values() for track in split])
        tracks = [
            LabelledTrack(f"{genre}/{track}", folder / genre / f"{track}{suffix}", (genre,), split)
            for split, own in names.items()
            for track in own
            for genre in [track.partition(".")[0]]
        ]
        return classified(tracks, gtzan.gtzan_genres, published_sizes=PUBLISHED_SIZES)


def _layout(root: Path, tracks: list[str]) -> tuple[Path, str]:
    """The first folder and suffix that any track has; else the first ones."""
    for folder in FOLDERS:
        for suffix in SUFFIXES:
            for track in tracks:
                if (root / folder / track.partition(".")[0] / f"{track}{suffix}").exists():
                    return root / folder, suffix
    return root / FOLDERS[0], SUFFIXES[0]
