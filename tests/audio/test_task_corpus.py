"""Excerpts with exact labels: what is played is what the class says."""

import numpy as np
import pytest

from ssl_audio.audio import task_corpus
from ssl_audio.audio.task_corpus import CHORDS, PITCHES, TASKS, TEMPI, make_task_corpus

NAMES = "C C# D D# E F F# G G# A A# B".split()
SCALES = {"major": {0, 2, 4, 5, 7, 9, 11}, "minor": {0, 2, 3, 5, 7, 8, 10}}


@pytest.fixture
def played(monkeypatch):
    """Compose an excerpt with silent instruments that note the MIDI numbers they are given."""

    def compose(task, number, seed=0, seconds=4.0):
        notes = {name: [] for name in task_corpus.PLAYERS}

        def silent(name):
            def player(frequency, seconds, rng):
                notes[name].append(round(69 + 12 * np.log2(frequency / 440), 6))
                return np.zeros(10)

            return player

        for name in notes:
            monkeypatch.setitem(task_corpus.PLAYERS, name, silent(name))
        mix = np.zeros(round(seconds * 16_000))
        TASKS[task].compose(mix, number, np.random.default_rng(seed))
        return {name: own for name, own in notes.items() if own}

    return compose


@pytest.mark.parametrize("number", range(24))
def test_keys_use_the_notes_of_their_scale_from_the_tonic_on(played, number):
    name = TASKS["key"].classes[number]
    note, mode = name.split()
    tonic = NAMES.index(note)
    notes = [n for own in played("key", number, seed=number).values() for n in own]
    assert {(round(n) - tonic) % 12 for n in notes} <= SCALES[mode]
    assert any(round(n) % 12 == tonic for n in notes)


@pytest.mark.parametrize("number", range(len(CHORDS)))
def test_chords_have_the_intervals_of_their_quality(played, number):
    name = TASKS["chord"].classes[number]
    for seed in range(3):
        [(_, notes)] = played("chord", number, seed).items()
        root = min(notes)
        assert {round(n - root) % 12 for n in notes} == {i % 12 for i in CHORDS[name]}
        assert len({round(n - root) % 12 for n in notes}) == len(CHORDS[name])


def test_a_pitch_and_an_instrument_are_those_of_the_class(played):
    [(name, notes)] = played("pitch", 7).items()
    assert name != "bells" and set(notes) == {float(PITCHES[7])} and len(notes) > 2
    for number, instrument in enumerate(TASKS["instrument"].classes):
        [(name, notes)] = played("instrument", number).items()
        assert name == instrument and len(set(notes)) > 1


@pytest.mark.parametrize("number", [0, 12, len(TEMPI) - 1])
def test_beats_are_at_the_tempo_of_the_class(number):
    mix = np.zeros(8 * 16_000)
    TASKS["tempo"].compose(mix, number, np.random.default_rng(3))
    frames = np.abs(mix[: len(mix) // 80 * 80]).reshape(-1, 80).max(1)  # of 5 ms
    onset = np.maximum(np.diff(np.log(frames + 1e-3)), 0)
    tempo = int(TASKS["tempo"].classes[number])
    strength = {bpm: np.abs(onset @ np.exp(-2j * np.pi * np.arange(len(onset)) * bpm / 12_000))
                for bpm in (2 * tempo * np.array([0.85, 0.93, 1.0, 1.08, 1.16]))}  # fmt: skip
    assert max(strength, key=strength.get) == 2 * tempo  # of the eighths


def test_the_same_parameters_give_the_same_excerpts(tmp_path, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    one = make_task_corpus("pitch", 40, 1.0, 3, tmp_path / "one")
    two = make_task_corpus("pitch", 40, 1.0, 3, tmp_path / "two")
    assert [label for _, label in one] == [label for _, label in two]
    assert all(a.read_bytes() == b.read_bytes() for (a, _), (b, _) in zip(one, two, strict=True))
    counts = np.unique([label for _, label in one], return_counts=True)[1]
    assert len(counts) == len(PITCHES) and set(counts) == {1, 2}
    one[5][0].unlink()
    kept = one[6][0].stat().st_mtime_ns
    again = make_task_corpus("pitch", 40, 1.0, 3, tmp_path / "one")
    assert again == one and one[6][0].stat().st_mtime_ns == kept
    assert one[5][0].read_bytes() == two[5][0].read_bytes()
    other = make_task_corpus("pitch", 40, 1.0, 4, tmp_path / "one")
    assert other[0][0].parent != one[0][0].parent
