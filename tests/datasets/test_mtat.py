import csv
import pickle

import numpy as np
import pytest
from made_datasets import touch

from ssl_audio.datasets.mtat import MagnaTagATune
from ssl_audio.io.errors import SslAudioError


def test_has_the_published_sizes(shared, tmp_path):
    splits = tmp_path / "splits"
    splits.mkdir()
    for path in (shared / "splits" / "mtat").iterdir():
        (splits / path.name).symlink_to(path)
    rng = np.random.default_rng(0)
    np.save(splits / "y_train_pub.npy", (rng.random((15244, 50)) < 0.05).astype(np.float64))
    found = MagnaTagATune(root=tmp_path, splits=splits).read()
    sizes = [len(found.splits[s].ids) for s in ("train", "validation", "test")]
    assert sizes == [15244, 1529, 4332] and len(found.tags) == 50
    assert found.splits["test"].ids[0].endswith(".mp3") and "unchecked" in found.notes[0]


@pytest.fixture
def annotations(tmp_path):
    """192 clips with 60 tags, of which 50 are the most frequent, in both published forms."""
    rng = np.random.default_rng(0)
    names = [f"tag{k:02d}" for k in rng.permutation(60)]
    clips = [f"{folder}/clip{k}.mp3" for folder in "0123456789abcdef" for k in range(12)]
    rows = (rng.random((len(clips), 60)) < np.linspace(0.05, 0.5, 60)).astype(int)
    order = sorted(range(60), key=lambda k: (-rows[:, k].sum(), names[k]))[:50]
    with (tmp_path / "annotations_final.csv").open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_ALL)
        writer.writerow(["clip_id", *names, "mp3_path"])
        for number, (clip, row) in enumerate(zip(clips, rows, strict=True)):
            writer.writerow([number, *row, clip])
    shuffled = rng.permutation(order)
    parts = {"train": "0123456789ab", "valid": "c", "test": "def"}
    for short, folders in parts.items():
        of = [i for i, clip in enumerate(clips) if clip[0] in folders and rows[i, order].any()]
        with (tmp_path / f"{short}_list_pub.cP").open("wb") as file:
            pickle.dump([clips[i].replace(".mp3", ".npy") for i in of], file, protocol=0)
        np.save(tmp_path / f"y_{short}_pub.npy", rows[of][:, shuffled].astype(float))
    touch(tmp_path, clips)
    return tmp_path, [names[k] for k in order], [names[k] for k in shuffled]


def test_by_folders_takes_the_most_frequent_tags(annotations):
    root, expected, _ = annotations
    found = MagnaTagATune(root=root, scheme="folders").load()
    assert list(found.tags) == expected
    folders = [{i[0] for i in split.ids} for _, split in found.splits()]
    assert folders == [set("0123456789ab"), {"c"}, set("def")]


def test_column_names_come_from_the_annotations_not_from_a_list(annotations):
    root, _, shuffled = annotations
    (root / "top50_tags.txt").write_text("\n".join(sorted(shuffled)))
    found = MagnaTagATune(root=root).load()
    assert list(found.tags) == shuffled
    by_folder = MagnaTagATune(root=root, scheme="folders").load()
    column = by_folder.tags.index(shuffled[0])
    a = dict(zip(found.test.ids, found.test.targets[:, 0], strict=True))
    b = dict(zip(by_folder.test.ids, by_folder.test.targets[:, column], strict=True))
    assert a == b


def test_targets_that_agree_with_no_annotation_are_refused(annotations):
    root, *_ = annotations
    y = np.load(root / "y_test_pub.npy")
    y[:, 7] = 1 - y[:, 7]
    np.save(root / "y_test_pub.npy", y)
    with pytest.raises(SslAudioError, match="column 7"):
        MagnaTagATune(root=root).load()


def test_lists_and_targets_must_agree(annotations):
    root, *_ = annotations
    np.save(root / "y_test_pub.npy", np.zeros((3, 50)))
    with pytest.raises(SslAudioError, match="has 3 rows"):
        MagnaTagATune(root=root).load()


def test_a_malformed_line_of_the_annotations_is_named(annotations):
    root, *_ = annotations
    path = root / "annotations_final.csv"
    path.write_text(path.read_text() + "192\t1\n")
    with pytest.raises(SslAudioError, match=r"annotations_final.csv, line 194: 2 columns of 62"):
        MagnaTagATune(root=root, scheme="folders").load()
    path.write_text("")
    with pytest.raises(SslAudioError, match="expected columns clip_id"):
        MagnaTagATune(root=root, scheme="folders").load()
