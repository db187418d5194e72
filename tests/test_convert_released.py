"""The published weights, converted, give the published embeddings."""

import convert_released
import numpy as np
import pytest
import torch

import ssl_audio


def convert(checkpoint, folder):
    return convert_released.main([str(checkpoint), str(folder)])


@pytest.fixture
def reference(shared):
    return np.load(shared / "reference" / "released-format-contrastive.npz")


def check(folder, reference):
    encoder = ssl_audio.load_encoder(folder)
    with torch.inference_mode():
        found = encoder(torch.from_numpy(reference["waveform"]))
    np.testing.assert_allclose(found.numpy(), reference["embedding"], atol=1e-5)


def test_converted_encoder_reproduces_the_embeddings(shared, reference, tmp_path, capsys):
    published = shared / "reference" / "released-format-contrastive.pt"
    assert convert(published, tmp_path / "out") == 0
    assert "load_encoder" in capsys.readouterr().out
    check(tmp_path / "out", reference)


def test_teacher_student_style_takes_the_student(shared, reference, tmp_path):
    path = shared / "reference" / "released-format-contrastive.pt"
    saved = torch.load(path, weights_only=True)["model"]
    student = {f"student.{name}": tensor for name, tensor in saved.items()}
    teacher = {
        name.replace("module.", "teacher.", 1): torch.zeros_like(t) for name, t in saved.items()
    }
    torch.save({"model": teacher | student}, tmp_path / "byol.pt")
    assert convert(tmp_path / "byol.pt", tmp_path / "out") == 0
    check(tmp_path / "out", reference)


@pytest.mark.parametrize("content", ["missing", "text", "other", "foreign"])
def test_other_files_are_refused_in_one_line(content, tmp_path, capsys):
    path = tmp_path / "x.pt"
    if content == "text":
        path.write_text("no checkpoint")
    elif content == "other":
        torch.save({"weights": {}}, path)
    elif content == "foreign":
        torch.save({"model": {"module.backbone.embedding.conv1.weight": torch.ones(2)}}, path)
    assert convert(path, tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
