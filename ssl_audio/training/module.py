"""The training step, which names no objective."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from ssl_audio.models.encoder import Encoder
from ssl_audio.models.weight_decay import parameter_groups
from ssl_audio.objectives.ema import update_teacher
from ssl_audio.objectives.gather import gather
from ssl_audio.objectives.objective import Objective
from ssl_audio.objectives.schedules import Schedule
from ssl_audio.objectives.sync_batchnorm import convert_batchnorm

VIEWS = ("anchor", "positive")


@dataclass
class StepOutput:
    """What the last training step saw, for those who watch it.

    Attributes:
        embeddings: (views, pairs over all processes, embedding_size), detached.
        projections: (views, pairs over all processes, projector output), detached.
    """

    embeddings: Tensor
    projections: Tensor


class PretrainModule(lightning.LightningModule):
    """Train an encoder with an objective on pairs of segments.

    Both views pass through the network as one batch; projections are gathered with gradient over
    the processes; the objective returns the loss. When it has a `momentum`, an EMA teacher of
    encoder and projector is kept and updated only after the optimiser has stepped, so gradient
    accumulation changes neither its pace nor the objective's.

    Args:
        encoder: what is trained; `(batch, samples)` to `(batch, embedding_size)`.
        objective: owns projector, predictor, centre and schedules.
        optimizer: makes the optimiser from parameter groups (a partial, from a recipe).
        weight_decay: decay of matrices and kernels; norms and biases have none.
        learning_rate_schedule: multiplies the optimiser's rate; a function of progress in [0, 1].
        compile: compile the backbone with `torch.compile`.
    """

    def __init__(
        self,
        encoder: Encoder,
        objective: Objective,
        optimizer: Callable[[list[dict[str, Any]]], torch.optim.Optimizer],
        weight_decay: float,
        learning_rate_schedule: Schedule,
        compile: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.objective = objective
        self.teacher = _teacher_of(encoder, objective) if objective.momentum is not None else None
        self._make_optimizer = optimizer
        self._weight_decay = weight_decay
        self._rate = learning_rate_schedule
        self._teacher_outputs: list[Tensor] = []
        self.last_step: StepOutput | None = None
        if compile:
            self.encoder.backbone.compile(dynamic=False)

    def setup(self, stage: str) -> None:
        """Share batch statistics where several processes share a batch."""
        if self.trainer.world_size > 1:
            for name in ("encoder", "objective", "teacher"):
                if getattr(self, name) is not None:
                    setattr(self, name, convert_batchnorm(getattr(self, name)))

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return max(1, int(self.trainer.estimated_stepping_batches))

    @property
    def progress(self) -> float:
        """How much of the run is done, 0 to 1; schedules are functions of it."""
        return min(1.0, self.trainer.global_step / self.total_steps)

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        waveforms = torch.cat([batch[view] for view in VIEWS])
        embeddings = self.encoder(waveforms)
        student = self.objective.predictor(self.objective.projector(embeddings))
        student = gather(_by_view(student))
        teacher = self._teach(waveforms)
        output = self.objective.loss(student, teacher, self.progress)
        seen = gather(_by_view(embeddings).detach().float())
        self.last_step = StepOutput(seen, student.detach().float())
        self.log("train/loss", output.total.detach(), prog_bar=True)
        self.log_dict({f"train/{name}": term.detach() for name, term in output.terms.items()})
        return output.total

    def _teach(self, waveforms: Tensor) -> Tensor | None:
        if self.teacher is None:
            return None
        with torch.no_grad():
            teacher = gather(_by_view(self.teacher(waveforms)))
        self._teacher_outputs.append(teacher)
        return teacher

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Any,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """Step, then let teacher and objective follow: once per step, not per micro-batch."""
        progress = self.progress  # before the step is counted
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        if self.teacher is not None and self.objective.momentum is not None:
            momentum = self.objective.momentum(progress)
            update_teacher(self.teacher.encoder, self.encoder, momentum)
            update_teacher(self.teacher.projector, self.objective.projector, momentum)
            self.log("train/momentum", momentum)
        seen = torch.cat(self._teacher_outputs, dim=1) if self._teacher_outputs else None
        self._teacher_outputs.clear()
        self.objective.after_step(seen, progress)

    def configure_optimizers(self) -> Any:
        trained = list(self._student_parameters())
        optimizer = self._make_optimizer(parameter_groups(trained, self._weight_decay))
        total = self.total_steps
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: self._rate(min(1.0, step / total))
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step", "name": "rate"},
        }

    def _student_parameters(self) -> Iterator[nn.Parameter]:
        yield from self.encoder.parameters()
        yield from self.objective.parameters()


class Teacher(nn.Module):
    """The EMA copy of encoder and projector: `(batch, samples)` to `(batch, D)`, no gradient.

    Its batch norms use the batch's statistics, as BYOL's and DINO's teachers do.
    """

    def __init__(self, encoder: nn.Module, projector: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = projector
        self.requires_grad_(False)

    def forward(self, waveforms: Tensor) -> Tensor:
        return self.projector(self.encoder(waveforms))


def _teacher_of(encoder: Encoder, objective: Objective) -> Teacher:
    return Teacher(copy.deepcopy(encoder), copy.deepcopy(objective.projector))


def _by_view(rows: Tensor) -> Tensor:
    """(views * pairs, D) to (views, pairs, D)."""
    return rows.unflatten(0, (len(VIEWS), -1))
