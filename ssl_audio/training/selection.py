"""The encoder of the best probe during training, kept beside the last one."""

from dataclasses import asdict
from pathlib import Path

from ssl_audio.models.encoder import Encoder, load_encoder
from ssl_audio.reports.pretraining import Selection
from ssl_audio.reports.results import Scores

FOLDER = "encoder-best"  # in the folder of a run


class BestEncoder:
    """`encoder-best/`, the encoder with the highest "roc_auc" or "map" on validation so far.

    The folder is written in one step, with score and step in its configuration, and is all there is
    to know: a run that was killed and resumes compares with what it finds there.
    """

    def __init__(self, run: Path, metric: str) -> None:
        self._folder, self._metric = run / FOLDER, metric

    def offer(self, encoder: Encoder, scores: Scores, step: int) -> bool:
        """Keep an encoder if it is better than all earlier ones; returns whether it is."""
        score, kept = getattr(scores, self._metric), self.load()
        if kept is not None and not score > selection_of(kept).score:
            return False
        card = f"# Encoder of step {step}\n\nThe best one so far of a run that has not ended.\n"
        chosen = Selection(self._metric, score, step)
        encoder.save(self._folder, card, {"selection": asdict(chosen)})
        return True

    def load(self) -> Encoder | None:
        """The kept encoder; None if there is none by this metric yet."""
        if not self._folder.is_dir():
            return None
        encoder = load_encoder(self._folder)
        return encoder if selection_of(encoder).metric == self._metric else None


def selection_of(encoder: Encoder) -> Selection:
    """By which score a kept encoder was selected."""
    return Selection(**encoder.metadata["selection"])
