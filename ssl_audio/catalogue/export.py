"""The encoder as one file that runs without this package: ONNX, or torch.export's .pt2.

The file maps waveforms (batch, samples), float32 at 16 kHz, to embeddings (batch, embedding_size),
for any batch and any length; the front end is in it. Layers that cannot be exported with free sizes
are replaced by equivalent ones. The file is then compared with the encoder, and kept if they agree.
"""

import copy
import json
import math
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_audio.audio.logmel import LogMel
from ssl_audio.io.errors import SslAudioError, first_line, named
from ssl_audio.io.version import __version__
from ssl_audio.models.backbone import fold_batch_norms
from ssl_audio.models.embedder import MIN_FRAMES
from ssl_audio.models.encoder import Encoder
from ssl_audio.models.timm_network import PatchedNetwork

TOLERANCE = 1e-4  # of the embeddings' largest value: it may be 0.05, or 20
METADATA = "metadata.json"  # the extra file of a .pt2
MAX_SECONDS = 30.0  # the longest of the inputs that a file is compared with
CUBIC = -0.5  # parameter of the cubic kernel that resamples positions (Catmull-Rom)

Run = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Exported:
    """A file that was written."""

    path: Path
    size: int  # bytes
    difference: float  # max absolute difference from the encoder's embeddings
    largest: float  # max absolute value of those


class _Average(nn.Module):
    """AvgPool2d(2) as a convolution: the exporter specialises AvgPool2d to odd or even sizes."""

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        return F.conv2d(x, x.new_full((channels, 1, 2, 2), 0.25), stride=2, groups=channels)


class _AttentionPool(nn.Module):
    """timm's AttentionPool2d for inputs of any length, for its single output query."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head: Any = head

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, rows, columns) to (batch, outputs)."""
        head = self.head
        mean_position, positions = self._positions(x.shape[3])
        patches = x.flatten(2).transpose(1, 2)
        mean = patches.mean(1) + mean_position
        tokens = torch.cat([mean[:, None], patches + positions], dim=1)
        heads = (head.num_heads, head.head_dim)
        query = head.q(mean).unflatten(-1, heads)[:, None] * head.scale
        keys, values = head.k(tokens).unflatten(-1, heads), head.v(tokens).unflatten(-1, heads)
        # products and sums: a matrix product is specialised to inputs longer than one
        weights = (query * keys).sum(-1, keepdim=True).softmax(1)
        return head.proj((weights * values).sum(1).flatten(1))

    def _positions(self, columns: int) -> tuple[Tensor, Tensor]:
        """Positions of the mean token (channels,) and of the patches (rows * columns, channels)."""
        rows, known = self.head.feat_size
        grid = self.head.pos_embed[1:].unflatten(0, (rows, 1, known))
        weights = _resampling(known, columns)[None, :, :, None]
        return self.head.pos_embed[0], (weights * grid).sum(2).flatten(0, 1)


def _resampling(known: int, size: int) -> Tensor:
    """(size, known) weights of F.interpolate(mode="bicubic", antialias=True) along one axis."""
    step = known / torch.ones(size).sum()  # a tensor, so that the size stays free
    centres = (torch.arange(size) + 0.5) * step
    distance = (torch.arange(known) + 0.5 - centres[:, None]).abs() / step.clamp_min(1)
    near = ((CUBIC + 2) * distance - (CUBIC + 3)) * distance * distance + 1
    far = CUBIC * (((distance - 5) * distance + 8) * distance - 4)
    kernel = torch.where(distance < 1, near, torch.where(distance < 2, far, 0.0))
    return kernel / kernel.sum(1, keepdim=True)


class Exportable(nn.Module):
    """A copy of an encoder in operations that can be exported for any batch and length."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.frontend: LogMel = encoder.frontend
        self.backbone = fold_batch_norms(encoder.backbone).to(
            memory_format=torch.contiguous_format  # type: ignore[call-overload]
        )
        _replace_layers(self.backbone)

    def forward(self, waveform: Tensor) -> Tensor:
        """(batch, samples) float32 to (batch, embedding_size)."""
        shortest = MIN_FRAMES * self.frontend.hop
        missing = torch.sym_max(0, shortest - waveform.shape[1])
        return self.backbone(self._log_mel(F.pad(waveform, (0, missing))))

    def _log_mel(self, waveform: Tensor) -> Tensor:
        """Equal to LogMel, without the blocks, which only save time."""
        logmel, half = self.frontend, self.frontend.n_fft // 2
        padded = F.pad(logmel.levelled(waveform)[:, None], (half, half), mode="reflect")[:, 0]
        frames = padded.unfold(-1, logmel.n_fft, logmel.hop) * logmel.window
        spectrum = torch.fft.rfft(frames)
        power = spectrum.real.square() + spectrum.imag.square()
        return logmel._normalised(power @ logmel.bands.T)


def _replace_layers(network: nn.Module) -> None:
    from timm.layers.attention_pool2d import AttentionPool2d

    for name, layer in network.named_children():
        if isinstance(layer, nn.AvgPool2d) and _is_plain(layer):
            setattr(network, name, _Average())
        elif isinstance(layer, AttentionPool2d) and layer.q is not None and layer.cls_token is None:
            setattr(network, name, _AttentionPool(layer))
        else:
            _replace_layers(layer)


def _is_plain(layer: nn.AvgPool2d) -> bool:
    sizes = (layer.kernel_size, layer.stride, layer.padding)
    pairs = [(size, size) if isinstance(size, int) else tuple(size) for size in sizes]
    return pairs == [(2, 2), (2, 2), (0, 0)] and not layer.ceil_mode


def _program(encoder: Encoder) -> torch.export.ExportedProgram:
    """Waveforms (batch, samples) to embeddings (batch, embedding_size), both sizes free."""
    from torch.fx.experimental import _config

    size = torch.export.Dim
    sizes = {"waveform": {0: size("batch", min=1), 1: size("samples", min=1)}}
    example = torch.zeros(3, round(3.1 * encoder.sample_rate))
    try:
        # else the graph is specialised to sizes above 1, and short inputs have one column
        settings: Any = _config  # its `patch` is added at run time
        with torch.no_grad(), settings.patch(backed_size_oblivious=True):
            return torch.export.export(
                Exportable(encoder).eval(), (example,), dynamic_shapes=sizes,
                prefer_deferred_runtime_asserts_over_guards=True,
            )  # fmt: skip
    except Exception as error:  # the exporter raises many types
        raise _not_exported(encoder, error) from error


def _not_exported(encoder: Encoder, error: Exception) -> SslAudioError:
    reason = first_line(error, 160)
    return SslAudioError(
        f"{encoder.backbone_name} cannot be exported for every length ({reason}): use the "
        "checkpoint folder, or train with encoder.backbone=resnet"
    )


def metadata(encoder: Encoder) -> dict[str, str]:
    """The metadata of a file: hash of the weights, Hz, seconds, dimensions, version."""
    return {
        "model": encoder.weights_hash, "sample_rate": str(encoder.sample_rate),
        "segment": str(encoder.segment), "embedding_size": str(encoder.embedding_size),
        "ssl_audio": __version__,
    }  # fmt: skip


def export(encoder: Encoder, output: str | Path) -> Exported:
    """Write the encoder as one file, and compare the file with the encoder.

    Args:
        encoder: on the CPU; it is not changed.
        output: `.onnx`, with `metadata` as metadata_props; or `.pt2`, with it as the extra file
            metadata.json. An older file is replaced once the new one has passed the comparison.

    Raises:
        SslAudioError: another suffix, a missing library, a file that cannot be written, a backbone
            that cannot be exported, or embeddings that differ from the encoder's by more than
            TOLERANCE times their largest value.
    """
    path = Path(output)
    check_output(path)
    network = encoder.backbone
    if isinstance(network, PatchedNetwork) and network.frames is not None:
        raise _not_exported(encoder, ValueError("it takes one length alone"))
    write, open_file = FORMATS[path.suffix]
    encoder = copy.deepcopy(encoder).eval()
    with named(f"output={path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            temporary = Path(folder) / path.name
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the exporters' internals
                write(encoder, temporary)
                difference, largest = _compare(encoder, open_file(temporary))
            if not difference <= TOLERANCE * largest < math.inf:
                raise SslAudioError(
                    f"{path} was not written: its embeddings would differ from PyTorch's by "
                    f"{difference:.1e}, more than {TOLERANCE * largest:.1e}; use the checkpoint "
                    "folder"
                )
            os.replace(temporary, path)
    return Exported(path, path.stat().st_size, difference, largest)


def check_output(path: Path) -> None:
    """Refuse at once an output that `export` cannot write.

    Raises:
        SslAudioError: another suffix, a folder, or a library that is missing.
    """
    if path.suffix not in FORMATS:
        raise SslAudioError(f"output={path}: the suffix is one of {', '.join(FORMATS)}")
    if path.is_dir():
        raise SslAudioError(f"output={path}: a folder is there; name a file")
    needed = ("onnx", "onnxruntime", "onnxscript") if path.suffix == ".onnx" else ()
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise SslAudioError(f'no {" or ".join(missing)}: pip install "ssl_audio[onnx]"')


def _write_onnx(encoder: Encoder, path: Path) -> None:
    program = _program(encoder)
    try:
        onnx = torch.onnx.export(
            program, dynamo=True, verbose=False, input_names=["waveform"],
            output_names=["embedding"],
            dynamic_shapes={"waveform": {0: "batch", 1: "samples"}},  # their names in the file
        )  # fmt: skip
    except torch.onnx.OnnxExporterError as error:
        raise _not_exported(encoder, error) from error
    if onnx is None:
        raise SslAudioError(f"torch.onnx returned no program for {encoder.backbone_name}")
    onnx.model.metadata_props.update(metadata(encoder))
    onnx.save(str(path), external_data=False)


def _open_onnx(path: Path) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    return lambda waveform: torch.from_numpy(session.run(None, {"waveform": waveform.numpy()})[0])


def _write_pt2(encoder: Encoder, path: Path) -> None:
    extra: dict[str, Any] = {METADATA: json.dumps(metadata(encoder))}
    torch.export.save(_program(encoder), path, extra_files=extra)


FORMATS: dict[str, tuple[Callable[[Encoder, Path], None], Callable[[Path], Run]]] = {
    ".onnx": (_write_onnx, _open_onnx),
    ".pt2": (_write_pt2, lambda path: torch.export.load(path).module()),
}


@torch.inference_mode()
def _compare(encoder: Encoder, run: Run) -> tuple[float, float]:
    """Max difference from the encoder over several batches and lengths, and max value."""
    difference, largest = 0.0, 0.0
    for waveform in _waveforms(encoder):
        expected = encoder(waveform)
        try:
            found = run(waveform.clone())
        except Exception as error:  # a runtime raises many types
            raise _not_exported(encoder, error) from error
        if found.shape != expected.shape or not found.isfinite().all():
            return math.inf, math.inf
        difference = max(difference, float((found - expected).abs().max()))
        largest = max(largest, float(expected.abs().max()))
    return difference, largest


def _waveforms(encoder: Encoder) -> Iterator[Tensor]:
    """(batch, samples) each: decaying tones with noise; the last of a batch is silent."""
    generator = torch.Generator().manual_seed(0)
    segment, rate = encoder.segment, encoder.sample_rate
    sizes = [(1, segment), (5, segment), (3, segment / 3), (2, 1.7 * segment), (1, 1.0),
             (2, 0.01), (2, MAX_SECONDS)]  # fmt: skip
    for batch, seconds in sizes:
        times = torch.arange(max(1, round(seconds * rate))) / rate
        pitch = 110 * 2 ** (4 * torch.rand(batch, 1, generator=generator))
        tone = torch.sin(2 * torch.pi * pitch * times) * torch.exp(-2 * times)
        noise = torch.randn(batch, len(times), generator=generator)
        waveform = 0.3 * tone + 10 ** torch.linspace(-1, -4, batch)[:, None] * noise
        if batch > 1:
            waveform[-1] = 0
        yield waveform
