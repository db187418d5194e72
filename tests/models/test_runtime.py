"""The network in other runtimes: the same embeddings, from any thread."""

import functools
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from ssl_audio.io.errors import SslAudioError
from ssl_audio.models import runtime
from ssl_audio.models.encoder import Encoder, build_encoder
from ssl_audio.models.runtime import INSTALL, OpenVinoNetwork, for_embedding, runtime_of

# the tests leave the import of OpenVINO to the package, which keeps its telemetry out
needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="no openvino")
RUNTIMES = ["torch", pytest.param("openvino", marks=needs_openvino)]


@pytest.fixture(scope="module")
def encoder():
    """With statistics that are not those of a new network, so that folding them matters."""
    torch.manual_seed(0)
    made = build_encoder(segment=1.0, embedding_size=32)
    made.train()
    with torch.no_grad():
        for _ in range(3):
            made(torch.randn(8, 16_000) * 0.1)
    return made.eval()


def waveforms():
    rng = np.random.default_rng(0)
    return [rng.normal(0, 0.1, n).astype(np.float32) for n in (200, 16_000, 40_000, 100_000)]


@pytest.fixture(scope="module")
def fast_encoder(encoder):
    """The encoder in a runtime, for two threads."""
    return functools.cache(lambda name: for_embedding(encoder, runtime=name, workers=2))


@pytest.mark.parametrize("name", RUNTIMES)
@pytest.mark.parametrize("hop", [None, 0.32])
def test_the_embeddings_are_the_encoders(encoder, fast_encoder, name, hop):
    fast = fast_encoder(name)
    for waveform in waveforms():
        expected, found = encoder.embed(waveform, hop=hop), fast.embed(waveform, hop=hop)
        scale = np.abs(expected.segments).max()
        np.testing.assert_allclose(found.segments, expected.segments, atol=1e-5 * scale)
        np.testing.assert_array_equal(found.times, expected.times)


@pytest.mark.parametrize("name", RUNTIMES)
def test_bfloat16_stays_close(encoder, name):
    fast = for_embedding(encoder, "bfloat16", name)
    for waveform in waveforms():
        a, b = encoder.embed(waveform).track, fast.embed(waveform).track
        assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.99
        if name == "torch":  # for OpenVINO it is a hint
            assert np.abs(a - b).max() > 1e-5 * np.abs(a).max()


@needs_openvino
def test_threads_do_not_disturb_each_other(fast_encoder):
    fast = fast_encoder("openvino")
    rng = np.random.default_rng(1)
    todo = [rng.normal(0, 0.1, 16_000 * (1 + k % 5)).astype(np.float32) for k in range(40)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(fast.embed, todo))
    for waveform, found in zip(todo, together, strict=True):
        np.testing.assert_allclose(found.segments, fast.embed(waveform).segments, atol=1e-6)


@needs_openvino
def test_auto_is_openvino_where_it_is_installed(monkeypatch):
    encoder = build_encoder(backbone="test_resnet", segment=1.0, embedding_size=8).eval()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(runtime, "find_spec", lambda name: None)
    assert not isinstance(for_embedding(encoder).network, OpenVinoNetwork)
    monkeypatch.undo()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert isinstance(for_embedding(encoder).network, OpenVinoNetwork)


def test_a_broken_openvino_is_reported_and_torch_is_used(encoder, tmp_path, monkeypatch, capsys):
    (tmp_path / "openvino").mkdir()
    (tmp_path / "openvino" / "__init__.py").write_text("raise RuntimeError('no such symbol')")
    for name in [name for name in sys.modules if name.partition(".")[0] == "openvino"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert runtime_of(for_embedding(encoder)) == "torch"
    assert "no such symbol" in capsys.readouterr().err
    with pytest.raises(SslAudioError, match="no such symbol"):
        for_embedding(encoder, runtime="openvino")


@needs_openvino
def test_weights_that_are_not_finite_are_not_hidden():
    broken = build_encoder(backbone="test_resnet", segment=1.0, embedding_size=8).eval()
    next(broken.backbone.parameters()).data.fill_(torch.nan)
    with pytest.raises(SslAudioError, match="not finite"):
        for_embedding(broken, runtime="openvino")


@needs_openvino
def test_openvino_refuses_other_lengths(encoder, fast_encoder):
    fast = fast_encoder("openvino")
    with pytest.raises(ValueError, match="log-mels"):
        fast(torch.zeros(1, 50_000))
    assert fast.frontend is not encoder.frontend


def test_without_openvino_it_is_named(encoder, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)  # an import of it fails
    with pytest.raises(SslAudioError, match="pip install") as raised:
        for_embedding(encoder, runtime="openvino")
    assert INSTALL in str(raised.value)


class Unknown(torch.autograd.Function):
    """An operation that no runtime but torch has."""

    @staticmethod
    def forward(ctx, x):
        return x.mean((2, 3)).sort(1).values

    @staticmethod
    def symbolic(graph, x):
        raise NotImplementedError


class Strange(torch.nn.Module):
    def forward(self, x):
        return torch.special.i0e(Unknown.apply(x)).repeat(1, 32)


@needs_openvino
def test_a_network_that_openvino_cannot_run(encoder):
    strange = Encoder(encoder.frontend, Strange(), "strange", 32, encoder.segment).eval()
    with pytest.raises(SslAudioError, match="runtime=torch"):
        for_embedding(strange, runtime="openvino")
    assert not isinstance(for_embedding(strange).network, OpenVinoNetwork)


@pytest.mark.parametrize("words", [("float16", "torch"), ("float32", "tensorrt")])
def test_refusals(encoder, words):
    with pytest.raises(SslAudioError, match="bfloat16"):
        for_embedding(encoder, *words)


@needs_openvino
def test_openvino_telemetry_is_off(fast_encoder):
    fast_encoder("openvino")
    assert "openvino" in sys.modules
    assert not any(name.startswith("openvino_telemetry.") for name in sys.modules)
