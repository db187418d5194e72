"""The training step, the same for every objective."""

import copy
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Timer
from torch import Tensor, nn

from ssl_audio.audio.views.stage import ViewStage
from ssl_audio.audio.views.transform import Context, Rows
from ssl_audio.io.errors import SslAudioError
from ssl_audio.models.encoder import Encoder
from ssl_audio.models.evaluating import evaluating
from ssl_audio.models.patch_latents import PatchLatents
from ssl_audio.models.weight_decay import exempt_from_decay, parameter_groups
from ssl_audio.objectives.ema import momentum_of_step, update_teacher
from ssl_audio.objectives.gather import gather, world_size
from ssl_audio.objectives.objective import LossOutput, Objective
from ssl_audio.objectives.patches import Patches, split_patches
from ssl_audio.objectives.schedules import Schedule
from ssl_audio.objectives.sync_batchnorm import convert_batchnorm
from ssl_audio.training.chunks import embed, number_of_chunks
from ssl_audio.training.targets import Targets

VIEWS = ("anchor", "positive")  # keys of a batch


class PretrainModule(lightning.LightningModule):
    """Trains an encoder with an objective on pairs of segments.

    Views of one length pass through the network as one batch. Projections are gathered with
    gradient over the processes, and the objective computes the loss. If it has a `momentum`, an EMA
    teacher of encoder and projector is updated after each step of the optimiser. It embeds the same
    transformed views as the student, but for crops shorter than the anchor (multi-crop, Caron et
    al. 2021).

    Args:
        encoder: (batch, samples) to (batch, embedding_size).
        objective: owns projector, predictor, centre and schedules.
        optimizer: makes the optimiser from parameter groups.
        weight_decay: of matrices and kernels; norms, biases and positions have none.
        learning_rate_schedule: factor of the optimiser's rate, as a function of progress in [0, 1].
        compile: compile the backbone with `torch.compile`.
        stage: from crops to the network's input; default is the log-mel alone.
        crops: further crops of each track in a batch, beside anchor and positive.
        chunk_size: pairs embedded at once, over all processes (`chunks.py`); None: the whole batch.

    Attributes:
        targets: of a frozen teacher, for distillation; else None.

    Raises:
        SslAudioError: the objective needs more views.
    """

    def __init__(
        self, encoder: Encoder, objective: Objective,
        optimizer: Callable[[list[dict[str, Any]]], torch.optim.Optimizer], weight_decay: float,
        learning_rate_schedule: Schedule, compile: bool = False, stage: ViewStage | None = None,
        crops: int = 0, chunk_size: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if objective.visible is not None:
            PatchLatents(encoder)  # refuses networks without patches
        if objective.views > len(VIEWS) + crops:
            raise SslAudioError(
                f"{type(objective).__name__}.views={objective.views}: a batch has "
                f"{len(VIEWS) + crops} views of each track (data.crops)"
            )
        self.encoder = encoder
        self.objective = objective
        self.stage = stage or ViewStage()
        has_teacher = objective.momentum is not None
        self.teacher = Teacher(encoder, objective.projector) if has_teacher else None
        self._make_optimizer, self._weight_decay = optimizer, weight_decay
        self._rate = learning_rate_schedule
        self.chunk_size = chunk_size
        self.targets: Targets | None = None
        self._taught: Tensor | None = None  # the teacher's projections in the current step
        self._time_share = 0.0
        if compile:
            self.encoder.backbone.compile(dynamic=False)

    def setup(self, stage: str) -> None:
        """Share batch statistics between several processes."""
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
        """Finished share of the run, 0 to 1: the larger of the shares of steps and of the time.

        All schedules are functions of it, so that they end with a run that its time limit ends.
        """
        return self._progress_at(self.trainer.global_step)

    def _progress_at(self, step: int) -> float:
        return min(1.0, max(step / self.total_steps, self._time_share))

    def _step_share(self) -> float:
        """Share of the run that one step covers; under a time limit the mean of the steps so far.

        The mean, since a pause such as a checkpoint must not move the teacher far. The first step
        of such a run has none; teacher and student are equal before it.
        """
        done = self.trainer.global_step
        return max(1 / self.total_steps, self._time_share / done if done else 0.0)

    def on_train_start(self) -> None:
        """Learning rate of a resumed run: a longer one is at an earlier place of its schedule."""
        self._measure_time()
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = group["initial_lr"] * self._rate(self.progress)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Measure the finished share of the time limit."""
        self._measure_time()

    def _measure_time(self) -> None:
        """The finished share of the time limit, the same on all processes."""
        timers = (c for c in self.trainer.callbacks if isinstance(c, Timer))  # type: ignore[attr-defined]
        for timer in timers:
            left, elapsed = timer.time_remaining(), timer.time_elapsed()
            share = 0.0 if left is None else elapsed / max(elapsed + left, 1e-9)
            self._time_share = float(self.trainer.strategy.broadcast(share))

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> dict[str, Tensor]:
        """Returns "loss", and "embeddings" (views, pairs over all processes, embedding_size)."""
        output, embeddings = self._compute(batch, batch_idx, self.stage)
        self.log("train/loss", output.total.detach(), prog_bar=True)
        self.log_dict({f"train/{name}": term.detach() for name, term in output.terms.items()})
        seen = gather(_by_view(embeddings, len(batch[VIEWS[0]])).detach().float())
        return {"loss": output.total, "embeddings": seen}

    @torch.no_grad()
    def evaluate(self, batch: Mapping[str, Any]) -> LossOutput:
        """The loss without transforms of the views, by networks in evaluation mode.

        Changes no state; each network is left in the mode that it had.
        """
        with evaluating(self):
            output, _ = self._compute(batch, 0, ViewStage())
        self._taught = None
        return output

    def _compute(
        self, batch: Mapping[str, Any], step: int, stage: ViewStage
    ) -> tuple[LossOutput, Tensor]:
        """The loss of all processes' pairs, and (views * pairs, D) embeddings of this process."""
        inputs, pairs = self.inputs(batch, step, stage), len(batch[VIEWS[0]])
        chunks = number_of_chunks(pairs, self.chunk_size, world_size())
        patches = self._patches(inputs[0], pairs, step, stage)
        network, seen = self._network(self.encoder), () if patches is None else (patches.seen,)
        embeddings = torch.cat([embed(network, x, pairs, chunks, *seen) for x in inputs])
        student = gather(_by_view(self.objective.predict(embeddings, patches), pairs))
        teacher = self._teach(inputs[0], pairs, chunks, patches)
        more = {**self._groups(batch), **self._targets(batch)}
        output = self.objective.loss(student, teacher, self.progress, **more)
        return output, embeddings if patches is None else embeddings.mean(dim=1)

    def _network(self, encoder: Encoder) -> nn.Module:
        """What embeds log-mels: the backbone, or the same for chosen patches."""
        return encoder.backbone if self.objective.visible is None else PatchLatents(encoder)

    def _patches(self, inputs: Tensor, pairs: int, step: int, stage: ViewStage) -> Patches | None:
        """The patches that the student sees, a function of seed, step, view and track."""
        if self.objective.visible is None:
            return None
        bands, frames = grid = PatchLatents(self.encoder).grid(inputs)
        views = len(inputs) // pairs
        rows = Rows(pairs, views, 0, views, self.global_rank, world_size())
        place = len(stage.transforms)  # after the last transform
        context = Context(rows, stage.seed, step, place, inputs, stage.frontend)
        return split_patches(context.uniform(size=bands * frames), self.objective.visible, grid)

    def _groups(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """The tracks of all processes' rows, for an objective that needs them."""
        needed = self.objective.needs_groups
        return {"groups": gather(batch["index"][None, :, None])[0, :, 0]} if needed else {}

    def _targets(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """What the frozen teacher says about all processes' views, for distillation."""
        if self.targets is None:
            return {}
        views = [*(batch[view] for view in VIEWS), *batch.get("crops", ())]
        lengths = torch.tensor([view.shape[1] / self.encoder.sample_rate for view in views])
        centres = batch["starts"].cpu() + lengths[:, None] / 2
        targets = self.targets.at(batch["index"].cpu(), centres)
        return {"targets": gather(targets.to(batch[VIEWS[0]].device))}

    def inputs(self, batch: Mapping[str, Any], step: int, stage: ViewStage) -> list[Tensor]:
        """The network's input, (views * pairs, 1, n_mels, frames) for each length of views.

        Random transforms depend on the step's number in the run.
        """
        views = [*(batch[view] for view in VIEWS), *batch.get("crops", ())]
        inputs, first = [], 0
        for _, same in itertools.groupby(views, key=lambda view: view.shape[1]):
            group = list(same)
            rows = Rows(
                len(group[0]), len(group), first, len(views), self.global_rank, world_size(), gather
            )
            first += len(group)
            inputs.append(stage(torch.cat(group), rows, step, self._logmel))
        return inputs

    def _logmel(self, waveforms: Tensor) -> Tensor:
        """The log-mel, a chunk of rows at a time: its spectra are larger than its result."""
        if self.chunk_size is None:
            return self.encoder.logmel(waveforms)
        return torch.cat([self.encoder.logmel(part) for part in waveforms.split(self.chunk_size)])

    def _teach(
        self, inputs: Tensor, pairs: int, chunks: int, patches: Patches | None
    ) -> Tensor | None:
        if self.teacher is None:
            return None
        hidden = () if patches is None else (patches.hidden,)
        with torch.no_grad():
            network = self._network(self.teacher.encoder)
            embeddings = embed(network, inputs, pairs, chunks, *hidden)
            self._taught = gather(_by_view(self.teacher.projector(embeddings), pairs))
        return self._taught

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:  # fmt: skip
        """Step, then update teacher and objective."""
        progress, step_share = self.progress, self._step_share()  # before the step is counted
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        if self.teacher is not None and self.objective.momentum is not None:
            momentum = momentum_of_step(self.objective.momentum, progress, step_share)
            update_teacher(self.teacher.encoder, self.encoder, momentum)
            update_teacher(self.teacher.projector, self.objective.projector, momentum)
            self.log("train/momentum", momentum)
        self.objective.after_step(self._taught, progress)
        self._taught = None

    def configure_gradient_clipping(
        self, optimizer: torch.optim.Optimizer, gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:  # fmt: skip
        """Limit the norm of the gradient of all parameters, and log what it was before."""
        scaled = self.trainer.precision == "16-mixed"
        if scaled and getattr(optimizer, "_step_supports_amp_scaling", False):
            # a fused optimiser unscales later: Lightning refuses to clip, and there is no norm yet
            super().configure_gradient_clipping(
                optimizer, gradient_clip_val, gradient_clip_algorithm
            )
            return
        parameters = list(self.trainer.precision_plugin.main_params(optimizer))
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        if gradient_clip_val is not None:
            torch.nn.utils.clip_grads_with_norm_(parameters, gradient_clip_val, norm)
        self.log("train/gradient_norm", norm, prog_bar=True)

    def configure_optimizers(self) -> Any:
        trained = [*self.encoder.parameters(), *self.objective.parameters()]
        exempt = exempt_from_decay(self.encoder.backbone)
        optimizer = self._make_optimizer(parameter_groups(trained, self._weight_decay, exempt))
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: self._rate(self._progress_at(step))
        )
        scheduling = {"scheduler": scheduler, "interval": "step", "name": "rate"}
        return {"optimizer": optimizer, "lr_scheduler": scheduling}


class Teacher(nn.Module):
    """EMA copy of encoder and projector without gradient.

    Its batch norms use the statistics of the batch, as in BYOL and DINO.
    """

    def __init__(self, encoder: Encoder, projector: nn.Module) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoder)
        self.projector = copy.deepcopy(projector)
        self.requires_grad_(False)


def _by_view(rows: Tensor, pairs: int) -> Tensor:
    """(views * pairs, D) to (views, pairs, D)."""
    return rows.unflatten(0, (-1, pairs))
