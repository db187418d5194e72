"""Musical properties of excerpts that this package synthesises: no download, exact labels."""

from pathlib import Path
from typing import Literal

from ssl_audio.audio.task_corpus import TASKS, TEMPI, make_task_corpus
from ssl_audio.datasets.dataset import LabelledData, LabelledTrack, Listed
from ssl_audio.datasets.single_label import classified, key_credits, tempo_credits
from ssl_audio.settings.fields import setting

SPLITS = (("train", 0.65), ("validation", 0.8), ("test", 1.0))  # by cumulative fraction
CREDITS = {"key": key_credits(), "tempo": tempo_credits(TEMPI)}


class Synthetic(LabelledData):
    """Reading it makes the excerpts that are not there yet, some seconds for a hundred."""

    name = "synthetic"
    licence = "as this package"

    task: Literal["key", "tempo", "chord", "instrument", "pitch"] = setting(
        "key", help="24 keys, 25 tempi, 8 qualities of chords, 9 instruments, 36 pitches"
    )
    tracks: int = setting(1200, help="excerpts; 65, 15 and 20 % train, validate and test", min=100)
    seconds: float = setting(8.0, help="length of an excerpt", min=1, max=60)
    seed: int = setting(0, help="seed of the excerpts", min=0)
    root: Path | None = setting(None, help="folder of the excerpts; null: the user's cache")

    def read(self) -> Listed:
        made = make_task_corpus(self.task, self.tracks, self.seconds, self.seed, self.root)
        ends = [(name, round(end * self.tracks)) for name, end in SPLITS]
        tracks = [
            LabelledTrack(path.stem, path, (label,), next(n for n, end in ends if track < end))
            for track, (path, label) in enumerate(made)
        ]
        return classified(tracks, TASKS[self.task].classes, CREDITS.get(self.task))
