"""Linear and MLP probes: many of them trained together as one batched computation."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_audio.datasets.dataset import UNLABELLED
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.parallel import available_processors, in_order
from ssl_audio.io.precision import multiplies_bfloat16
from ssl_audio.io.progress import progress_bar
from ssl_audio.probing.batches import Order, SegmentBatches, TrackBatches, TrainingRows
from ssl_audio.probing.kernels import Adam, LossGradient
from ssl_audio.settings.probe import LinearProbeSettings

VALIDATION_ROWS = 2048  # scored at a time
PADDED_TO = 32  # batches of small training sets are padded to a multiple of so many rows
MAX_TOGETHER = 5  # probes in one step on a processor: their weights then stay in its cache

Layers = list[tuple[Tensor, Tensor]]  # (P, out, in) weights and (P, out, 1) biases of P probes
Validation = tuple[np.ndarray, np.ndarray]  # (tracks, dimensions) features, (tracks, tags) targets


@dataclass(frozen=True)
class TrainedProbe:
    """One trained probe.

    Attributes:
        layers: weights (in, out) and biases (out,). The standardisation of features is part of the
            first layer.
        validation: loss after each epoch.
    """

    layers: list[tuple[np.ndarray, np.ndarray]]
    validation: list[float]

    def scores(self, x: np.ndarray) -> np.ndarray:
        """Logits: (rows, dimensions) to (rows, tags)."""
        for depth, (weight, bias) in enumerate(self.layers):
            x = x @ weight + bias
            if depth + 1 < len(self.layers):
                x = np.maximum(x, 0)
        return x


def train_probes(
    train: TrainingRows,
    validation: Validation,
    subsets: Sequence[np.ndarray],
    settings: LinearProbeSettings,
    seed: int = 0,
    title: str | None = None,
    hidden: bool = False,
) -> list[TrainedProbe]:
    """Train one probe on each subset of the training rows, those of similar size together.

    Features are standardised by each subset's own rows. Initial weights and order depend on the
    seed and the subset alone, so that a probe does not depend on those trained with it. The weights
    of the epoch with the smallest validation loss are kept.

    Args:
        train: the training rows.
        validation: features and targets.
        subsets: for each probe, one or more rows of the training set.
        settings: of the training.
        seed: of initial weights and order.
        title: of the progress bar; None shows none.
        hidden: put a hidden layer with ReLU before the tags.

    Raises:
        SslAudioError: an empty subset, features that are not finite, or targets that are not 0, 1
            or UNLABELLED for each track; with `single_label`, those that are not one 1.
    """
    if not len(subsets) or not all(len(rows) for rows in subsets):
        raise SslAudioError("a probe needs one or more training rows")
    tracks = len(train.x if train.starts is None else train.starts)
    allowed = (0, 1) if train.single_label else (0, 1, UNLABELLED)
    if len(train.y) != tracks or not np.isin(train.y, allowed).all():
        raise SslAudioError(f"targets must be 0 or 1 for each of the {tracks} tracks")
    if train.single_label and not (train.y.sum(1) == 1).all():
        raise SslAudioError("each track must have exactly one tag")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    per_processor = -(-len(subsets) // available_processors())
    max_together = min(MAX_TOGETHER, per_processor) if device == "cpu" else len(subsets)
    groups = _groups(subsets, settings.batch_size, max_together)

    def trained(group: list[int]) -> list[TrainedProbe]:
        size = _batch_width(len(subsets[group[0]]), settings.batch_size)
        training = _Training(
            train, validation, [subsets[k] for k in group], replace(settings, batch_size=size),
            hidden, seed, torch.device(device),
        )  # fmt: skip
        return training.run(advance)

    found: dict[int, TrainedProbe] = {}
    epochs = settings.epochs * len(groups)
    with progress_bar(title or "", epochs, "epochs", shown=title is not None) as advance:
        # one thread per group: what is not a matrix product then keeps the other processors busy
        for group, probes in zip(groups, in_order(groups, trained), strict=True):
            found.update(zip(group, probes, strict=True))
    return [found[k] for k in range(len(subsets))]


def _groups(subsets: Sequence[np.ndarray], batch_size: int, max_together: int) -> list[list[int]]:
    """Groups of up to `max_together` subsets with batches of one width; the slowest group first."""
    width = [_batch_width(len(rows), batch_size) for rows in subsets]
    groups: list[list[int]] = []
    for size in sorted(set(width)):
        alike = [k for k in range(len(width)) if width[k] == size]
        alike.sort(key=lambda k: -len(subsets[k]))
        parts = np.array_split(alike, -(-len(alike) // max_together))
        groups.extend([int(k) for k in part] for part in parts)
    return sorted(groups, key=lambda group: -len(group) * width[group[0]])


def _batch_width(rows: int, batch_size: int) -> int:
    """Padded rows in a batch: of few values, so that probes of similar size train together."""
    return min(batch_size, -(-rows // PADDED_TO) * PADDED_TO)


class _Training:
    """The state of one batched training: P probes of D features and T tags."""

    def __init__(
        self,
        train: TrainingRows,
        validation: Validation,
        subsets: Sequence[np.ndarray],
        settings: LinearProbeSettings,
        hidden: bool,
        seed: int,
        device: torch.device,
    ) -> None:
        self.settings, self.device = settings, device
        self.orders = [Order(rows, settings.batch_size, seed) for rows in subsets]
        dtype = _product_type(settings.precision, device)
        self.rows: TrackBatches | SegmentBatches = (
            TrackBatches(train, subsets, dtype, device)
            if train.starts is None
            else SegmentBatches(train, subsets, seed, dtype, device)
        )
        self.targets = torch.from_numpy(train.y.astype(np.uint8)).to(device)
        x, y = (torch.from_numpy(np.asarray(array, np.float32)) for array in validation)
        self.validation_x, self.validation_y = x.to(device), y.to(device)
        tags = train.y.shape[1]
        sizes = [train.x.shape[1], *([settings.hidden] if hidden else []), tags]
        self.layers = _initial_layers(sizes, [order.identity for order in self.orders], device)
        self.adam = Adam(self.layers, dtype, settings.learning_rate, settings.weight_decay)
        shape = (len(subsets), tags, settings.batch_size)
        self.logits = torch.empty(shape, dtype=dtype, device=device)
        self.single_label = train.single_label
        self.loss_gradient = LossGradient(
            self.logits, self.layers[-1][1], self.targets, self.adam.gradients[-1][1],
            train.single_label,
        )  # fmt: skip
        self.cells = _cells(self.targets, train.single_label)

    def run(self, advance: Callable[[], None]) -> list[TrainedProbe]:
        """Train all probes; `advance` is called after each epoch."""
        history: list[np.ndarray] = []
        best = self._unstandardised()
        for epoch in range(self.settings.epochs):
            self._train_epoch(epoch)
            layers = self._unstandardised()
            losses = self._validation_losses(layers)
            if not np.isfinite(losses).all():
                raise SslAudioError(
                    f"the loss of a probe is not finite in epoch {epoch + 1}: lower "
                    "linear_probe.learning_rate"
                )
            better = losses < np.min([np.full_like(losses, np.inf), *history], axis=0)
            history.append(losses)
            chosen = torch.from_numpy(better).to(self.device)[:, None, None]
            best = [
                (torch.where(chosen, w, old_w), torch.where(chosen, b, old_b))
                for (w, b), (old_w, old_b) in zip(layers, best, strict=True)
            ]
            advance()
        return [self._trained(best, p, history) for p in range(len(self.orders))]

    @torch.no_grad()
    def _train_epoch(self, epoch: int) -> None:
        steps = self.settings.steps
        # (steps, P, batch); -1 pads batches that are not full
        places = np.stack([order.batches(epoch * steps, steps) for order in self.orders], axis=1)
        valid = torch.from_numpy(places >= 0).to(self.device)
        batches = self.rows.batches(places, epoch * steps)
        for (x, rows), real in zip(batches, valid, strict=True):
            cells = (self.cells[rows] * real).sum(1, keepdim=True)
            self._differentiate(x, rows, real / cells.clamp_min(1))
            self.adam.step()

    def _differentiate(self, x: Tensor, rows: Tensor, row_weights: Tensor) -> None:
        """Write the gradients of the sum of the probes' mean losses where Adam reads them.

        Written out and in place: autograd takes 1.5 times as long.

        Args:
            x: (P, batch, D).
            rows: (P, batch) of the training set.
            row_weights: (P, batch) weights of the rows in the loss.
        """
        weights, gradients = self.adam.products, self.adam.gradients
        # units before rows: the fast axis of each product is then the batch, not the 50 tags
        inputs = [x.transpose(1, 2)]
        for weight, (_, bias) in zip(weights[:-1], self.layers, strict=False):
            inputs.append((torch.bmm(weight, inputs[-1]) + bias).relu_().to(x.dtype))
        gradient = torch.bmm(weights[-1], inputs[-1], out=self.logits)
        self.loss_gradient(rows, row_weights)
        for depth in reversed(range(len(weights))):
            torch.bmm(gradient, inputs[depth].transpose(1, 2), out=gradients[depth][0])
            if depth:
                wide = torch.bmm(weights[depth].transpose(1, 2), gradient).float()
                wide.mul_(inputs[depth] > 0)
                torch.sum(wide, 2, keepdim=True, out=gradients[depth - 1][1])
                gradient = wide.to(x.dtype)

    def _unstandardised(self) -> Layers:
        """Layers for features that are not standardised: (x - mean) / deviation is affine too."""
        (weight, bias), *rest = self.layers
        scaled = weight / self.rows.deviation[:, None, :]
        shift = torch.bmm(scaled, self.rows.mean[:, :, None])
        return [(scaled, bias - shift), *((w.clone(), b.clone()) for w, b in rest)]

    def _validation_losses(self, layers: Layers) -> np.ndarray:
        """(P,) cross-entropy: binary, of the labelled cells; or over classes."""
        total = torch.zeros(len(self.orders), device=self.device)
        for first in range(0, len(self.validation_x), VALIDATION_ROWS):
            x = self.validation_x[first : first + VALIDATION_ROWS]
            y = self.validation_y[first : first + VALIDATION_ROWS]
            total += _summed_losses(_all_logits(layers, x), y, self.single_label)
        cells = _cells(self.validation_y, self.single_label).sum().clamp_min(1)
        return (total / cells).cpu().numpy()

    def _trained(self, layers: Layers, p: int, history: list[np.ndarray]) -> TrainedProbe:
        arrays = [(w[p].t().cpu().numpy(), b[p, :, 0].cpu().numpy()) for w, b in layers]
        return TrainedProbe(arrays, [float(losses[p]) for losses in history])


def _all_logits(layers: Layers, x: Tensor) -> Tensor:
    """The same rows through every probe, in one product: (rows, D) to (P, T, rows)."""
    (weight, bias), *rest = layers
    probes, outputs, inputs = weight.shape
    z = torch.addmm(bias.reshape(-1, 1), weight.reshape(-1, inputs), x.t())
    z = z.view(probes, outputs, len(x))
    for weight, bias in rest:
        z = torch.baddbmm(bias, weight, z.relu())
    return z


def _summed_losses(z: Tensor, y: Tensor, single_label: bool) -> Tensor:
    """(P, T, rows) logits and (rows, T) targets to (P,) sums of the losses."""
    if single_label:
        return z.logsumexp(1).sum(1) - torch.einsum("ptr,rt->p", z, y)
    labelled = y != UNLABELLED
    if labelled.all():
        return F.softplus(z).sum((1, 2)) - torch.einsum("ptr,rt->p", z, y)
    return torch.einsum("ptr,rt->p", F.softplus(z), labelled.float()) - torch.einsum(
        "ptr,rt->p", z, y * labelled
    )


def _cells(targets: Tensor, single_label: bool) -> Tensor:
    """(rows,) float32: the terms of each row in the loss."""
    if single_label:
        return torch.ones(len(targets), device=targets.device)
    return (targets != UNLABELLED).sum(1, dtype=torch.float32)


def _initial_layers(sizes: Sequence[int], seeds: Sequence[int], device: torch.device) -> Layers:
    """The initialisation of `nn.Linear`: uniform within 1 / sqrt(inputs)."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    layers = []
    for inputs, outputs in zip(sizes[:-1], sizes[1:], strict=True):
        drawn = [torch.rand(inputs + 1, outputs, generator=g) for g in generators]
        whole = ((2 * torch.stack(drawn) - 1) / math.sqrt(inputs)).transpose(1, 2).to(device)
        layers.append((whole[:, :, :-1].contiguous(), whole[:, :, -1:].contiguous()))
    return layers


def _product_type(precision: str, device: torch.device) -> torch.dtype:
    half = precision == "bfloat16" or (precision == "auto" and multiplies_bfloat16(device.type))
    return torch.bfloat16 if half else torch.float32
