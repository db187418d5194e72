"""Distillation: a frozen teacher's outputs, by their directions and their relations."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_audio.io.errors import SslAudioError
from ssl_audio.objectives import objective
from ssl_audio.objectives.contrastive import nt_xent
from ssl_audio.objectives.objective import LossOutput, Objective
from ssl_audio.objectives.projector import PROJECTOR_SIZES, projector


@objective.full_precision
def cosine_distance(prediction: Tensor, target: Tensor) -> Tensor:
    """1 - cos(prediction, target) of (..., D), averaged over rows: 0 to 2.

    Example:
        >>> target = torch.eye(3)
        >>> cosine_distance(2 * target, target).item(), cosine_distance(-target, target).item()
        (0.0, 2.0)
    """
    return 1 - F.cosine_similarity(prediction, target, dim=-1).mean()


@objective.full_precision
def relational_distance(embedding: Tensor, target: Tensor) -> Tensor:
    """Squared distance of the cosines between rows to those between targets, relative to these.

    For the cosines C of all pairs of different rows of the embeddings, and T of the targets,
    sum (C - T)^2 / sum T^2 (Gram matrices as in Tung & Mori 2019). The dimensions may differ.

    Args:
        embedding: (M, E), M >= 2.
        target: (M, D).

    Returns:
        Scalar, 0 or more.

    Raises:
        SslAudioError: fewer than two rows.

    Example:
        >>> relational_distance(torch.eye(3), torch.eye(3)[:, :2] + 1).item() > 0
        True
    """
    if len(embedding) < 2:
        raise SslAudioError("relations need two rows or more (data.batch_size)")
    student, teacher = (F.normalize(rows, dim=-1) for rows in (embedding, target))
    different = ~torch.eye(len(student), dtype=torch.bool, device=student.device)
    expected = (teacher @ teacher.T)[different]
    found = (student @ student.T)[different]
    scale = expected.square().sum().clamp_min(torch.finfo(expected.dtype).tiny)
    return (found - expected).square().sum() / scale


class Distillation(Objective):
    """Cosine to the teacher's output, relations between segments, and NT-Xent if wanted.

    A linear layer predicts the teacher's output, so that linear probes of the embedding can use
    what those of the teacher's output use. Relations are compared on the embedding itself. Segments
    without a target count for NT-Xent alone.

    Args:
        target_size: dimensions of the teacher's output.
        cosine, relational, contrast: weights of the terms, 0 or above, not all 0.
        temperature: of NT-Xent, above 0.
        projector_sizes: widths of NT-Xent's projector.

    Raises:
        SslAudioError: an argument out of range.
    """

    needs_targets = True

    def __init__(
        self, target_size: int, embedding_size: int = 1024, cosine: float = 1.0,
        relational: float = 1.0, contrast: float = 0.2, temperature: float = 0.1,
        projector_sizes: Sequence[int] = PROJECTOR_SIZES,
    ) -> None:  # fmt: skip
        objective.check_not_negative(cosine=cosine, relational=relational, contrast=contrast)
        objective.check_positive(temperature=temperature)
        if not cosine + relational + contrast:
            raise SslAudioError("cosine=0, relational=0, contrast=0: one weight must be above 0")
        heads: list[nn.Module] = [nn.Linear(embedding_size, target_size), nn.Identity()]
        self._sizes = [target_size, embedding_size]
        if contrast:
            heads.append(projector((embedding_size, *projector_sizes)))
            self._sizes.append(projector_sizes[-1])
        super().__init__(_Heads(heads))
        self.weights = {"cosine": cosine, "relational": relational, "contrast": contrast}
        self.temperature = temperature

    def loss(
        self, student: Tensor, teacher: Tensor | None, progress: float,
        targets: Tensor | None = None,
    ) -> LossOutput:  # fmt: skip
        """The weighted sum of the terms; logs each.

        Args:
            student: (V, N, D) outputs of the heads.
            teacher: not used.
            progress: not used.
            targets: (V, N, target_size) outputs of the frozen teacher; NaN where there is none.
        """
        if targets is None:
            raise SslAudioError("Distillation needs targets: a frozen teacher, teacher=NAME")
        objective.check_views(student, self.min_batch_size)
        prediction, embedding, *contrasted = student.split(self._sizes, dim=2)
        known = targets.isfinite().all(dim=2)
        terms = {}
        if self.weights["cosine"]:
            terms["cosine"] = _or_zero(cosine_distance, prediction[known], targets[known])
        if self.weights["relational"]:
            terms["relational"] = _or_zero(relational_distance, embedding[known], targets[known])
        if contrasted:
            terms["contrast"] = nt_xent(contrasted[0], self.temperature)
        total = torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()
        return LossOutput(total, {name: term.detach() for name, term in terms.items()})


class _Heads(nn.ModuleList):
    """The outputs of several modules for one input, side by side."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([head(x) for head in self], dim=1)


def _or_zero(distance: Callable[[Tensor, Tensor], Tensor], found: Tensor, target: Tensor) -> Tensor:
    """A distance; 0, with a gradient of 0, where fewer than two rows have a target."""
    return distance(found, target) if len(found) >= 2 else 0 * found.sum()
