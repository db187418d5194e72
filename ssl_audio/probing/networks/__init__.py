"""Networks of other packages, a file each, by the names that `probe` and `teacher=` share."""

from ssl_audio.settings.registry import Registry

NETWORKS = Registry({
    "hear": "ssl_audio.probing.networks.hear.HearModule",
    "hf": "ssl_audio.probing.networks.hugging_face.HuggingFaceModel",
    "onnx": "ssl_audio.probing.networks.onnx.OnnxFile",
    "timm": "ssl_audio.probing.networks.timm_model.TimmModel",
})  # fmt: skip
