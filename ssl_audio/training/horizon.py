"""The end of a run: its time limit, the time used by resumed parts, throughput and time left."""

import time
from collections.abc import Mapping
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Timer

from ssl_audio.io.console import say
from ssl_audio.io.lightning_run import ProgressBar
from ssl_audio.training.budget import Budget, duration
from ssl_audio.training.flops import flops_of_step, peak_of
from ssl_audio.training.module import PretrainModule

SMOOTHING = 0.05  # weight of a step in the running mean of the steps' times


class Horizon(Timer):
    """Ends a run when its time is up; logs pairs per second, the seconds left, and MFU on a GPU.

    The time used is part of a checkpoint, so that a resumed run counts that of its earlier parts. A
    resumed run with another limit says in one line where it now stands.
    """

    def __init__(self, budget: Budget) -> None:
        seconds = budget.max_seconds
        super().__init__(verbose=False)
        self._duration = seconds
        self.budget = budget
        self._earlier: dict[str, Any] | None = None  # limits of the run that is resumed
        self._step_ended: float | None = None
        self._seconds_per_step: float | None = None
        self._ideal_seconds: float | None = None  # of a step at the device's peak

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._step_ended = None
        now = _limits(self.budget)
        if self._earlier is not None and self._earlier != now and trainer.is_global_zero:
            changed = [f"{k} {_shown(k, self._earlier[k])} -> {_shown(k, now[k])}"
                       for k in now if self._earlier[k] != now[k]]  # fmt: skip
            share = max(trainer.global_step / self.budget.step_limit, self._time_share())
            say(
                f"another length than before ({', '.join(changed)}): at step "
                f"{trainer.global_step}, {share:.0%} of the run is done, and learning rate and "
                "other schedules continue from there"
            )
        self._earlier = None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        now = time.monotonic()
        if self._step_ended is not None:  # the first step of a part has start-up costs
            self._measure(now - self._step_ended)
            self._log(trainer, pl_module)
        elif (peak := peak_of(pl_module.device, str(trainer.precision))) is not None:
            assert isinstance(pl_module, PretrainModule)
            flops = flops_of_step(pl_module, batch)
            self._ideal_seconds = None if flops is None else flops / peak
            now = time.monotonic()
        self._step_ended = now

    def _measure(self, seconds: float) -> None:
        mean = self._seconds_per_step
        self._seconds_per_step = seconds if mean is None else mean + SMOOTHING * (seconds - mean)

    def _log(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert self._seconds_per_step is not None
        seconds_per_step = max(self._seconds_per_step, 1e-9)
        left = (self.budget.step_limit - trainer.global_step) * seconds_per_step
        bar = trainer.progress_bar_callback
        if (remaining := self.time_remaining()) is not None and remaining < left:
            left = max(0.0, remaining)
            total = trainer.global_step + round(left / seconds_per_step)
            if isinstance(bar, ProgressBar):
                bar.set_total(total)
        speed = {"pairs_per_second": self.budget.batch_size / seconds_per_step,
                 "seconds_left": left}  # fmt: skip
        shown = {"pairs/s": f"{speed['pairs_per_second']:,.0f}", "left": duration(left)}
        if self._ideal_seconds is not None:
            speed["mfu"] = self._ideal_seconds / seconds_per_step
            shown["MFU"] = f"{speed['mfu']:.1%}"
        if isinstance(bar, ProgressBar):
            bar.notes |= shown
        pl_module.log_dict({f"speed/{name}": value for name, value in speed.items()})

    def _time_share(self) -> float:
        limit = self.budget.max_seconds
        return 0.0 if limit is None else min(1.0, self.time_elapsed() / max(limit, 1e-9))

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "limits": _limits(self.budget)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._earlier = state_dict["limits"]


def seconds_used(callbacks: Mapping[str, Any]) -> float:
    """Training time of a run so far, from the states of callbacks in a checkpoint."""
    state = callbacks.get(Horizon.__qualname__, {})
    return float(state.get("time_elapsed", {}).get("train", 0.0))


def _limits(budget: Budget) -> dict[str, float | None]:
    return {"steps": budget.steps, "time": budget.max_seconds}


def _shown(name: str, limit: float | None) -> str:
    if limit is None:
        return "unlimited"
    return duration(limit) if name == "time" else f"{limit:,}"
