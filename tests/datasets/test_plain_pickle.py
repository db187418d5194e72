import os
import pickle

import pytest

from ssl_audio.datasets.plain_pickle import load_plain_pickle
from ssl_audio.io.errors import SslAudioError


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
