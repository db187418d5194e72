"""GiantSteps: electronic dance music with its key or its tempo.

Knees et al. 2015, "Two data sets for tempo estimation and key detection in electronic dance music
annotated from user corrections"; github.com/GiantSteps has the annotations, and a script in each
repository fetches the audio.
"""

from pathlib import Path
from typing import Literal

from ssl_audio.datasets.dataset import LabelledData, LabelledTrack, Listed, require_folder
from ssl_audio.datasets.files import read_text
from ssl_audio.datasets.leaks import some
from ssl_audio.datasets.random_split import hashed_share
from ssl_audio.datasets.single_label import (
    KEYS,
    classified,
    fold_split,
    key_credits,
    key_name,
    tempo_credits,
)
from ssl_audio.io.errors import SslAudioError
from ssl_audio.settings.fields import SettingError, setting

FOLDS = 10
VALIDATION_SHARE = 0.15  # of the MTG tracks
CONFIDENT = "2"  # the highest confidence of the MTG annotations
PUBLISHED_TEST = {"test": 604}  # keys


class GiantSteps(LabelledData):
    """Keys: trained on the MTG set, tested on the GiantSteps set. Tempo: ten published folds.

    Of the MTG set, tracks with a single key of the highest confidence are used. Tempi are those of
    Schreiber and Müller 2018 (annotations_v2), rounded to whole beats per minute.
    """

    name = "giantsteps"
    licence = "CC BY-SA 4.0"
    citation = (
        "P. Knees, Á. Faraldo, P. Herrera, R. Vogl, S. Böck, F. Hörschläger, M. Le Goff. Two data "
        "sets for tempo estimation and key detection in electronic dance music annotated from user "
        "corrections. ISMIR 2015. Tempi: H. Schreiber, M. Müller. A crowdsourced experiment for "
        "tempo estimation of electronic dance music. ISMIR 2018."
    )

    root: Path = setting(
        help="folder of giantsteps-key-dataset*/ and giantsteps-mtg-key-dataset*/ (key), or of "
        "giantsteps-tempo-dataset*/ (tempo)"
    )
    task: Literal["key", "tempo"] = setting("key", help="24 keys, or whole beats per minute")
    fold: int = setting(
        1, help="tempo: fold that is tested; the next one validates, the others train",
        min=1, max=FOLDS,
    )  # fmt: skip
    seed: int = setting(0, help="key: seed of the validation part of the MTG tracks", min=0)

    def read(self) -> Listed:
        root = require_folder(self.root)
        return self._keys(root) if self.task == "key" else self._tempi(root)

    def _keys(self, root: Path) -> Listed:
        test = _repository(root, "giantsteps-key-dataset")
        training = _repository(root, "giantsteps-mtg-key-dataset")
        tracks = [
            LabelledTrack(path.stem, _audio(test, path.stem), (key_name(read_text(path)),), "test")
            for path in _files(test / "annotations" / "key", "*.LOFI.key")
        ]
        for name, key in _mtg_keys(training / "annotations" / "annotations.txt"):
            apart = hashed_share(name, self.seed) < VALIDATION_SHARE
            split = "validation" if apart else "train"
            tracks.append(LabelledTrack(f"mtg/{name}", _audio(training, name), (key,), split))
        return classified(tracks, KEYS, key_credits(), PUBLISHED_TEST)

    def _tempi(self, root: Path) -> Listed:
        folder = _repository(root, "giantsteps-tempo-dataset")
        fold_of = {
            line.removesuffix(".mp3"): number
            for number in range(1, FOLDS + 1)
            for line in read_text(folder / "splits" / f"fold{number:02d}.txt").split()
        }
        tempo_of = {
            path.stem: _tempo(path)
            for path in _files(folder / "annotations_v2" / "tempo", "*.LOFI.bpm")
        }
        unknown = [name for name in fold_of if not tempo_of.get(name)]
        tempi = sorted({round(bpm) for name, bpm in tempo_of.items() if bpm and name in fold_of})
        tracks = [
            LabelledTrack(name, _audio(folder, name), (str(round(tempo_of[name])),),
                          fold_split(fold, self.fold, FOLDS))
            for name, fold in fold_of.items() if name not in unknown
        ]  # fmt: skip
        notes = [f"fold {self.fold} of {FOLDS} is tested"]
        if unknown:
            notes.append(f"{len(unknown)} tracks have no tempo: {some(unknown)}")
        credits = tempo_credits(tempi)
        return classified(tracks, [str(t) for t in tempi], credits, notes=tuple(notes))


def _repository(root: Path, name: str) -> Path:
    """The folder of a repository; an archive's has `-master` or a commit after the name."""
    found = [path for path in sorted(root.glob(f"{name}*")) if path.is_dir()]
    if not found:
        raise SettingError("root", root, f"no folder {name}")
    return found[0]


def _audio(folder: Path, name: str) -> Path:
    return folder / "audio" / f"{name}.mp3"


def _files(folder: Path, pattern: str) -> list[Path]:
    found = sorted(folder.glob(pattern))
    if not found:
        raise SslAudioError(f"{folder}: no files {pattern}")
    return found


def _tempo(path: Path) -> float:
    """Beats per minute; 0 if there is no beat."""
    text = read_text(path)
    try:
        return float(text)
    except ValueError:
        raise SslAudioError(f"{path}: {text.strip()!r:.40} is no tempo") from None


def _mtg_keys(path: Path) -> list[tuple[str, str]]:
    """File names without suffix and keys of the tracks with one key of the highest confidence."""
    found = []
    for number, line in enumerate(read_text(path).splitlines()[1:], 2):
        cells = line.rstrip().split("\t")
        if len(cells) < 3:
            raise SslAudioError(f"{path}, line {number}: expected ID, key and confidence (tabs)")
        key = key_name(cells[1])
        if cells[2].strip() == CONFIDENT and key in KEYS:
            found.append((f"{cells[0]}.LOFI", key))
    return found
