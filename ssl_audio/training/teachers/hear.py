"""A module with the common API of HEAR 2021 as a teacher."""

from __future__ import annotations

from torch import Tensor

from ssl_audio.probing.baselines.hear import HearModule
from ssl_audio.probing.encoders import BaselineOptions


class HearTeacher:
    """`hear:MODULE` or `hear:MODULE:WEIGHTS`: scene embeddings of windows."""

    def __init__(self, argument: str) -> None:
        self._module = HearModule(BaselineOptions(f"hear:{argument}", argument))
        self.key, self.sample_rate = self._module.key, self._module.sample_rate

    def __call__(self, waveforms: Tensor) -> Tensor:
        return self._module.embed(waveforms)
