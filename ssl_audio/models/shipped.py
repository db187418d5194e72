"""The encoders that come with the package, by name."""

from __future__ import annotations

from pathlib import Path

from ssl_audio.io.errors import CheckpointError
from ssl_audio.io.model_folder import CONFIG

NAMES = ("contrastive", "distilled")
BEST = "distilled"  # checkpoints/README.md says by which figures
OTHER_NETWORKS = ("musicnn",)  # not read by `load_encoder`


def shipped_folder(name: str) -> Path | None:
    """The folder of a shipped encoder, or of the best of them; None for any other name.

    A clone has all of them in `checkpoints/`. An installed wheel has the contrastive one, since
    the others would make it too large.

    Raises:
        CheckpointError: the encoder is shipped with a clone only, and this is a wheel.
    """
    if name not in (*NAMES, *OTHER_NETWORKS, "best") or Path(name).exists():
        return None
    name = BEST if name == "best" else name
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "checkpoints" / name, package.parent / "checkpoints" / name):
        if (folder / CONFIG).is_file():
            return folder
    raise CheckpointError(
        f"{name}: this encoder is not part of the wheel; clone the repository and give the path "
        f"of its folder checkpoints/{name}"
    )
