"""What a finished run leaves to be used: the encoder, and what it was trained beside."""

from pathlib import Path

from torch import nn

from ssl_audio.models.encoder import Encoder
from ssl_audio.objectives.projector import Projector, save_projector
from ssl_audio.training.module import PretrainModule


def export(module: PretrainModule, folder: Path, card: str) -> None:
    """Write the models of a run as safetensors, each a folder.

    `encoder/` and, of an EMA teacher, `teacher/` are read by `load_encoder`; `projector/` and
    `teacher-projector/` by `load_projector`, if they are the package's projector.
    """
    _export(module.encoder, module.objective.projector, folder, "encoder", "projector", card)
    if module.teacher is not None:
        note = f"{card}\nThese are the weights of the EMA teacher.\n"
        teacher = module.teacher
        _export(teacher.encoder, teacher.projector, folder, "teacher", "teacher-projector", note)


def _export(
    encoder: Encoder, projector: nn.Module, folder: Path, name: str, projector_name: str, card: str
) -> None:
    encoder.save(folder / name, card=card)
    if isinstance(projector, Projector):
        save_projector(projector, folder / projector_name)
