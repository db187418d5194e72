"""Tracks of noise with a table of tags for each part, as the probe during training reads them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

RATE = 16_000
PARTS = ("train", "validation", "test")
SMALL = (
    "data=folder", "data.root=music", "data.batch_size=4", "data.segment=1", "data.min_offset=1",
    "data.max_offset=2", "data.workers=0", "encoder.backbone=test_resnet",
    "objective.projector_sizes=[8,8]", "trainer.precision=32-true", "trainer.accelerator=cpu",
)  # fmt: skip
"""Words of a short run on this music."""


def write_labelled_music(tags: Sequence[str]) -> None:
    """music/PART.tsv in the working folder, and a track of 4 s for each tag of each part."""
    Path("music").mkdir()
    for number, part in enumerate(PARTS):
        rows = ["TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS"]
        for k, tag in enumerate(tags):
            noise = np.random.default_rng(2 * number + k).normal(0, 0.1, 4 * RATE)
            soundfile.write(f"music/{part}{k}.wav", noise, RATE)
            rows.append(f"t{number}{k}\ta\tb\t{part}{k}.wav\t4.0\t{tag}")
        Path(f"music/{part}.tsv").write_text("\n".join(rows) + "\n")
