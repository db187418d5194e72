"""The last part of a run: the embeddings of its encoders are whitened."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ssl_audio.io.progress import with_progress
from ssl_audio.models.embedder import BATCH
from ssl_audio.models.encoder import Encoder
from ssl_audio.models.whitening import CROPS, whiten, whitening
from ssl_audio.objectives.projector import Projector
from ssl_audio.training.data import PairDataModule
from ssl_audio.training.module import VIEWS

WHITENED = "whitened"  # in the metadata of a selected encoder: the shrinkage


def whiten_encoders(
    encoders: Sequence[tuple[Encoder, nn.Module | None]], data: PairDataModule, steps: int,
    shrinkage: float,
) -> None:  # fmt: skip
    """Whiten encoders by their embeddings of the crops of the run's first steps.

    Args:
        encoders: each with its projector, if it has one, which is changed to give the same outputs.
        data: of the run.
        steps: of the run; those whose crops number `CROPS` suffice.
        shrinkage: as in `whitening`.
    """
    wanted = min(steps, -(-CROPS // (len(VIEWS) * data.budget.batch_size)))
    found: list[list[Tensor]] = [[] for _ in encoders]
    copies = [encoder.folded() for encoder, _ in encoders]
    for crops in _crops(data, wanted):
        for rows, copy in zip(found, copies, strict=True):
            rows += [copy(part).float() for part in crops.split(BATCH)]
    for (encoder, projector), rows in zip(encoders, found, strict=True):
        chosen = whitening(torch.cat(rows), shrinkage)
        if chosen is None:
            continue
        whiten(encoder, chosen)
        if isinstance(projector, Projector):
            projector.take(chosen.inverse, chosen.mean)


def _crops(data: PairDataModule, steps: int) -> Iterator[Tensor]:
    """(crops, samples) of each step."""
    batches: Iterator[Mapping[str, Any]] = iter(data.first_batches(steps))
    for batch in with_progress(batches, "whitening", steps, "steps"):
        yield torch.cat([batch[view] for view in VIEWS])
