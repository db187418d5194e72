"""Batch norm over the rows of all processes, on any device.

`torch.nn.SyncBatchNorm` refuses CPU tensors, and its converter drops the activation inside timm's
`BatchNormAct2d`.
"""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ssl_audio.io.errors import SslAudioError
from ssl_audio.objectives.gather import all_reduce, world_size


class SyncBatchNorm(_BatchNorm):
    """Replacement of `torch.nn.BatchNorm1d`, `2d` and `3d` with statistics of all processes.

    It has the same arguments, state-dict keys and running statistics, and with one process or in
    evaluation mode the same output. It applies the submodules `drop` and `act` if it has them.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, ...) over all axes but C and over the processes.

        Raises:
            SslAudioError: a single value per channel in training mode.
        """
        normalised = self._normalise(x)
        for name in ("drop", "act"):
            if name in self._modules:
                normalised = self._modules[name](normalised)  # type: ignore[misc]
        return normalised

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            shape = tuple(input.shape)
            raise SslAudioError(f"batch norm takes (batch, channels, ...), not {shape}")

    def _normalise(self, x: Tensor) -> Tensor:
        self._check_input_dim(x)
        if world_size() == 1 or not (self.training or self.running_mean is None):
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
            mean, variance, count = _statistics(wide)
            if self.training and self.track_running_stats:
                self._update_running_statistics(mean.detach(), variance.detach(), count)
            return self._standardise(wide, mean, variance).to(x.dtype)

    def _standardise(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        scale = (variance + self.eps).rsqrt()
        if self.affine:
            scale = scale * self.weight
        shape = (1, -1, *(1,) * (x.ndim - 2))
        y = (x - mean.view(shape)) * scale.view(shape)
        return y + self.bias.view(shape) if self.affine else y

    @torch.no_grad()
    def _update_running_statistics(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        assert self.num_batches_tracked is not None
        assert self.running_mean is not None and self.running_var is not None
        self.num_batches_tracked.add_(1)
        step = self.momentum
        if step is None:  # cumulative average, as in torch
            step = 1.0 / float(self.num_batches_tracked)
        unbiased = variance * (count / (count - 1))
        self.running_mean.lerp_(mean.to(self.running_mean), step)
        self.running_var.lerp_(unbiased.to(self.running_var), step)


def _statistics(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and biased variance (both (C,), with gradient) and count over all processes.

    Two passes: mean square minus squared mean cancels in float32.
    """
    rows = x.transpose(0, 1).flatten(1)
    sums = all_reduce(torch.cat([rows.sum(1), rows.new_full((1,), rows.shape[1])]))
    count = sums[-1].detach()
    if count <= 1:
        raise SslAudioError(
            f"batch norm in training needs more than one value per channel, not {tuple(x.shape)} "
            "(data.batch_size)"
        )
    mean = sums[:-1] / count
    return mean, all_reduce((rows - mean[:, None]).square().sum(1)) / count, count


def convert_batchnorm(module: nn.Module) -> nn.Module:
    """Replace every batch norm in place by a `SyncBatchNorm` with the same parameters and buffers;
    returns `module`, or the replacement of a batch norm."""
    if isinstance(module, _BatchNorm) and not isinstance(module, SyncBatchNorm):
        return _converted(module)
    for name, child in module.named_children():
        setattr(module, name, convert_batchnorm(child))
    return module


def _converted(old: _BatchNorm) -> SyncBatchNorm:
    new = SyncBatchNorm(
        old.num_features, old.eps, old.momentum, old.affine, old.track_running_stats, device="meta"
    )
    new._parameters.update(old._parameters)
    new._buffers.update(old._buffers)
    for name, child in old.named_children():
        new.add_module(name, child)
    return new.train(old.training)
