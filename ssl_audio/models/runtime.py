"""Inference runtimes of an embedder's network: torch, or OpenVINO on the CPU."""

import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ssl_audio.io.console import say, warn
from ssl_audio.io.errors import SslAudioError, first_line
from ssl_audio.io.parallel import available_processors
from ssl_audio.models.embedder import MIN_FRAMES, Embedder, padded
from ssl_audio.models.encoder import Encoder
from ssl_audio.models.quantised import quantised

RUNTIMES = ("auto", "torch", "openvino")
# and what of the network OpenVINO computes otherwise
PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}
INSTALL = 'pip install "ssl_audio[openvino]"'
TOLERANCE = 0.05  # of the largest value: bfloat16 keeps 2 to 3 digits
MIN_COSINE = 0.99  # mean of int8 embeddings to those of float32
CALIBRATION_BATCH = 8  # segments
_TELEMETRY = "openvino_telemetry"


def for_embedding(
    encoder: Encoder, precision: str = "float32", runtime: str = "auto",
    workers: int | None = None, music: np.ndarray | None = None,
) -> Embedder:  # fmt: skip
    """The fastest embedder of an encoder.

    Its float32 embeddings equal the encoder's up to rounding; its bfloat16 ones to 2 or 3 digits.
    Of int8, the mean cosine to float32 is printed, and is .99 or more.

    Args:
        encoder: left as it is.
        precision: "float32", "bfloat16" or "int8", of the network. For OpenVINO, bfloat16 is a
            hint: it computes in float32 where that is as fast. int8 needs runtime="openvino".
        runtime: "torch", on a GPU if there is one; "openvino", on the processor; "auto" is OpenVINO
            where it is installed, can run the network, and there is no GPU.
        workers: threads that will embed at the same time; None is the number of processors.
        music: (n, samples) segments for int8, which is calibrated with the first half of them and
            compared with float32 on the others.

    Raises:
        SslAudioError: runtime="openvino", which is not installed or cannot run the network; an
            unknown precision or runtime; int8 without NNCF, or far from float32.
    """
    if precision not in PRECISIONS or runtime not in RUNTIMES:
        raise SslAudioError(
            f"precision={precision}, runtime={runtime}: one of {', '.join(PRECISIONS)}, "
            f"and one of {', '.join(RUNTIMES)}"
        )
    if precision == "int8" and runtime != "openvino":
        raise SslAudioError("precision=int8 needs runtime=openvino")
    folded = encoder.folded()
    gpu = torch.cuda.is_available()
    if runtime == "openvino" or (runtime == "auto" and not gpu and find_spec("openvino")):
        try:
            network = OpenVinoNetwork(folded, encoder.backbone_name, precision, workers, music)
            return Embedder(folded.frontend, network, folded.segment)
        except SslAudioError as error:
            if runtime == "openvino":
                raise
            warn(f"the network runs in torch: {error}")
    device = "cuda" if gpu else "cpu"
    plain = folded.network.to(device)  # type: ignore[attr-defined]
    chosen = _Autocast(plain) if precision == "bfloat16" else plain
    return Embedder(folded.frontend.to(device), chosen, folded.segment)


def runtime_of(embedder: Embedder) -> str:
    """The runtime of an embedder's network: "openvino" or "torch"."""
    return "openvino" if isinstance(embedder.network, OpenVinoNetwork) else "torch"


class _Autocast(nn.Module):
    """A torch network under bfloat16 autocast."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16):
            return self.network(x)


class OpenVinoNetwork:
    """A network in OpenVINO, for log-mels of one segment's length and batches of any size.

    Threads may call it at the same time: each has an inference request of its own.

    Raises:
        SslAudioError: OpenVINO is not installed, cannot run the network, or gives other embeddings.
    """

    def __init__(
        self, folded: Embedder, name: str, precision: str, workers: int | None,
        music: np.ndarray | None,
    ) -> None:  # fmt: skip
        length = round(folded.segment * folded.sample_rate)
        frames = folded.frontend.frames(max(length, MIN_FRAMES * folded.frontend.hop))
        self._size = (1, folded.frontend.n_mels, frames)
        threads = workers or available_processors()
        options = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,  # decoders share the processors with it
        }
        openvino = _openvino()
        self._requests = threading.local()
        try:
            model = self._converted(openvino, folded.network)
            if precision == "int8":
                calibration, check = _log_mels(folded, music)
                model = quantised(model, [batch.numpy() for batch in calibration])
            self._compiled = openvino.Core().compile_model(model, "CPU", options)
            if precision == "int8":
                self._check_cosine(folded.network, check)
            else:
                self._compare(folded.network)
        except SslAudioError:
            raise
        except Exception as error:  # of many types, all but one of them OpenVINO's
            raise SslAudioError(
                f"OpenVINO cannot run {name} ({first_line(error, 160)}): use runtime=torch"
            ) from error

    def _converted(self, openvino: Any, network: Any) -> Any:
        """The network as a model of OpenVINO."""
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of shapes that are constant here
            example = torch.zeros(2, *self._size)
            # traced here, since OpenVINO would run the network twice more to check the trace
            traced = torch.jit.trace(network, example, check_trace=False)
            return openvino.convert_model(traced, example_input=example, input=[-1, *self._size])

    @torch.inference_mode()
    def _compare(self, network: Callable[[Tensor], Tensor]) -> None:
        """Refuse other embeddings than torch's: OpenVINO's activations turn NaN into numbers."""
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(3, *self._size, generator=generator)  # another batch size than the trace's
        expected, found = network(x), self(x)
        if not (found - expected).abs().max() <= TOLERANCE * expected.abs().max():
            raise ValueError("it gives other embeddings than torch, or torch's are not finite")

    @torch.inference_mode()
    def _check_cosine(self, network: Callable[[Tensor], Tensor], batches: Sequence[Tensor]) -> None:
        """Print the cosine to torch's embeddings, and refuse a small one."""
        cosines = torch.cat(
            [nn.functional.cosine_similarity(network(batch), self(batch)) for batch in batches]
        )
        text = f"mean cosine to float32 {cosines.mean():.4f}, lowest {cosines.min():.4f}, "
        text += f"{len(cosines)} segments"
        if not cosines.mean() >= MIN_COSINE:
            raise SslAudioError(f"precision=int8: {text}; below {MIN_COSINE}: use bfloat16")
        say(f"int8: {text}")

    def __call__(self, x: Tensor) -> Tensor:
        """(batch, 1, mels, frames) to (batch, embedding_size).

        Raises:
            ValueError: log-mels of another size.
        """
        if x.shape[1:] != self._size:
            raise ValueError(f"log-mels are (batch, {self._size}), not {tuple(x.shape)}")
        local = self._requests
        if not hasattr(local, "request"):
            local.request = self._compiled.create_infer_request()
        inputs = {0: x.contiguous().numpy()}
        found = local.request.infer(inputs, share_inputs=True, share_outputs=True)
        return torch.from_numpy(found[0].copy())  # the next call overwrites it


@torch.inference_mode()
def _log_mels(folded: Embedder, music: np.ndarray | None) -> tuple[list[Tensor], list[Tensor]]:
    """Batches of log-mels of the first half of some segments, and of the others.

    Raises:
        SslAudioError: there are no segments.
    """
    if music is None or not len(music):
        raise SslAudioError("precision=int8 is calibrated with music: none is given")
    half = (len(music) + 1) // 2
    waveforms = padded(torch.from_numpy(music), MIN_FRAMES * folded.frontend.hop)
    first, others = (
        [folded.frontend(part) for part in each.split(CALIBRATION_BATCH)]
        for each in (waveforms[:half], waveforms[half:] if half < len(music) else waveforms)
    )
    return first, others


def _openvino() -> Any:
    """Import OpenVINO without its telemetry."""
    # as if the telemetry package were not installed, which OpenVINO supports
    sys.modules.setdefault(_TELEMETRY, None)  # type: ignore[arg-type]
    try:
        import openvino
    except Exception as error:  # a broken installation raises any type
        reason = first_line(error, 160)
        raise SslAudioError(f"OpenVINO cannot be imported ({reason}): {INSTALL}") from error
    return openvino
