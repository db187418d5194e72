"""The patches of log-mels that a student sees, and those that it predicts."""

from dataclasses import dataclass

from torch import Tensor

from ssl_audio.io.errors import SslAudioError


@dataclass(frozen=True)
class Patches:
    """A split of the patches of each row.

    Attributes:
        seen: (rows, k) indices of patches, counted along frames first.
        hidden: (rows, m) indices of all others.
        grid: patches along bands and frames, k + m in all.
    """

    seen: Tensor
    hidden: Tensor
    grid: tuple[int, int]


def split_patches(keys: Tensor, visible: float, grid: tuple[int, int]) -> Patches:
    """A random split, with the same number of seen patches in each row: at least 1, but not all.

    Args:
        keys: (rows, patches) random numbers; the patches with the smallest are seen.
        visible: share of the patches that are seen, 0 to 1.
        grid: patches along bands and frames.

    Raises:
        SslAudioError: fewer than two patches.
    """
    count = keys.shape[1]
    if count < 2:
        raise SslAudioError(
            f"log-mels of {grid[0]} x {grid[1]} patches: masked prediction needs two or more; "
            "raise data.segment"
        )
    seen = min(count - 1, max(1, round(visible * count)))
    order = keys.argsort(dim=1, stable=True)
    return Patches(order[:, :seen], order[:, seen:], grid)
