import pickle

import numpy as np
import pytest
from made_datasets import touch

from ssl_audio.datasets.msd100 import MSD100
from ssl_audio.io.errors import SslAudioError


@pytest.fixture
def msd(tmp_path):
    rng = np.random.default_rng(0)
    tracks = [f"TR{a}{b}{c}X{n}" for n, (a, b, c) in enumerate(rng.choice(list("ABC"), (40, 3)))]
    binaries = (rng.random((40, 5)) < 0.5).astype(int)
    ids = np.array([f"{row}//{track}" for row, track in enumerate(tracks)])
    order = rng.permutation(40)
    for short, rows in (("train", order[:20]), ("valid", order[20:30]), ("test", order[30:])):
        np.save(tmp_path / f"{short}_ids.npy", ids[rows])
    tags = [f"tag{k}" for k in range(5)]
    np.save(tmp_path / "binaries.npy", binaries)
    np.save(tmp_path / "tags.npy", np.array(tags))
    by_tag = {t: [ids[r] for r in order[:20] if binaries[r, k]] for k, t in enumerate(tags)}
    plain = {t: [str(i) for i in listed] for t, listed in by_tag.items()}
    with (tmp_path / "train_tag_to_ix.pkl").open("wb") as file:
        pickle.dump(plain, file)
    touch(tmp_path, [f"{t[2]}/{t[3]}/{t[4]}/{t}.mp3" for t in tracks])
    return tmp_path, tracks, binaries, order


def test_rows_and_paths(msd):
    root, tracks, binaries, order = msd
    found = MSD100(root=root).load()
    assert found.test.ids == tuple(tracks[i] for i in order[30:])
    np.testing.assert_array_equal(found.test.targets, binaries[order[30:]])
    assert sum("are published" in note for note in found.notes) == 3


def test_column_order_is_checked(msd):
    root, *_ = msd
    tags = np.load(root / "tags.npy")
    np.save(root / "tags.npy", tags[[1, 0, 2, 3, 4]])
    with pytest.raises(SslAudioError, match="not those of column"):
        MSD100(root=root).load()


@pytest.mark.parametrize("template", ["{name}.mp3", "all.mp3"])
def test_templates_are_checked(msd, template):
    with pytest.raises(SslAudioError, match="template=.*a path with"):
        MSD100(root=msd[0], template=template)
