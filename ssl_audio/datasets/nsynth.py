"""NSynth: single notes of 4 s, by their pitch or by the family of their instrument.

Engel et al. 2017, "Neural audio synthesis of musical notes with WaveNet autoencoders";
magenta.tensorflow.org/datasets/nsynth. No instrument of the training split is in another one.
"""

from pathlib import Path
from typing import Literal

from ssl_audio.datasets.dataset import SPLITS, LabelledData, LabelledTrack, Listed, require_folder
from ssl_audio.datasets.files import reading
from ssl_audio.datasets.single_label import classified
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.json_file import read_json
from ssl_audio.settings.fields import setting

PUBLISHED_SIZES = dict(zip(SPLITS, (289205, 12678, 4096), strict=True))
FOLDERS = {"train": "nsynth-train", "validation": "nsynth-valid", "test": "nsynth-test"}
PITCHES = tuple(str(pitch) for pitch in range(128))  # MIDI numbers
FAMILIES = (
    "bass", "brass", "flute", "guitar", "keyboard", "mallet", "organ", "reed", "string",
    "synth_lead", "vocal",
)  # fmt: skip
TASKS = {"pitch": ("pitch", PITCHES), "instrument": ("instrument_family_str", FAMILIES)}


class NSynth(LabelledData):
    name = "nsynth"
    licence = "CC BY 4.0"
    citation = (
        "J. Engel, C. Resnick, A. Roberts, S. Dieleman, D. Eck, K. Simonyan, M. Norouzi. Neural "
        "audio synthesis of musical notes with WaveNet autoencoders. ICML 2017."
    )

    root: Path = setting(help="folder of nsynth-train/, nsynth-valid/ and nsynth-test/")
    task: Literal["pitch", "instrument"] = setting(
        "pitch", help="128 MIDI pitches, or 11 families of instruments"
    )

    def read(self) -> Listed:
        root = require_folder(self.root)
        key, tags = TASKS[self.task]
        tracks = [
            LabelledTrack(note, root / folder / "audio" / f"{note}.wav", (label,), split,
                          group=instrument)
            for split, folder in FOLDERS.items()
            for note, label, instrument in _labels(root / folder / "examples.json", key)
        ]  # fmt: skip
        return classified(tracks, tags, published_sizes=PUBLISHED_SIZES)


def _labels(path: Path, key: str) -> list[tuple[str, str, str]]:
    """Name, label and instrument of each note."""
    with reading(path):
        notes = read_json(path)
    try:
        return [(note, str(about[key]), about["instrument_str"]) for note, about in notes.items()]
    except (KeyError, TypeError, AttributeError) as error:
        raise SslAudioError(f"{path}: not notes with {key}: {error}") from error
