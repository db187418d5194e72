"""A linear probe on frozen embeddings while an encoder trains: is what it learns of any use?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from rich.progress import track as progress_bar

from ssl_audio.audio import files
from ssl_audio.audio.logmel import LogMel
from ssl_audio.audio.manifest import Source, read_jamendo
from ssl_audio.io.console import say, warn
from ssl_audio.io.errors import AudioError, SslAudioError
from ssl_audio.models.encoder import Encoder

Features = Callable[[np.ndarray], np.ndarray]
# inverse regularisation, chosen on held-out training rows
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


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


def encoder_features(encoder: Encoder) -> Features:
    """Track mean of an encoder's segment embeddings: (samples,) to (embedding_size,)."""

    def features(waveform: np.ndarray) -> np.ndarray:
        return encoder.embed(waveform).track

    return features


def mel_statistics() -> Features:
    """Mean and standard deviation over time of each log-mel band: (samples,) to (256,)."""
    frontend = LogMel.named("default")

    @torch.inference_mode()
    def features(waveform: np.ndarray) -> np.ndarray:
        mel = frontend(torch.from_numpy(waveform)[None])[0, 0]
        return torch.cat([mel.mean(1), mel.std(1)]).numpy()

    return features


def score(labelled: LabelledSet, features: Features, name: str) -> dict[str, float]:
    """Macro ROC-AUC and mAP of a linear probe on the features of whole tracks.

    Standardised on the training part; an L2-regularised logistic regression a tag, its strength
    chosen on a quarter of the training part. Files that cannot be read are left out and counted.
    """
    train_x, train_y, lost_train = _collect(labelled, labelled.train, features, name)
    test_x, test_y, lost_test = _collect(labelled, labelled.test, features, name)
    figures = linear_probe(train_x, train_y, test_x, test_y)
    return {**figures, "unreadable": float(lost_train + lost_test)}


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


def linear_probe(
    train_x: np.ndarray, train_y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray
) -> dict[str, float]:
    """Macro ROC-AUC and mAP of one logistic regression a tag.

    Args:
        train_x, test_x: (rows, features).
        train_y, test_y: (rows, tags), 0 or 1, with both values in each column.
    """
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(train_x)
    train_x, test_x = scaler.transform(train_x), scaler.transform(test_x)
    order = np.random.default_rng(0).permutation(len(train_x))
    held, rest = order[: len(order) // 4], order[len(order) // 4 :]
    usable = [c for c in range(train_y.shape[1]) if _both(train_y[rest, c], train_y[held, c])]
    strength = max(
        STRENGTHS,
        key=lambda s: (
            _probe_once(
                train_x[rest], train_y[rest][:, usable], train_x[held], train_y[held][:, usable], s
            )["map"]
            if usable
            else -s
        ),
    )
    return _probe_once(train_x, train_y, test_x, test_y, strength)


def _both(*columns: np.ndarray) -> bool:
    return all(0 < column.sum() < len(column) for column in columns)


def _probe_once(
    train_x: np.ndarray,
    train_y: np.ndarray,
    test_x: np.ndarray,
    test_y: np.ndarray,
    strength: float,
) -> dict[str, float]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import average_precision_score, roc_auc_score

    scores = np.empty(test_y.shape)
    for column in range(train_y.shape[1]):
        model = LogisticRegression(C=strength, max_iter=500)
        scores[:, column] = model.fit(train_x, train_y[:, column]).decision_function(test_x)
    return {
        "roc_auc": float(roc_auc_score(test_y, scores, average="macro")),
        "map": float(average_precision_score(test_y, scores, average="macro")),
    }


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
