"""Probes on frozen embeddings: many of them trained together as one batched computation."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.parallel import available_processors, in_order
from ssl_audio.io.progress import progress_bar
from ssl_audio.probing.kernels import Adam, LogisticSlope

VALIDATION_ROWS = 2048  # scored at a time
PADDED_TO = 32  # rows: what a batch of a small training set is a multiple of
TOGETHER = 5  # probes at most in a step of a processor: what they need then stays in its cache
LEAST_DEVIATION = 1e-6  # a constant feature is centred and left as it is


@dataclass(frozen=True)
class ProbeSettings:
    """Section 3.2 of the multi-view comparison: batches of 256, 25 epochs of 128 steps.

    Attributes:
        kind: "linear" (dimensions x tags) or "mlp" (one hidden layer with ReLU).
        batch_size: rows; a smaller training set is one batch.
        epochs: of `steps` each; the best by validation loss is kept.
        steps: an epoch.
        learning_rate, weight_decay: Adam's.
        hidden: units of the MLP's hidden layer.
        seed: of first weights and order.
        precision: of the matrix products while training: "float32", "bfloat16", or "auto", which is
            bfloat16 where the processor multiplies in it. Weights, sums and scores are float32.
    """

    kind: str = "linear"
    batch_size: int = 256
    epochs: int = 25
    steps: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    hidden: int = 512
    seed: int = 0
    precision: str = "auto"


@dataclass(frozen=True)
class TrainedProbe:
    """One probe.

    Attributes:
        layers: weights (in, out) and biases (out,); features are taken as they come, since their
            standardisation is part of the first layer.
        validation: loss after each epoch.
    """

    layers: list[tuple[np.ndarray, np.ndarray]]
    validation: list[float]

    @property
    def best_epoch(self) -> int:
        """The epoch that was kept, from 0."""
        return int(np.argmin(self.validation))

    def scores(self, x: np.ndarray) -> np.ndarray:
        """Logits: (rows, dimensions) to (rows, tags)."""
        for depth, (weight, bias) in enumerate(self.layers):
            x = x @ weight + bias
            if depth + 1 < len(self.layers):
                x = np.maximum(x, 0)
        return x

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """(rows, dimensions) to (rows, tags), 0 to 1."""
        return torch.from_numpy(self.scores(x)).sigmoid().numpy()


@dataclass(frozen=True)
class TrainingRows:
    """What probes learn from.

    Attributes:
        x: (tracks, dimensions), or with `starts` (segments, dimensions), which may be mapped from
            disk: no more than a batch of it is then in memory.
        y: (tracks, tags), 0 or 1.
        starts, ends: (tracks,) rows of `x` between which each track's segments lie, one or more; a
            draw of a track is then a draw of one of them.
    """

    x: np.ndarray
    y: np.ndarray
    starts: np.ndarray | None = None
    ends: np.ndarray | None = None


def train_probes(
    train: TrainingRows,
    validation_x: np.ndarray,
    validation_y: np.ndarray,
    subsets: Sequence[np.ndarray],
    settings: ProbeSettings | None = None,
    device: str = "cpu",
    progress: bool = False,
    name: str = "probes",
) -> list[TrainedProbe]:
    """Train one probe on each subset of the training rows, those of like size all at once.

    Features are standardised by each subset's own rows. First weights and order depend on the seed
    and the subset alone: a probe comes out the same whatever is trained beside it.

    Args:
        train: the training rows.
        validation_x, validation_y: as `x` and `y` of tracks.
        subsets: rows of the training set for each probe; one or more rows.
        settings: the protocol.
        device: of torch.
        progress: show a bar.
        name: for the bar.

    Raises:
        SslAudioError: an unknown kind of probe, an empty subset, features that are not finite, or
            targets that are not 0 and 1 or not those of the tracks.
    """
    settings = settings or ProbeSettings()
    if settings.kind not in ("linear", "mlp"):
        raise SslAudioError(f"probe.kind={settings.kind}: linear or mlp")
    if not len(subsets) or not all(len(rows) for rows in subsets):
        raise SslAudioError("a probe needs one training row or more")
    tracks = len(train.x if train.starts is None else train.starts)
    if len(train.y) != tracks or not np.isin(train.y, (0, 1)).all():
        raise SslAudioError(f"targets are 0 or 1 for each of {tracks} tracks")
    share = -(-len(subsets) // available_processors())
    most = min(TOGETHER, share) if device == "cpu" else len(subsets)
    groups = _groups(subsets, settings.batch_size, most)

    def trained(group: list[int]) -> list[TrainedProbe]:
        size = _batch_width(len(subsets[group[0]]), settings.batch_size)
        chosen = replace(settings, batch_size=size)
        return _Training(
            train, validation_x, validation_y, [subsets[k] for k in group], chosen, device
        ).run(advance)

    found: dict[int, TrainedProbe] = {}
    title, steps = f"{name}: {len(subsets)} probes", settings.epochs * len(groups)
    with progress_bar(title, steps, "epochs", shown=progress) as advance:
        # a thread a group: what is not a matrix product then keeps the other processors busy too
        for group, probes in zip(groups, in_order(groups, trained), strict=True):
            found.update(zip(group, probes, strict=True))
    return [found[k] for k in range(len(subsets))]


def _groups(subsets: Sequence[np.ndarray], batch_size: int, most: int) -> list[list[int]]:
    """Subsets whose batches are as wide, `most` of them together; what takes longest comes first.

    A probe's result does not depend on its group.
    """
    width = [_batch_width(len(rows), batch_size) for rows in subsets]
    groups: list[list[int]] = []
    for size in sorted(set(width)):
        alike = [k for k in range(len(width)) if width[k] == size]
        alike.sort(key=lambda k: -len(subsets[k]))
        parts = np.array_split(alike, -(-len(alike) // most))
        groups.extend([int(k) for k in part] for part in parts)
    return sorted(groups, key=lambda group: -len(group) * width[group[0]])


def _batch_width(rows: int, batch_size: int) -> int:
    """Rows that a batch is padded to: a few sizes, so that probes of like size train together."""
    return min(batch_size, -(-rows // PADDED_TO) * PADDED_TO)


class _Training:
    """The state of one batched training: P probes of D features and T tags."""

    def __init__(
        self,
        train: TrainingRows,
        validation_x: np.ndarray,
        validation_y: np.ndarray,
        subsets: Sequence[np.ndarray],
        settings: ProbeSettings,
        device: str,
    ) -> None:
        self.settings, self.device = settings, torch.device(device)
        self.orders = [_Order(rows, settings) for rows in subsets]
        dtype = _product_type(settings.precision, self.device)
        self.rows: _CompactRows | _SegmentRows = (
            _CompactRows(train.x, subsets, dtype, self.device)
            if train.starts is None or train.ends is None
            else _SegmentRows(
                train.x, train.starts, train.ends, subsets, settings.seed, dtype, self.device
            )
        )
        self.targets = torch.from_numpy(train.y.astype(np.uint8)).to(self.device)
        self.validation_x = torch.from_numpy(np.asarray(validation_x, np.float32)).to(self.device)
        self.validation_y = torch.from_numpy(validation_y.astype(np.float32)).to(self.device)
        dimensions, tags = train.x.shape[1], train.y.shape[1]
        sizes = [dimensions, *([settings.hidden] if settings.kind == "mlp" else []), tags]
        self.layers = _first_layers(sizes, [order.identity for order in self.orders], self.device)
        self.adam = Adam(self.layers, dtype, settings.learning_rate, settings.weight_decay)
        self.z = torch.empty(
            len(subsets), tags, settings.batch_size, dtype=dtype, device=self.device
        )
        self.slope = LogisticSlope(
            self.z, self.layers[-1][1], self.targets, self.adam.gradients[-1][1]
        )

    def run(self, advance: Callable[[], None]) -> list[TrainedProbe]:
        history: list[np.ndarray] = []
        best = self._folded()
        for epoch in range(self.settings.epochs):
            self._train_epoch(epoch)
            folded = self._folded()
            losses = self._validate(folded)
            if not np.isfinite(losses).all():
                raise SslAudioError(
                    f"a probe's loss is not finite in epoch {epoch + 1}: lower "
                    "linear_probe.learning_rate"
                )
            better = losses < np.min([np.full_like(losses, np.inf), *history], axis=0)
            history.append(losses)
            chosen = torch.from_numpy(better).to(self.device)[:, None, None]
            best = [
                (torch.where(chosen, w, old_w), torch.where(chosen, b, old_b))
                for (w, b), (old_w, old_b) in zip(folded, best, strict=True)
            ]
            advance()
        return [self._trained(best, p, history) for p in range(len(self.orders))]

    @torch.no_grad()
    def _train_epoch(self, epoch: int) -> None:
        steps = self.settings.steps
        # (steps, P, batch): places in each probe's own list of rows, -1 where a batch is not full
        places = np.stack([order.batches(epoch * steps, steps) for order in self.orders], axis=1)
        valid = torch.from_numpy(places >= 0).to(self.device)
        each = valid.float() / (valid.sum(2, keepdim=True) * self.targets.shape[1])
        batches = self.rows.batches(places, epoch * steps)
        for (x, rows), weights in zip(batches, each, strict=True):
            self._differentiate(x, rows, weights)
            self.adam.step()

    def _differentiate(self, x: Tensor, rows: Tensor, each: Tensor) -> None:
        """Give Adam the gradients of the sum of the probes' mean losses.

        By hand and into memory that is there already: autograd takes half as long again.

        Args:
            x: (P, batch, D).
            rows: (P, batch) of the training set.
            each: (P, batch) what a row weighs.
        """
        weights, gradients = self.adam.products, self.adam.gradients
        # units before rows: a product's columns are then rows in plenty, not 50 tags in lanes of 16
        inputs = [x.transpose(1, 2)]
        for weight, (_, bias) in zip(weights[:-1], self.layers, strict=False):
            inputs.append((torch.bmm(weight, inputs[-1]) + bias).relu_().to(x.dtype))
        slope = torch.bmm(weights[-1], inputs[-1], out=self.z)
        self.slope(rows, each)
        for depth in reversed(range(len(weights))):
            torch.bmm(slope, inputs[depth].transpose(1, 2), out=gradients[depth][0])
            if depth:
                wide = torch.bmm(weights[depth].transpose(1, 2), slope).float()
                wide.mul_(inputs[depth] > 0)
                torch.sum(wide, 2, keepdim=True, out=gradients[depth - 1][1])
                slope = wide.to(x.dtype)

    def _folded(self) -> list[tuple[Tensor, Tensor]]:
        """The layers for features as they come: (x - mean) / deviation is an affine map too."""
        (weight, bias), *rest = self.layers
        scaled = weight / self.rows.deviation[:, None, :]
        shift = torch.bmm(scaled, self.rows.mean[:, :, None])
        return [(scaled, bias - shift), *((w.clone(), b.clone()) for w, b in rest)]

    def _validate(self, layers: list[tuple[Tensor, Tensor]]) -> np.ndarray:
        total = torch.zeros(len(self.orders), device=self.device)
        for first in range(0, len(self.validation_x), VALIDATION_ROWS):
            x = self.validation_x[first : first + VALIDATION_ROWS]
            y = self.validation_y[first : first + VALIDATION_ROWS]
            z = _forward_all(layers, x)
            # the same as binary cross-entropy with logits, which would want y repeated
            total += F.softplus(z).sum((1, 2)) - torch.einsum("ptr,rt->p", z, y)
        return (total / self.validation_y.numel()).cpu().numpy()

    def _trained(
        self, layers: list[tuple[Tensor, Tensor]], p: int, history: list[np.ndarray]
    ) -> TrainedProbe:
        arrays = [(w[p].t().cpu().numpy(), b[p, :, 0].cpu().numpy()) for w, b in layers]
        return TrainedProbe(arrays, [float(losses[p]) for losses in history])


def _forward_all(layers: Sequence[tuple[Tensor, Tensor]], x: Tensor) -> Tensor:
    """The same rows through every probe: (rows, D) to (P, T, rows); one product, not P of them."""
    (weight, bias), *rest = layers
    probes, outputs, inputs = weight.shape
    z = torch.addmm(bias.reshape(-1, 1), weight.reshape(-1, inputs), x.t())
    z = z.view(probes, outputs, len(x))
    for weight, bias in rest:
        z = torch.baddbmm(bias, weight, z.relu())
    return z


def _first_layers(
    sizes: Sequence[int], identities: Sequence[int], device: torch.device
) -> list[tuple[Tensor, Tensor]]:
    """`nn.Linear`'s: (P, out, in) and (P, out, 1), uniform within 1 / sqrt(inputs)."""
    generators = [torch.Generator().manual_seed(identity) for identity in identities]
    layers = []
    for inputs, outputs in zip(sizes[:-1], sizes[1:], strict=True):
        drawn = [torch.rand(inputs + 1, outputs, generator=g) for g in generators]
        whole = ((2 * torch.stack(drawn) - 1) / math.sqrt(inputs)).transpose(1, 2).to(device)
        layers.append((whole[:, :, :-1].contiguous(), whole[:, :, -1:].contiguous()))
    return layers


def _product_type(precision: str, device: torch.device) -> torch.dtype:
    if precision not in ("auto", "float32", "bfloat16"):
        raise SslAudioError(f"probe.precision={precision}: auto, float32 or bfloat16")
    if device.type == "cuda":
        capable = torch.cuda.is_bf16_supported()
    else:
        capable = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    half = precision == "bfloat16" or (precision == "auto" and capable)
    return torch.bfloat16 if half else torch.float32


@dataclass
class _Order:
    """A probe's batches: shuffled passes over its rows, each batch a function of its step."""

    rows: np.ndarray
    settings: ProbeSettings
    identity: int = field(init=False)

    def __post_init__(self) -> None:
        checksum = zlib.crc32(np.ascontiguousarray(self.rows, np.int64).tobytes())
        self.identity = (self.settings.seed << 32) + checksum

    def batches(self, first: int, steps: int) -> np.ndarray:
        """(steps, batch_size) places among the rows, -1 where a pass's last batch is not full."""
        size = self.settings.batch_size
        per_pass = -(-len(self.rows) // size)
        passes = range(first // per_pass, (first + steps - 1) // per_pass + 1)
        padded = np.full((len(passes), per_pass * size), -1)
        for line, number in zip(padded, passes, strict=True):
            # where a batch is the whole set, its order is nothing
            rng = np.random.default_rng([self.identity, number if per_pass > 1 else 0])
            line[: len(self.rows)] = rng.permutation(len(self.rows))
        skipped = first - passes[0] * per_pass
        return padded.reshape(-1, size)[skipped : skipped + steps]


class _CompactRows:
    """Each probe's rows, standardised and side by side: a batch is one gather."""

    def __init__(
        self,
        x: np.ndarray,
        subsets: Sequence[np.ndarray],
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        moments = [_moments(x[rows]) for rows in subsets]
        self.mean = torch.stack([mean for mean, _ in moments]).to(device)
        self.deviation = torch.stack([deviation for _, deviation in moments]).to(device)
        sizes = [len(rows) for rows in subsets]
        starts = np.cumsum(sizes) - sizes
        data = _empty_rows(sum(sizes), x.shape[1], dtype)
        for rows, start, (mean, deviation) in zip(subsets, starts, moments, strict=True):
            part = torch.from_numpy(np.asarray(x[rows], np.float32))
            data[start : start + len(rows)] = part.sub_(mean).div_(deviation)
        self.data = data.to(device)
        self.rows = torch.from_numpy(np.concatenate(subsets)).to(device)
        self.start = starts[:, None]

    def batches(self, places: np.ndarray, first: int) -> Iterator[tuple[Tensor, Tensor]]:
        """(steps, P, batch) places to each step's (P, batch, D) features, and (P, batch) rows of
        the training set. The features are good until the next step: memory that is asked for and
        given back at each of them costs as much as the gather."""
        flat = torch.from_numpy(np.maximum(places, 0) + self.start).to(self.data.device)
        x = _empty_rows(flat[0].numel(), self.data.shape[1], self.data.dtype).to(self.data.device)
        again = np.append(False, (places[1:] == places[:-1]).all((1, 2)))
        for place, rows, drawn in zip(flat, self.rows[flat], again, strict=True):
            if not drawn:
                torch.index_select(self.data, 0, place.view(-1), out=x)
            yield x.view(*place.shape, -1), rows


class _SegmentRows:
    """A random segment of each drawn track, read from where the segments lie."""

    def __init__(
        self,
        x: np.ndarray,
        starts: np.ndarray,
        ends: np.ndarray,
        subsets: Sequence[np.ndarray],
        seed: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.x, self.starts, self.ends, self.seed = x, starts, ends, seed
        self.subsets, self.dtype, self.device = subsets, dtype, device
        moments = _segment_moments(x, starts, ends, subsets)
        self.mean = torch.stack([mean for mean, _ in moments]).to(device)
        self.deviation = torch.stack([deviation for _, deviation in moments]).to(device)

    def batches(self, places: np.ndarray, first: int) -> Iterator[tuple[Tensor, Tensor]]:
        """As `_CompactRows.batches`; `first` is the number of the first step."""
        for step, place in enumerate(places, first):
            yield self._batch(place, step)

    def _batch(self, place: np.ndarray, step: int) -> tuple[Tensor, Tensor]:
        rows = np.stack(
            [subset[np.maximum(p, 0)] for subset, p in zip(self.subsets, place, strict=True)]
        )
        # by step and row alone, so that it does not matter what is trained beside
        chance = np.random.default_rng([self.seed, step]).random(len(self.starts))[rows]
        count = self.ends[rows] - self.starts[rows]
        chosen = self.starts[rows] + (chance * count).astype(np.int64)
        wanted, where = np.unique(chosen, return_inverse=True)  # in the order of the disk
        read = torch.from_numpy(np.asarray(self.x[wanted], np.float32)).to(self.device)
        x = read[torch.from_numpy(where.reshape(rows.shape)).to(self.device)]
        x = (x - self.mean[:, None]) / self.deviation[:, None]
        return x.to(self.dtype), torch.from_numpy(rows).to(self.device)


def _empty_rows(rows: int, columns: int, dtype: torch.dtype) -> Tensor:
    """Memory of numpy's, which asks for huge pages: drawing rows from it is a tenth faster."""
    kind = np.int16 if dtype == torch.bfloat16 else np.float32
    return torch.from_numpy(np.empty((rows, columns), kind)).view(dtype)


def _moments(x: np.ndarray) -> tuple[Tensor, Tensor]:
    """(D,) mean and deviation; the deviation of a constant is 1."""
    mean = x.mean(0, dtype=np.float64)
    return _moments_of(mean, np.sqrt(((x - mean) ** 2).mean(0, dtype=np.float64)))


def _moments_of(mean: np.ndarray, deviation: np.ndarray) -> tuple[Tensor, Tensor]:
    if not np.isfinite(mean).all():
        raise SslAudioError("features must be finite: leave out the tracks that were not read")
    deviation = np.where(deviation < LEAST_DEVIATION, 1.0, deviation)
    return torch.from_numpy(mean).float(), torch.from_numpy(deviation).float()


def _segment_moments(
    x: np.ndarray, starts: np.ndarray, ends: np.ndarray, subsets: Sequence[np.ndarray]
) -> list[tuple[Tensor, Tensor]]:
    """Of each subset's segments, each track weighing the same, as it is drawn.

    Every track is read once, however many subsets it is in, and in the order of the disk.
    """
    subset_of = np.repeat(np.arange(len(subsets)), [len(rows) for rows in subsets])
    order = np.argsort(np.concatenate(subsets), kind="stable")
    tracks, first = np.unique(np.concatenate(subsets)[order], return_index=True)
    total = np.zeros((len(subsets), 2, x.shape[1]))
    for track, members in zip(tracks, np.split(subset_of[order], first[1:]), strict=True):
        part = np.asarray(x[starts[track] : ends[track]], np.float64)
        # a subset may hold a track twice, which += by index would count once
        np.add.at(total, members, np.stack([part.mean(0), (part**2).mean(0)]))
    sizes = np.array([len(rows) for rows in subsets])[:, None]
    mean, square = total[:, 0] / sizes, total[:, 1] / sizes
    return list(map(_moments_of, mean, np.sqrt(np.maximum(square - mean**2, 0))))
