"""Tracks of noise with a table of tags for each part, as the probe during training reads them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

RATE = 16_000
PARTS = ("train", "validation", "test")


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
