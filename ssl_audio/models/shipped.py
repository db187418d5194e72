"""The encoders that come with the package, and their probes, by name."""

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
    if folder := _found(name):
        return folder
    raise CheckpointError(
        f"{name}: this encoder is not part of the wheel; clone the repository and give the path "
        f"of its folder checkpoints/{name}"
    )


def shipped_probe(name: str) -> Path | None:
    """The folder of the tagging probe of a shipped encoder, or of the best one; else None.

    Raises:
        CheckpointError: no probe of the encoder is here.
    """
    if name not in (*NAMES, "best") or Path(name).exists():
        return None
    name = BEST if name == "best" else name
    if folder := _found(f"probes/{name}"):
        return folder
    raise CheckpointError(
        f"probe={name}: no probe of this encoder comes with this copy of the package; train one by "
        f"ssl-audio probe checkpoint={name} dataset=... and give the folder that it prints"
    )


def _found(name: str) -> Path | None:
    """A folder of checkpoints/, in an installed wheel or in a clone."""
    package = Path(__file__).resolve().parent.parent
    places = (package / "checkpoints" / name, package.parent / "checkpoints" / name)
    return next((folder for folder in places if (folder / CONFIG).is_file()), None)
