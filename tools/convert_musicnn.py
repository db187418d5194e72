"""Convert the weights of the package musicnn (Pons & Serra 2019) into a model folder.

The package needs TensorFlow, so the tool runs in an environment of its own, made by

    uv venv --python 3.11 /opt/tf && uv pip install --python /opt/tf "tensorflow-cpu==2.15.*" "numpy<2" librosa safetensors soundfile soxr hydra-core rich
    uv pip install --python /opt/tf --no-deps musicnn

and is run, from the root of this project, as

    PYTHONPATH=. /opt/tf/bin/python tools/convert_musicnn.py converted/musicnn
"""  # noqa: E501

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ssl_audio.audio import decode
from ssl_audio.io.atomic import atomic_file
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.model_folder import ModelFolder, write_model_folder
from ssl_audio.settings.command import Command
from ssl_audio.settings.fields import Group, setting

KIND = "musicnn"
EPSILON = 1e-3  # of TensorFlow's batch norm
REFERENCE_SAMPLES = 160_000  # 10 s
# names in the graph, in the order of its construction, and here
CONVOLUTIONS = (*(f"timbral.{k}" for k in range(2)), *(f"temporal.{k}" for k in range(3)),
                *(f"middle.{k}" for k in range(3)))  # fmt: skip
NORMS = ("input_norm", *(f"{name}.norm" for name in CONVOLUTIONS), "pool_norm", "dense_norm")
DENSE = ("dense", "tagger")
DATA = {"MSD_musicnn": "the Million Song Dataset", "MTT_musicnn": "MagnaTagATune"}
CARD = """---
license: isc
pipeline_tag: audio-classification
tags:
- audio
- music
---
# {model}: supervised music tagging, for comparison and as a teacher

The weights `{model}` of the package musicnn {version}, converted by `tools/convert_musicnn.py` and
otherwise as published. Supervised training on {data} and 50 of its tags, by the authors of

> Jordi Pons and Xavier Serra, "musicnn: pre-trained convolutional neural networks for music audio
> tagging", Late-breaking/demo session of ISMIR 2019.

```bibtex
@inproceedings{{pons2019musicnn,
  title={{musicnn: pre-trained convolutional neural networks for music audio tagging}},
  author={{Pons, Jordi and Serra, Xavier}},
  booktitle={{Late-breaking/demo session in 20th International Society for Music Information
    Retrieval Conference (LBD-ISMIR2019)}},
  year={{2019}},
}}
```

Batch norms of evaluation mode are stored as scale and shift. The log-mel is computed in float32;
the package rounds its power to float16.

## Licence

{licence}
"""


class ConvertSettings(Group):
    output: Path = setting(help="folder of the converted model")
    model: Literal["MSD_musicnn", "MTT_musicnn"] = setting(
        "MSD_musicnn", help="trained on the Million Song Dataset or on MagnaTagATune"
    )
    recordings: tuple[Path, ...] = setting(
        (), help="audio files whose outputs of the original graph are kept in `reference`"
    )
    reference: Path = setting(Path("reference.npz"), help="file of these outputs")


COMMAND = Command(
    name="convert_musicnn", script="python tools/convert_musicnn.py",
    summary="Convert the weights of the package musicnn into a model folder.",
    usage="OUTPUT [KEY=VALUE ...]",
    examples=("converted/musicnn", "converted/mtt model=MTT_musicnn",
              "converted/musicnn recordings=[a.ogg,b.ogg] reference=reference.npz"),
    settings=ConvertSettings, positional=("output",),
)  # fmt: skip


def convert(model: str) -> ModelFolder:
    """A model of the installed package as a folder's contents.

    Raises:
        SslAudioError: TensorFlow or musicnn is not installed.
    """
    import importlib.metadata

    tensorflow, folder = _package()
    from musicnn import configuration

    reader = tensorflow.compat.v1.train.NewCheckpointReader(f"{folder / model}/")
    tags = configuration.MSD_LABELS if model.startswith("MSD") else configuration.MTT_LABELS
    about = importlib.metadata.distribution("musicnn")
    licence = about.read_text("LICENSE.md") or ""
    card = CARD.format(
        model=model, version=about.version, data=DATA[model], licence=licence.strip()
    )
    config = {"model": model, "tags": list(tags), "license": "ISC"}
    return ModelFolder(config, dict(_arrays(reader.get_tensor)), card)


def _package() -> tuple[Any, Path]:
    """TensorFlow and the folder of musicnn."""
    try:
        import musicnn
        import tensorflow
    except ImportError as error:
        raise SslAudioError(f"{error}: make the environment that --help names") from error
    return tensorflow, Path(musicnn.__file__).parent


def _arrays(tensor: Any) -> Iterator[tuple[str, np.ndarray]]:
    """The weights by their names in `ssl_audio.models.musicnn`."""
    for place, name in enumerate(CONVOLUTIONS):
        source = "conv2d" + (f"_{place}" if place else "")
        kernel = tensor(f"{source}/kernel")  # (time, bands, 1, channels)
        one_band = name.startswith("middle")
        kernel = kernel[:, :, 0].transpose(2, 1, 0) if one_band else kernel.transpose(3, 2, 0, 1)
        yield f"{name}.conv.weight", kernel
        yield f"{name}.conv.bias", tensor(f"{source}/bias")
    for place, name in enumerate(NORMS):
        source = "batch_normalization" + (f"_{place}" if place else "")
        beta, gamma, mean, variance = (
            tensor(f"{source}/{part}").astype(np.float64)
            for part in ("beta", "gamma", "moving_mean", "moving_variance")
        )
        scale = gamma / np.sqrt(variance + EPSILON)
        yield f"{name}.weight", scale.astype(np.float32)
        yield f"{name}.bias", (beta - mean * scale).astype(np.float32)
    for place, name in enumerate(DENSE):
        source = "dense" + (f"_{place}" if place else "")
        yield f"{name}.weight", tensor(f"{source}/kernel").T
        yield f"{name}.bias", tensor(f"{source}/bias")


def original_outputs(model: str, recordings: tuple[Path, ...]) -> dict[str, np.ndarray]:
    """What the package's own graph gives for the first 10 s of recordings, by file name and output.

    The log-mel is librosa's in float32, and in float16 as the package has it for `package/...`.
    """
    tensorflow, folder = _package()
    from musicnn import configuration, models

    v1 = tensorflow.compat.v1
    v1.disable_eager_execution()
    x = v1.placeholder(tensorflow.float32, [None, None, configuration.N_MELS])
    labels = configuration.MSD_LABELS if model.startswith("MSD") else configuration.MTT_LABELS
    patches = tensorflow.ensure_shape(x, [None, 187, configuration.N_MELS])
    logits, *_, mean_pool, max_pool, penultimate = models.define_model(
        patches, False, model, len(labels)
    )
    outputs = {
        "taggram": tensorflow.sigmoid(logits), "penultimate": penultimate,
        "mean_pool": mean_pool, "max_pool": max_pool,
    }  # fmt: skip
    found = {}
    with v1.Session() as session:
        v1.train.Saver().restore(session, f"{folder / model}/")
        for path in recordings:
            power = _mel_power(decode.read(path)[:REFERENCE_SAMPLES])
            for prefix, values in (("", power), ("package/", power.astype(np.float16))):
                mel = np.log10(10000 * values + 1)
                whole = mel[: len(mel) // 187 * 187].reshape(-1, 187, mel.shape[1])
                for name, value in session.run(outputs, {x: whole}).items():
                    found[f"{prefix}{path.stem}/{name}"] = value
    return found


def _mel_power(waveform: np.ndarray) -> np.ndarray:
    """(frames, 96), with the padding that librosa had by default until version 0.9."""
    import librosa

    options = {"sr": 16_000, "n_fft": 512, "hop_length": 256, "n_mels": 96}
    return librosa.feature.melspectrogram(y=waveform, **options, pad_mode="reflect").T


def run(settings: ConvertSettings) -> None:
    """Convert one model."""
    folder = write_model_folder(settings.output, KIND, convert(settings.model))
    print(f"wrote {folder}")
    if settings.recordings:
        outputs = original_outputs(settings.model, settings.recordings)
        with atomic_file(settings.reference) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **outputs)
        print(f"wrote {settings.reference}: outputs of the original graph")


main = partial(COMMAND.main, run)

if __name__ == "__main__":
    sys.exit(main())
