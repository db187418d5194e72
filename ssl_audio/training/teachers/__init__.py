"""Frozen teachers: a file for each kind, created by their names in `teacher=`."""

from pathlib import Path

from ssl_audio.io.errors import SslAudioError
from ssl_audio.models.shipped import shipped_folder
from ssl_audio.probing.encoders import BaselineOptions
from ssl_audio.probing.networks import NETWORKS
from ssl_audio.probing.networks.windows import Network
from ssl_audio.settings.registry import Registry
from ssl_audio.training.teachers.store import StoredTeacher
from ssl_audio.training.teachers.teacher import Teacher

TEACHERS = Registry({
    "encoder": "ssl_audio.training.teachers.encoder.EncoderTeacher",
    "musicnn": "ssl_audio.training.teachers.musicnn.MusicnnTeacher",
    **NETWORKS.paths,
})  # fmt: skip


def create_teacher(name: str, window: float, hop: float) -> Teacher | StoredTeacher:
    """A teacher.

    Args:
        name: the folder or the name of an encoder, a feature store, or KIND:ARGUMENT with a kind of
            `TEACHERS`.
        window: seconds of audio that an output is computed from.
        hop: seconds between windows of a track.

    Raises:
        SslAudioError: no such teacher, or it cannot be loaded.
    """
    if name.endswith(".parquet"):
        return StoredTeacher(name)
    kind, _, argument = name.partition(":")
    if kind not in TEACHERS or (kind == "encoder" and not argument):
        if shipped_folder(name) is None and not Path(name).is_dir():
            kinds = ", ".join(f"{kind}:..." for kind in TEACHERS if kind != "musicnn")
            raise SslAudioError(
                f"teacher={name}: neither the folder or name of an encoder nor a feature store "
                f"(NAME.parquet), and none of musicnn, {kinds}"
            )
        kind, argument = "encoder", name
    network: Network = TEACHERS[kind](BaselineOptions(name, argument))
    return Teacher(name, network, window, hop)
