"""Data sets whose tracks have one tag each, in their publishers' layouts."""

import json

import numpy as np
import pytest
from made_datasets import touch

from ssl_audio.datasets.dataset import SPLITS
from ssl_audio.datasets.esc50 import ESC50
from ssl_audio.datasets.giantsteps import GiantSteps
from ssl_audio.datasets.gtzan import GTZAN
from ssl_audio.datasets.nsynth import NSynth
from ssl_audio.datasets.single_label import KEYS, key_credits, key_name, tempo_credits
from ssl_audio.io.errors import SslAudioError


def labels_of(found, split):
    own = getattr(found, split)
    assert (own.targets.sum(1) == 1).all()
    return dict(zip(own.ids, [found.tags[k] for k in own.targets.argmax(1)], strict=True))


@pytest.mark.parametrize("layout", ["genres/{}.au", "{}.wav", "genres_original/{}.wav"])
def test_gtzan_in_its_layouts(tmp_path, layout):
    listed = GTZAN(root=tmp_path).read()
    sizes = [len(listed.splits[name].ids) for name in SPLITS]
    assert sizes == [443, 197, 290] == list(listed.published_sizes.values())
    every = {track for split in listed.splits.values() for track in split.ids}
    assert len(every) == 930 and len(listed.tags) == 10
    touch(tmp_path, [layout.format(track) for track in every])
    found = GTZAN(root=tmp_path).load()
    assert not found.notes and found.classes is not None
    assert labels_of(found, "train")["blues/blues.00029"] == "blues"  # Kereliuk's file 30
    assert labels_of(found, "test")["rock/rock.00030"] == "rock"


def made_nsynth(root):
    two = [("bass", 40), ("vocal", 60)]
    notes = {"train": two, "valid": [("bass", 40)], "test": two}
    for short, own in notes.items():
        folder = root / f"nsynth-{short}"
        names = {f"{family}_000-{pitch:03d}-{short}": (family, pitch) for family, pitch in own}
        touch(folder / "audio", [f"{name}.wav" for name in names])
        examples = {
            name: {
                "note": 1,
                "pitch": pitch,
                "instrument_family_str": family,
                "instrument_str": f"{family}_000",
            }
            for name, (family, pitch) in names.items()
        }
        (folder / "examples.json").write_text(json.dumps(examples))
    return root


def test_nsynth_pitches_and_instruments(tmp_path):
    root = made_nsynth(tmp_path)
    pitch = NSynth(root=root).load()
    assert pitch.tags == tuple(map(str, range(128))) and pitch.name == "nsynth, pitch"
    assert labels_of(pitch, "train") == {"bass_000-040-train": "40", "vocal_000-060-train": "60"}
    assert pitch.notes[0] == "the train split has 2 tracks; 289205 are published"
    assert pitch.notes[-1].startswith("126 classes have no training or no test track: 0, 1, 2,")
    family = NSynth(root=root, task="instrument").load()
    assert len(family.tags) == 11 and labels_of(family, "test") == {
        "bass_000-040-test": "bass", "vocal_000-060-test": "vocal"
    }  # fmt: skip
    assert family.hash != pitch.hash
    (root / "nsynth-test" / "examples.json").write_text('{"a": {}}')
    message = "nsynth-test/examples.json: not notes with pitch: 'pitch'$"
    with pytest.raises(SslAudioError, match=message):
        NSynth(root=root).load()


def test_esc50_folds(tmp_path):
    rows = [
        (f"{fold}-{100 + fold}-A-{k}.wav", fold, name)
        for fold in range(1, 6) for k, name in enumerate(("dog", "rain"))
    ]  # fmt: skip
    touch(tmp_path / "audio", [name for name, _, _ in rows])
    (tmp_path / "meta").mkdir()
    table = tmp_path / "meta" / "esc50.csv"
    lines = [f"{name},{fold},0,{label},False,1,A" for name, fold, label in rows]
    table.write_text("\n".join(["filename,fold,target,category,esc10,src_file,take", *lines]))
    tested = set()
    for fold in range(1, 6):
        found = ESC50(root=tmp_path, fold=fold).load()
        folds = [{i[0] for i in getattr(found, name).ids} for name in SPLITS]
        assert folds[2] == {str(fold)} and [len(f) for f in folds] == [3, 1, 1]
        assert set.union(*folds) == set("12345")
        tested |= set(found.test.ids)
        assert labels_of(found, "test")[f"{fold}-{100 + fold}-A-1.wav"] == "rain"
    assert len(tested) == 10
    table.write_text(table.read_text() + "\nx.wav,6,0,dog,False,1,A")
    with pytest.raises(SslAudioError, match=r"esc50.csv, line 12: a fold from 1 to 5 and a cat"):
        ESC50(root=tmp_path).load()


def made_keys(root):
    test, mtg = root / "giantsteps-key-dataset-master", root / "giantsteps-mtg-key-dataset"
    for k, key in enumerate(("Bb major", "C minor", "Bb major")):
        name = f"{k}.LOFI"
        touch(test, [f"audio/{name}.mp3", f"annotations/key/{name}.key"])
        (test / "annotations/key" / f"{name}.key").write_text(key)
    keys = ["A# major", "C minor"] * 10
    rows = [f"{100 + k}\t{key}\t2" for k, key in enumerate(keys)]
    rows += ["200\tC minor / F# minor\t2", "201\tC minor\t1", "202\t-\t0"]
    touch(mtg / "audio", [f"{100 + k}.LOFI.mp3" for k in range(20)])
    (mtg / "annotations").mkdir()
    (mtg / "annotations" / "annotations.txt").write_text("\n".join(["ID\tMANUAL KEY\tC", *rows]))
    return root


def test_giantsteps_keys(tmp_path):
    found = GiantSteps(root=made_keys(tmp_path)).load()
    assert found.name == "giantsteps, key" and found.tags == KEYS
    expected = {"0.LOFI": "A# major", "1.LOFI": "C minor", "2.LOFI": "A# major"}
    assert labels_of(found, "test") == expected
    own = labels_of(found, "train") | labels_of(found, "validation")
    assert len(own) == 20 and own["mtg/101.LOFI"] == "C minor" and len(found.validation.ids) < 10
    assert list(found.classes.credits) == ["MIREX score"]


def test_giantsteps_tempo_has_ten_folds(tmp_path):
    with pytest.raises(SslAudioError, match="^data.root=.*: no folder giantsteps-tempo-dataset$"):
        GiantSteps(root=tmp_path, task="tempo").load()
    folder = tmp_path / "giantsteps-tempo-dataset"
    names = [f"{k}.LOFI" for k in range(20)]
    tempi = ["0.0" if k == 7 else "139.6" if k % 3 else "87.0" for k in range(20)]
    touch(folder, [f"audio/{name}.mp3" for name in names])
    touch(folder, [f"annotations_v2/tempo/{name}.bpm" for name in names])
    for name, tempo in zip(names, tempi, strict=True):
        (folder / "annotations_v2/tempo" / f"{name}.bpm").write_text(tempo)
    (folder / "splits").mkdir()
    for fold in range(10):
        own = [f"{name}.mp3" for name in names[2 * fold : 2 * fold + 2]]
        (folder / "splits" / f"fold{fold + 1:02d}.txt").write_text("\n".join(own) + "\n")
    found = GiantSteps(root=tmp_path, task="tempo", fold=10).load()
    assert found.tags == ("87", "140")
    assert labels_of(found, "test") == {"18.LOFI": "87", "19.LOFI": "140"}
    assert found.validation.ids == ("0.LOFI", "1.LOFI") and len(found.train.ids) == 15
    assert found.notes[:2] == ("fold 10 of 10 is tested", "1 tracks have no tempo: 7.LOFI")


@pytest.mark.parametrize(
    ("true", "predicted", "points"),
    [
        ("C major", "C major", 1.0), ("C major", "G major", 0.5), ("C major", "F major", 0.0),
        ("C major", "A minor", 0.3), ("A minor", "C major", 0.3), ("A minor", "E minor", 0.5),
        ("A minor", "A major", 0.2), ("C major", "C minor", 0.2), ("C major", "E minor", 0.0),
    ],
)  # fmt: skip
def test_mirex_score_of_keys(true, predicted, points):
    [table] = key_credits().values()
    assert table[KEYS.index(true), KEYS.index(predicted)] == points
    assert table.sum() == pytest.approx(24 * (1 + 0.5 + 0.3 + 0.2))


def test_names_of_keys():
    assert [key_name(t) for t in ("Eb minor", "d# Minor\n", "F major", "-")] == [
        "D# minor", "D# minor", "F major", "-"
    ]  # fmt: skip


def test_tempo_accuracies():
    tempi = [60, 62, 63, 120, 180, 90]
    first, second = tempo_credits(tempi).values()
    expected = np.array([[abs(b - a) <= 0.04 * a for b in tempi] for a in tempi])
    np.testing.assert_array_equal(first, expected)
    assert second[0].tolist() == [1, 1, 0, 1, 1, 0]  # 62 is within 4 % of 60, 63 is not
    assert second[4].tolist() == [1, 1, 0, 0, 1, 1]  # a third and a half of 180
