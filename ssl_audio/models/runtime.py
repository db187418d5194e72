"""What an encoder's network runs in when it only embeds: torch, or OpenVINO on a processor."""

from __future__ import annotations

import sys
import threading
import warnings
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from ssl_audio.io.console import warn
from ssl_audio.io.errors import SslAudioError, first_line
from ssl_audio.io.parallel import available_processors
from ssl_audio.models.encoder import SMALLEST_SIDE, Encoder

RUNTIMES = ("auto", "torch", "openvino")
PRECISIONS = ("float32", "bfloat16")
INSTALL = 'pip install "ssl_audio[openvino]"'
AGREE = 0.05  # of the largest value: bfloat16 keeps 2 to 3 digits
_TELEMETRY = "openvino_telemetry"


def for_embedding(
    encoder: Encoder, precision: str = "float32", runtime: str = "auto", workers: int | None = None
) -> Encoder:
    """A copy of an encoder for `embed`, `embed_file` and `embed_blocks` alone, as fast as it gets.

    Its float32 embeddings equal the encoder's to rounding; its bfloat16 ones to 2 or 3 digits.

    Args:
        encoder: left as it is.
        precision: "float32" or "bfloat16", of the network; OpenVINO takes bfloat16 for leave, and
            computes in float32 where the processor is no faster with it.
        runtime: "torch", which takes a GPU if there is one; "openvino", for processors; "auto" is
            OpenVINO where it is installed, can run the network, and there is no GPU.
        workers: threads that will embed at a time; None is the number of processors.

    Raises:
        SslAudioError: OpenVINO is wanted and is not installed, or cannot run the network; another
            precision or runtime.
    """
    if precision not in PRECISIONS or runtime not in RUNTIMES:
        raise SslAudioError(
            f"precision={precision}, runtime={runtime}: one of {', '.join(PRECISIONS)}, "
            f"and one of {', '.join(RUNTIMES)}"
        )
    gpu = torch.cuda.is_available()
    if runtime == "openvino" or (runtime == "auto" and not gpu and _installed()):
        try:
            return encoder.with_network(OpenVinoNetwork(encoder, precision, workers))
        except SslAudioError as error:
            if runtime == "openvino":
                raise
            warn(f"the network runs in torch: {error}")
    fast = encoder.folded()
    if precision == "bfloat16":
        fast = fast.with_network(_Half(fast.backbone))
    return fast.cuda() if gpu else fast


def runtime_of(encoder: Encoder) -> str:
    """What an encoder `for_embedding` runs in."""
    return "openvino" if isinstance(encoder.backbone, OpenVinoNetwork) else "torch"


def _installed() -> bool:
    return find_spec("openvino") is not None


class _Half(nn.Module):
    """A network of torch's in bfloat16, where that is faster layer by layer."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16):
            return self.network(x)


class OpenVinoNetwork(nn.Module):
    """The network for log-mels of one segment's length, any number at a time.

    On two cores with bfloat16 products it takes four sevenths of torch's time, in float32 three
    fifths: convolutions, activations and sums are one operation, and nothing is reordered between
    them. Threads may call it at once: each has a request of its own.
    """

    def __init__(self, encoder: Encoder, precision: str, workers: int | None) -> None:
        super().__init__()
        openvino = _openvino()
        length = round(encoder.segment * encoder.sample_rate)
        frames = encoder.frontend.frames(max(length, SMALLEST_SIDE * encoder.frontend.hop))
        self._size = (1, encoder.frontend.n_mels, frames)
        threads = workers or available_processors()
        settings = {
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
            # decoders share the processors with it
            "ENABLE_CPU_PINNING": False,
        }
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")  # of shapes that are constant here
                # traced here, since OpenVINO would run the network twice more to check it
                network, example = encoder.folded().backbone, torch.zeros(2, *self._size)
                traced = torch.jit.trace(network, example, check_trace=False)
                model = openvino.convert_model(
                    traced, example_input=example, input=[-1, *self._size]
                )
            self._compiled = openvino.Core().compile_model(model, "CPU", settings)
            self._requests = threading.local()
            self._compare(network)
        except Exception as error:  # of many types, all but one of them OpenVINO's
            raise SslAudioError(
                f"OpenVINO cannot run {encoder.backbone_name} ({first_line(error, 160)}): "
                "use runtime=torch"
            ) from error

    @torch.inference_mode()
    def _compare(self, network: nn.Module) -> None:
        """Refuse what is not the network: OpenVINO's activations make numbers of what is none."""
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(3, *self._size, generator=generator)  # not as many as it was traced with
        expected, found = network(x), self(x)
        if not (found - expected).abs().max() <= AGREE * expected.abs().max():
            raise ValueError("it gives other embeddings than torch, or torch's are not finite")

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1, mels, frames) to (batch, embedding_size).

        Raises:
            ValueError: log-mels of another length.
        """
        if x.shape[1:] != self._size:
            raise ValueError(f"log-mels are (batch, {self._size}), not {tuple(x.shape)}")
        mine = self._requests
        if not hasattr(mine, "request"):
            mine.request = self._compiled.create_infer_request()
        found = mine.request.infer(
            {0: x.contiguous().numpy()}, share_inputs=True, share_outputs=True
        )
        return torch.from_numpy(found[0].copy())  # the next call overwrites it


def _openvino() -> Any:
    """Import OpenVINO, without the package by which it reports its use over the network."""
    # as if it were not installed, which OpenVINO is prepared for
    sys.modules.setdefault(_TELEMETRY, None)  # type: ignore[arg-type]
    try:
        import openvino
    except Exception as error:  # a broken one raises what it likes
        what = first_line(error, 160)
        raise SslAudioError(f"OpenVINO cannot be imported ({what}): {INSTALL}") from error
    return openvino
