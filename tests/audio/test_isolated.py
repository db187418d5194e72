"""Whole files decoded in processes of their own."""

import os
import signal
import threading
import time

import numpy as np
import pytest
import soundfile

from ssl_audio.audio import decode, isolated
from ssl_audio.io.errors import AudioError
from ssl_audio.io.parallel import in_order


def write(path, seconds=3.0, rate=44_100):
    noise = np.random.default_rng(0).normal(0, 0.1, (round(seconds * rate), 2))
    soundfile.write(path, noise, rate)
    return path


def read(path, rate=16_000):
    stream = isolated.Stream(path, rate)
    return np.concatenate(list(stream)), stream.note


@pytest.fixture
def started(monkeypatch):
    """The processes that a test starts."""
    found = []

    class Listed(isolated._Process):
        def __init__(self):
            super().__init__()
            found.append(self)

    isolated.stop()
    monkeypatch.setattr(isolated, "_Process", Listed)
    return found


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_the_samples_are_those_of_this_process(tmp_path, rate):
    paths = [write(tmp_path / f"{k}.flac", 2 + k) for k in range(3)]
    results = in_order(paths, lambda path: read(path, rate), 2)
    for path, (samples, note) in zip(paths, results, strict=True):
        np.testing.assert_array_equal(samples, np.concatenate(list(decode.Stream(path, rate))))
        assert samples.dtype == np.float32 and note == ""


def test_notes_and_errors_come_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.wav")
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(content[: len(content) // 2])
    assert "1.50 of 3.00 s" in read("cut.wav")[1]
    soundfile.write(tmp_path / "quiet.wav", np.full(16_000, 1e-5), 16_000, subtype="FLOAT")
    assert read("quiet.wav")[1] == "silent"
    for name, reason in (("none.wav", "missing"), ("a\0.wav", "unreadable"), (".", "unreadable")):
        with pytest.raises(AudioError) as caught:
            read(name)
        assert (caught.value.path, caught.value.reason) == (name, reason)


def test_a_header_of_many_hours_takes_no_memory(tmp_path):
    content = bytearray(write(tmp_path / "a.wav").read_bytes())
    content[40:44] = (10 * 3600 * 44_100 * 4 & 0x7FFE0000).to_bytes(4, "little")
    (tmp_path / "long.wav").write_bytes(content)
    samples, note = read(tmp_path / "long.wav")
    assert len(samples) == 48_000 and note.startswith("3.00 of 11651")


def test_a_reader_that_stops_early_leaves_no_process_behind(tmp_path, started):
    path = write(tmp_path / "a.wav", 60.0)
    blocks = iter(isolated.Stream(path))
    next(blocks)
    (process,) = started
    blocks.close()
    assert not process.alive
    assert len(read(write(tmp_path / "b.wav", 1.0))[0]) == 16_000


def test_an_idle_process_that_has_ended_is_replaced(tmp_path):
    path = write(tmp_path / "a.wav", 1.0)
    read(path)
    for process in isolated._idle:
        os.kill(process._process.pid, signal.SIGTERM)
        process._process.wait()
    assert len(read(path)[0]) == 16_000


def test_what_a_file_does_to_its_process_is_its_error(tmp_path, dangerous, monkeypatch, capfd):
    monkeypatch.setattr(isolated, "TIME_LIMIT", 3.0)
    expected = {
        "a.wav": "",
        "crash.wav": "decoder crashed after 0.0 s of audio",
        "late.wav": "decoder crashed after",
        "hang.wav": "no answer in 3 s after 0.0 s",
        "memory.wav": "more than 2048 MiB of memory",
        "z.wav": "",
    }
    for name in expected:
        write(tmp_path / name, 8.0 if name == "late.wav" else 1.0)

    def outcome(name):
        try:
            return read(tmp_path / name)[1]
        except AudioError as error:
            return error.detail

    for (name, detail), found in zip(expected.items(), in_order(expected, outcome, 2), strict=True):
        assert detail in found and bool(detail) == bool(found), name
    assert capfd.readouterr() == ("", "")


def test_a_time_limit_holds_where_alarms_are_ignored_and_blocked(tmp_path, dangerous):
    before = signal.signal(signal.SIGALRM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    try:
        with pytest.raises(AudioError, match="no answer in 0.5 s"):
            list(isolated.Stream(write(tmp_path / "hang.wav", 1.0), time_limit=0.5))
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
        signal.signal(signal.SIGALRM, before)


def test_ctrl_c_reaches_the_one_who_waits(tmp_path, dangerous, started):
    path = write(tmp_path / "hang.wav", 1.0)

    def interrupt():
        while not started:
            time.sleep(0.01)
        time.sleep(0.2)
        os.kill(started[0]._process.pid, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        read(path)
