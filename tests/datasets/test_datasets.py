"""Each dataset from its publisher's files: sizes, names, what is refused."""

import csv
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from ssl_audio.datasets import jamendo, mtat
from ssl_audio.datasets.dataset import load_dataset
from ssl_audio.datasets.plain_pickle import load_plain_pickle
from ssl_audio.io.errors import SslAudioError


def touch(folder: Path, names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


# --- MTG-Jamendo ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("load", "sizes", "tags"),
    [
        (jamendo.load_top50, (32136, 10888, 11356), 50),
        (jamendo.load_instrument, (14395, 5466, 5115), 40),
        (jamendo.load_mood, (9949, 3802, 4231), 56),
    ],
)
def test_jamendo_has_the_published_sizes(shared, tmp_path, load, sizes, tags):
    found = load(str(tmp_path), splits=str(shared / "splits" / "jamendo"))
    assert tuple(len(found.splits[s].ids) for s in ("train", "validation", "test")) == sizes
    assert len(set(found.tags)) == tags
    every = [i for split in found.splits.values() for i in split.ids]
    assert len(set(every)) == len(every)


def jamendo_folder(tmp_path, name="{}.mp3", audio="."):
    """Nine tracks in three splits, tags a and b."""
    for index, split in enumerate(("train", "validation", "test")):
        lines = ["TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS"]
        for track in range(3):
            tags = ["genre---a"] if track else ["genre---b", "genre---a"]
            path = f"0{index}/{index}{track}.mp3"
            lines.append("\t".join([f"track_{index}{track}", "x", "y", path, "30.0", *tags]))
            touch(tmp_path / audio, [f"0{index}/" + name.format(f"{index}{track}")])
        table = tmp_path / f"autotagging_top50tags-{split}.tsv"
        table.write_text("\r\n".join(lines) + "\r\n")
    return tmp_path


def test_each_of_the_five_splits_is_its_own(tmp_path):
    root = jamendo_folder(tmp_path / "flat")
    with pytest.raises(SslAudioError, match="no folder split-3"):
        load_dataset("jamendo_top50", str(root), split=3)
    with pytest.raises(SslAudioError, match="0 to 4"):
        load_dataset("jamendo_top50", str(root), split=9)
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "split-3").symlink_to(root)
    found = load_dataset("jamendo_top50", str(root), splits=str(tmp_path / "splits"), split=3)
    assert found.hash == load_dataset("jamendo_top50", str(root)).hash


@pytest.mark.parametrize(
    ("name", "audio"),
    [("{}.mp3", "."), ("{}.low.mp3", "audio-low"), ("{}.mp3", "raw_30s/audio")],
)
def test_jamendo_layouts(tmp_path, name, audio):
    root = jamendo_folder(tmp_path, name, audio)
    found = load_dataset("jamendo_top50", str(root))
    assert found.train.ids == ("00/00.mp3", "00/01.mp3", "00/02.mp3")
    assert found.train.paths[0] == (root / audio / "00" / name.format("00")).resolve()
    # tag a is on every track: nothing to measure
    assert found.tags == ("b",) and "a" in found.notes[-1]
    np.testing.assert_array_equal(found.test.targets, [[1], [0], [0]])
    assert any("published" in note for note in found.notes)


def test_a_malformed_line_is_named(tmp_path):
    root = jamendo_folder(tmp_path)
    table = root / "autotagging_top50tags-test.tsv"
    table.write_text(table.read_text() + "track\tonly three\tcells\n")
    with pytest.raises(SslAudioError, match=r"test\.tsv, line 5"):
        load_dataset("jamendo_top50", str(root))


def test_missing_audio_is_counted_and_allowed_only_when_told(tmp_path):
    root = jamendo_folder(tmp_path)
    (root / "00" / "01.mp3").unlink()
    (root / "02" / "22.mp3").unlink()
    with pytest.raises(SslAudioError, match="1 of 3 train, 0 of 3 validation, 1 of 3 test"):
        load_dataset("jamendo_top50", str(root))
    found = load_dataset("jamendo_top50", str(root), allow_missing=True)
    assert found.missing == {"train": ("00/01.mp3",), "validation": (), "test": ("02/22.mp3",)}
    assert any("1 of 3 train" in note for note in found.notes)
    assert found.test.ids == ("02/20.mp3", "02/21.mp3")


def test_a_wrong_root_is_said_even_where_tracks_may_be_missing(tmp_path):
    root = jamendo_folder(tmp_path / "splits")
    (tmp_path / "empty").mkdir()
    for allow in (False, True):
        with pytest.raises(SslAudioError, match="none of the 9 tracks"):
            load_dataset(
                "jamendo_top50", str(tmp_path / "empty"), splits=str(root), allow_missing=allow
            )
    with pytest.raises(SslAudioError, match="no such folder"):
        load_dataset("jamendo_top50", str(tmp_path / "nowhere"))


def test_scores(shared):
    found = load_dataset("scores", str(shared / "audio" / "scores"))
    assert sum(len(split.ids) for _, split in found.splits()) == 450
    assert not found.missing["train"] and len(found.tags) > 20
    assert found.hash == load_dataset("scores", str(shared / "audio" / "scores")).hash


# --- MagnaTagATune -------------------------------------------------------------------------------


def test_mtat_has_the_published_sizes(shared, tmp_path):
    splits = tmp_path / "splits"
    splits.mkdir()
    for path in (shared / "splits" / "mtat").iterdir():
        (splits / path.name).symlink_to(path)
    rng = np.random.default_rng(0)
    np.save(splits / "y_train_pub.npy", (rng.random((15244, 50)) < 0.05).astype(np.float64))
    found = mtat.load(str(tmp_path), splits=str(splits))
    sizes = [len(found.splits[s].ids) for s in ("train", "validation", "test")]
    assert sizes == [15244, 1529, 4332] and len(found.tags) == 50
    assert found.splits["test"].ids[0].endswith(".mp3") and "nothing here proves" in found.notes[0]


@pytest.fixture
def annotations(tmp_path):
    """200 clips with 60 tags, of which 50 are the most frequent, in both publishers' forms."""
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
    with (tmp_path / "clip_info_final.csv").open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_ALL)
        writer.writerow(["clip_id", "title", "mp3_path"])
        writer.writerows([number, "x", clip] for number, clip in enumerate(clips))
    shuffled = rng.permutation(order)
    parts = {"train": "0123456789ab", "valid": "c", "test": "def"}
    for short, folders in parts.items():
        of = [i for i, clip in enumerate(clips) if clip[0] in folders and rows[i, order].any()]
        with (tmp_path / f"{short}_list_pub.cP").open("wb") as file:
            pickle.dump([clips[i].replace(".mp3", ".npy") for i in of], file, protocol=0)
        np.save(tmp_path / f"y_{short}_pub.npy", rows[of][:, shuffled].astype(float))
    touch(tmp_path, clips)
    return tmp_path, [names[k] for k in order], [names[k] for k in shuffled]


def test_mtat_by_folders_takes_the_most_frequent_tags(annotations):
    root, expected, _ = annotations
    found = load_dataset("mtat", str(root), scheme="folders")
    assert list(found.tags) == expected
    folders = [{i[0] for i in split.ids} for _, split in found.splits()]
    assert folders == [set("0123456789ab"), {"c"}, set("def")]


def test_mtat_column_names_come_from_the_annotations_not_from_a_list(annotations):
    root, _, shuffled = annotations
    (root / "top50_tags.txt").write_text("\n".join(sorted(shuffled)))
    found = load_dataset("mtat", str(root))
    assert list(found.tags) == shuffled
    by_folder = load_dataset("mtat", str(root), scheme="folders")
    column = by_folder.tags.index(shuffled[0])
    a = dict(zip(found.test.ids, found.test.targets[:, 0], strict=True))
    b = dict(zip(by_folder.test.ids, by_folder.test.targets[:, column], strict=True))
    assert a == b


def test_mtat_targets_that_agree_with_no_annotation_are_refused(annotations):
    root, *_ = annotations
    y = np.load(root / "y_test_pub.npy")
    y[:, 7] = 1 - y[:, 7]
    np.save(root / "y_test_pub.npy", y)
    with pytest.raises(SslAudioError, match="column 7"):
        load_dataset("mtat", str(root))


def test_mtat_lists_and_targets_must_agree(annotations):
    root, *_ = annotations
    np.save(root / "y_test_pub.npy", np.zeros((3, 50)))
    with pytest.raises(SslAudioError, match="has 3 rows"):
        load_dataset("mtat", str(root))


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", range(5))
def test_a_pickle_that_would_run_code_is_refused(tmp_path, protocol):
    marker = tmp_path / "ran"
    with (tmp_path / "list.cP").open("wb") as file:
        pickle.dump(["0/a.npy", Evil(marker)], file, protocol=protocol)
    with pytest.raises(SslAudioError, match="may run code"):
        load_plain_pickle(tmp_path / "list.cP")
    assert not marker.exists()


def test_a_damaged_pickle_is_one_line(tmp_path):
    (tmp_path / "a.cP").write_bytes(b"(lp1\nS'half")
    with pytest.raises(SslAudioError, match="damaged"):
        load_plain_pickle(tmp_path / "a.cP")


# --- MSD100 --------------------------------------------------------------------------------------


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


def test_msd100_rows_and_paths(msd):
    root, tracks, binaries, order = msd
    found = load_dataset("msd100", str(root))
    assert found.test.ids == tuple(tracks[i] for i in order[30:])
    np.testing.assert_array_equal(found.test.targets, binaries[order[30:]])
    assert sum("are published" in note for note in found.notes) == 3


def test_msd100_column_order_is_checked(msd):
    root, *_ = msd
    tags = np.load(root / "tags.npy")
    np.save(root / "tags.npy", tags[[1, 0, 2, 3, 4]])
    with pytest.raises(SslAudioError, match="not those of column"):
        load_dataset("msd100", str(root))


@pytest.mark.parametrize("template", ["{name}.mp3", "all.mp3"])
def test_msd100_templates_are_checked(msd, template):
    with pytest.raises(SslAudioError, match="data.template"):
        load_dataset("msd100", str(msd[0]), template=template)


# --- one's own -----------------------------------------------------------------------------------


def test_a_folder_a_tag(tmp_path):
    touch(tmp_path, [f"{tag}/{n}.wav" for tag in ("rock", "jazz") for n in range(40)])
    (tmp_path / "rock" / "both.wav").symlink_to(tmp_path / "jazz" / "0.wav")
    found = load_dataset("folder", str(tmp_path))
    assert found.tags == ("jazz", "rock")
    every = {i: t for _, s in found.splits() for i, t in zip(s.ids, s.targets, strict=True)}
    np.testing.assert_array_equal(every["jazz/0.wav"], [1, 1])
    np.testing.assert_array_equal(every["rock/0.wav"], [0, 1])
    assert len(every) == 80 and load_dataset("folder", str(tmp_path)).hash == found.hash
    assert load_dataset("folder", str(tmp_path), seed=1).train.ids != found.train.ids


def test_a_table(tmp_path):
    lines = ["path,tags,split"]
    for n in range(12):
        split = ("train", "valid", "test")[n % 3]
        lines.append(f"a/{n}.wav,{'x|y' if n < 6 else 'y|z'},{split}")
    (tmp_path / "own.csv").write_text("\n".join(lines))
    touch(tmp_path, [f"a/{n}.wav" for n in range(12)])
    found = load_dataset("csv", None, table=str(tmp_path / "own.csv"))
    assert found.tags == ("x", "z") and len(found.validation.ids) == 4
    (tmp_path / "own.csv").write_text("\n".join([*lines[:3], "a/b.wav,x,nowhere"]))
    with pytest.raises(SslAudioError, match="line 4"):
        load_dataset("csv", None, table=str(tmp_path / "own.csv"))
    (tmp_path / "own.csv").write_text("\n".join([*lines, lines[1]]))
    with pytest.raises(SslAudioError, match="listed twice"):
        load_dataset("csv", None, table=str(tmp_path / "own.csv"))


def test_labels_without_positives_are_an_error_where_none_is_left(tmp_path):
    lines = ["path,tags,split", *(f"{n}.wav,x,{s}" for n, s in enumerate(("train", "val", "test")))]
    (tmp_path / "own.csv").write_text("\n".join(lines))
    touch(tmp_path, ["0.wav", "1.wav", "2.wav"])
    with pytest.raises(SslAudioError, match="no tag has positives"):
        load_dataset("csv", None, table=str(tmp_path / "own.csv"))


def test_unknown_names_and_settings(tmp_path):
    with pytest.raises(SslAudioError, match="jamendo_top50"):
        load_dataset("jamendo", str(tmp_path))
    with pytest.raises(SslAudioError, match="data.layout"):
        load_dataset("scores", str(tmp_path), layout="full")
