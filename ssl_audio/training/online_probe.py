"""A linear probe on frozen embeddings while an encoder trains: is what it learns of any use?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
from rich.progress import track as progress_bar

from ssl_audio.audio import files
from ssl_audio.audio.manifest import Source, read_jamendo
from ssl_audio.io.console import say, warn
from ssl_audio.io.errors import AudioError, SslAudioError
from ssl_audio.models.encoder import Encoder
from ssl_audio.probing.baselines import mel_statistics
from ssl_audio.probing.logistic import LogisticProbe
from ssl_audio.probing.metrics import evaluate

Features = Callable[[np.ndarray], np.ndarray]


class LabelledSet:
    """Tracks with tags, split in a training and a test part.

    Tags with no positive or no negative on either side are left out, since neither a probe nor a
    ROC curve exists for them.

    Raises:
        SslAudioError: nothing is left to score.
    """

    def __init__(self, root: str | Path, train_tsv: str | Path, test_tsv: str | Path) -> None:
        self.train = list(read_jamendo(train_tsv, root))
        self.test = list(read_jamendo(test_tsv, root))
        every = sorted({tag for source in self.train for tag in source.tags})
        self.tags = [t for t in every if _varies(self.train, t) and _varies(self.test, t)]
        if not self.tags:
            raise SslAudioError(f"{train_tsv}: no tag has positives and negatives in both sets")

    def targets(self, sources: Sequence[Source]) -> np.ndarray:
        """(tracks, tags), 0 or 1."""
        return np.array([[tag in s.tags for tag in self.tags] for s in sources], dtype=np.int64)


def _varies(sources: Sequence[Source], tag: str) -> bool:
    count = sum(tag in source.tags for source in sources)
    return 0 < count < len(sources)


def mel_features(waveform: np.ndarray) -> np.ndarray:
    """Mean and standard deviation over time of each log-mel band: (samples,) to (256,)."""
    return mel_statistics([waveform])[0]


def encoder_features(encoder: Encoder) -> Features:
    """Track mean of an encoder's segment embeddings: (samples,) to (embedding_size,)."""

    def features(waveform: np.ndarray) -> np.ndarray:
        return encoder.embed(waveform).track

    return features


def score(labelled: LabelledSet, features: Features, name: str) -> dict[str, float]:
    """Macro ROC-AUC and mAP of a logistic probe on the features of whole tracks.

    Files that cannot be read are left out and counted.
    """
    train_x, train_y, lost_train = _collect(labelled, labelled.train, features, name)
    test_x, test_y, lost_test = _collect(labelled, labelled.test, features, name)
    figures = evaluate(test_y, LogisticProbe().fit(train_x, train_y).scores(test_x))
    unreadable = float(lost_train + lost_test)
    return {"roc_auc": figures.roc_auc, "map": figures.map, "unreadable": unreadable}


def _collect(
    labelled: LabelledSet, sources: Sequence[Source], features: Features, name: str
) -> tuple[np.ndarray, np.ndarray, int]:
    rows, kept = [], []
    for source in progress_bar(sources, description=f"probe: {name}", console=_stderr()):
        try:
            rows.append(features(files.read(source.path)))
            kept.append(source)
        except AudioError as error:
            warn(str(error))
    if not rows:
        raise SslAudioError("the probe's audio cannot be read: look at probe.root")
    return np.stack(rows), labelled.targets(kept), len(sources) - len(kept)


def _stderr() -> Any:
    from rich.console import Console

    return Console(stderr=True)


class OnlineProbe(lightning.Callback):
    """Log the probe's figures every so many steps."""

    def __init__(self, labelled: LabelledSet, every_n_steps: int) -> None:
        self.labelled = labelled
        self.every_n_steps = every_n_steps

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if (batch_idx + 1) % self.every_n_steps or not trainer.is_global_zero:
            return
        encoder: Encoder = pl_module.encoder  # type: ignore[assignment]
        encoder.eval()
        figures = score(self.labelled, encoder_features(encoder), f"step {trainer.global_step}")
        encoder.train()
        pl_module.log_dict(
            {f"probe/{k}": v for k, v in figures.items()}, rank_zero_only=True, sync_dist=False
        )
        say(f"step {trainer.global_step}: probe ROC-AUC {figures['roc_auc']:.3f}, "
            f"mAP {figures['map']:.3f}")  # fmt: skip
