"""Masked prediction (M2D, Niizumi et al. 2023): predict an EMA teacher's latents of hidden patches.

"Masked Modeling Duo: Learning Representations by Encouraging Both Networks to Model the Input".
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_audio.io.errors import SslAudioError
from ssl_audio.objectives import objective
from ssl_audio.objectives.ema import DEFAULT_MOMENTUM, HalfLife
from ssl_audio.objectives.objective import LossOutput, Objective
from ssl_audio.objectives.patches import Patches
from ssl_audio.objectives.schedules import Schedule


@objective.full_precision
def masked_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Squared distance of normalised predictions and latents, 0 to 4, averaged over hidden patches.

    The target t of a patch is centred over its D dimensions, t' = t - mean(t), and both are scaled
    to unit length: |p / |p| - t' / |t'||^2 = 2 - 2 cos(p, t'), as in M2D (Eq. 2 and 3).

    Args:
        prediction: (..., D) of the student.
        target: (..., D) of the teacher; gets no gradient.

    Raises:
        SslAudioError: the shapes differ.

    Example:
        >>> target = torch.tensor([[3.0, 1.0, 2.0]])
        >>> masked_loss(torch.tensor([[2.0, -2.0, 0.0]]), target).item()
        0.0
    """
    if prediction.shape != target.shape:
        shapes = f"{tuple(prediction.shape)} and {tuple(target.shape)}"
        raise SslAudioError(f"predictions and latents must have the same shape, not {shapes}")
    target = target.detach()
    centred = target - target.mean(dim=-1, keepdim=True)
    p, t = F.normalize(prediction, dim=-1), F.normalize(centred, dim=-1)
    return (p - t).square().sum(dim=-1).mean()


class PatchPredictor(nn.Module):
    """A transformer from the latents of seen patches to predictions of the hidden ones.

    Args:
        embedding_size: dimensions of latents and predictions.
        width, depth, heads: of the transformer; the width a multiple of 4 and of the heads.

    Raises:
        SslAudioError: a wrong width, depth or number of heads.
    """

    def __init__(self, embedding_size: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        objective.check_positive(width=width, depth=depth, heads=heads)
        if width % 4 or width % heads:
            raise SslAudioError(f"width={width}: a multiple of 4 and of the heads, {heads}")
        self.enter = nn.Linear(embedding_size, width)
        self.unknown = nn.Parameter(0.02 * torch.randn(width))
        self.blocks = nn.Sequential(*(self._block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, embedding_size)

    def forward(self, latents: Tensor, patches: Patches) -> Tensor:
        """(rows, k, embedding_size) of the seen patches to (rows, m, ...) of the hidden ones."""
        positions = grid_positions(patches.grid, self.norm.weight.numel()).to(latents.device)
        known = self.enter(latents) + positions[patches.seen]
        unknown = self.unknown + positions[patches.hidden]
        tokens = self.blocks(torch.cat([known, unknown], dim=1))
        return self.leave(self.norm(tokens[:, known.shape[1] :]))

    @staticmethod
    def _block(width: int, heads: int) -> nn.Module:
        return nn.TransformerEncoderLayer(
            width, heads, dim_feedforward=4 * width, dropout=0.0, activation="gelu",
            batch_first=True, norm_first=True,
        )  # fmt: skip


def grid_positions(grid: tuple[int, int], width: int) -> Tensor:
    """(patches, width) sines and cosines, the first half of the band and the second of the frame.

    Args:
        grid: patches along bands and frames.
        width: a multiple of 4.
    """
    bands, frames = grid
    frequencies = 10_000.0 ** -(torch.arange(width // 4) / (width // 4))
    angles = [torch.outer(torch.arange(size), frequencies) for size in grid]
    band, frame = (torch.cat([a.sin(), a.cos()], dim=1) for a in angles)
    both = band[:, None].expand(-1, frames, -1), frame[None].expand(bands, -1, -1)
    return torch.cat(both, dim=2).flatten(0, 1)


class Masked(Objective):
    """Student and teacher see different patches; the student predicts the teacher's latents.

    Each view is a sample of its own: a pair is not compared. The latents of a network are those of
    its patches in the space of the embedding (`PatchLatents`).

    Args:
        visible: share of the patches that the student sees, between 0 and 1; 0.3 to 0.4 in M2D.
        width, depth, heads: of the predictor.
        momentum: of the teacher: a half-life, or a value per step over the run.

    Raises:
        SslAudioError: an argument out of range.
    """

    min_batch_size = 1

    def __init__(
        self, embedding_size: int = 1024, visible: float = 0.4, width: int = 256, depth: int = 2,
        heads: int = 4, momentum: Schedule | HalfLife = DEFAULT_MOMENTUM,
    ) -> None:  # fmt: skip
        if not 0 < visible < 1:
            raise SslAudioError(f"visible={visible}: a share of the patches, between 0 and 1")
        super().__init__(
            nn.Identity(), momentum, PatchPredictor(embedding_size, width, depth, heads)
        )
        self.visible = visible

    def predict(self, embeddings: Tensor, patches: Patches | None) -> Tensor:
        """(rows, k, embedding_size) latents of seen patches to (rows, m, ...) of hidden ones."""
        return self.predictor(embeddings, patches)

    def loss(self, student: Tensor, teacher: Tensor | None, progress: float) -> LossOutput:
        """Distance to the teacher's latents, both (V, N, m, D); logs their mean `similarity`."""
        total = masked_loss(student, objective.require_teacher(teacher, self))
        return LossOutput(total, {"similarity": 1 - total.detach() / 2})
