import numpy as np
import pytest
from made_datasets import touch

from ssl_audio.datasets.dataset import UNLABELLED
from ssl_audio.datasets.openmic import OpenMIC
from ssl_audio.io.errors import SslAudioError


@pytest.fixture
def root(tmp_path):
    """100 training and 20 test clips; each has one label of three instruments, some two."""
    rng = np.random.default_rng(0)
    clips = [f"{n:06d}_{3840 * n}" for n in range(120)]
    lines = ["sample_key,instrument,relevance,num_responses"]
    for n, clip in enumerate(clips):
        for instrument in rng.choice(["banjo", "bass", "voice"], 1 + n % 2, replace=False):
            lines.append(f"{clip},{instrument},{rng.choice([0.1, 0.5, 0.9])},3")
    (tmp_path / "openmic-2018-aggregated-labels.csv").write_text("\n".join(lines))
    (tmp_path / "partitions").mkdir()
    (tmp_path / "partitions" / "split01_train.csv").write_text("\n".join(clips[:100]) + "\n")
    (tmp_path / "partitions" / "split01_test.csv").write_text("\n".join(clips[100:]) + "\n")
    touch(tmp_path / "audio", [f"{clip[:3]}/{clip}.ogg" for clip in clips])
    return tmp_path


def test_cells_without_a_label_are_unlabelled(root):
    found = OpenMIC(root=root).load()
    assert found.tags == ("banjo", "bass", "voice") and found.classes is None
    assert found.test.ids[0] == "000100_384000" and len(found.test.ids) == 20
    assert 5 <= len(found.validation.ids) <= 30 and len(found.train.ids) > 60
    listed = (root / "openmic-2018-aggregated-labels.csv").read_text().splitlines()[1:]
    expected = {tuple(line.split(",")[:2]): float(line.split(",")[2]) >= 0.5 for line in listed}
    cells = {
        (clip, tag): value
        for _, split in found.splits()
        for clip, row in zip(split.ids, split.targets, strict=True)
        for tag, value in zip(found.tags, row, strict=True)
    }
    assert {cell: bool(v) for cell, v in cells.items() if v != UNLABELLED} == expected
    assert len(cells) == 360


def test_a_malformed_relevance_is_named(root):
    path = root / "openmic-2018-aggregated-labels.csv"
    path.write_text(path.read_text() + "\n000001_3840,voice,1.5,3")
    message = r"labels.csv, line \d+: expected an instrument and a relevance from 0 to 1$"
    with pytest.raises(SslAudioError, match=message):
        OpenMIC(root=root).load()
