"""Encoders as repositories of the Hugging Face Hub."""

import copy
import json
import pickle

import pytest
import torch
from fake_hub import TOKEN, fake_hub
from huggingface_hub import ModelCard
from huggingface_hub.errors import HfHubHTTPError

import ssl_audio
from ssl_audio.io.errors import CheckpointError
from ssl_audio.models.encoder import Encoder, build_encoder

FILES = ["README.md", "config.json", "model.safetensors", "preprocessor_config.json"]


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return build_encoder(embedding_size=32, segment=1.0).eval()


def test_pretrained_folder_round_trip(encoder, tmp_path):
    encoder.save_pretrained(tmp_path / "enc")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["enc"]
    assert sorted(p.name for p in (tmp_path / "enc").iterdir()) == FILES
    assert (tmp_path / "enc" / "README.md").read_text().startswith("---\nlibrary_name: ssl_audio")
    for loaded in (Encoder.from_pretrained(tmp_path / "enc"),
                   ssl_audio.load_encoder(tmp_path / "enc")):  # fmt: skip
        assert loaded.weights_hash == encoder.weights_hash and not loaded.training
        with torch.inference_mode():
            assert torch.equal(loaded(torch.ones(1, 16_000)), encoder(torch.ones(1, 16_000)))


def test_card_metadata_and_other_files_are_kept(encoder, tmp_path):
    encoder.save(tmp_path / "run", card="# of a run", metadata={"seed": 3})
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / ".gitattributes").write_text("mine")
    (tmp_path / "repo" / "README.md").write_text("old")
    Encoder.from_pretrained(tmp_path / "run").save_pretrained(tmp_path / "repo")
    assert (tmp_path / "repo" / ".gitattributes").read_text() == "mine"
    card = (tmp_path / "repo" / "README.md").read_text()
    assert card.startswith("---\n") and card.endswith("# of a run")
    config = json.loads((tmp_path / "repo" / "config.json").read_text())
    assert config["metadata"] == {"seed": 3}
    again = Encoder.from_pretrained(tmp_path / "repo")
    again.save_pretrained(tmp_path / "repo")
    assert (tmp_path / "repo" / "README.md").read_text() == card


def test_an_encoder_goes_to_the_hub_and_comes_back(encoder, tmp_path):
    card = "---\nlibrary_name: ssl_audio\nmodel-index:\n- name: mine\n  results:\n" + (
        "  - task: {type: audio-classification}\n    dataset: {type: scores, name: scores}\n"
        "    metrics: [{type: roc_auc, value: 0.87}]\n---\n# mine\n"
    )
    trained = Encoder.from_pretrained(encoder.save(tmp_path / "run", card=card))
    with fake_hub() as hub:
        trained.push_to_hub("owner/name", token=TOKEN)
        assert sorted(hub.repositories["owner/name"]) == FILES
        [blob] = hub.blobs.values()
        assert blob == (tmp_path / "run" / "model.safetensors").read_bytes()
        pushed = ModelCard(hub.repositories["owner/name"]["README.md"].decode())
        [metric] = pushed.data.eval_results
        assert (metric.metric_type, metric.metric_value) == ("roc_auc", 0.87)
        loaded = Encoder.from_pretrained("owner/name", cache_dir=tmp_path / "cache")
        assert loaded.weights_hash == encoder.weights_hash
        assert not any("preprocessor" in path for _, path in hub.requests if "resolve" in path)
        commit = hub.commit("owner/name")
        trained.push_to_hub("owner/name", token=TOKEN)  # again: nothing is new
        for unknown in ({"revision": "v1", "local_files_only": True}, {"cache_dir": tmp_path}):
            with pytest.raises(CheckpointError, match="Hugging Face Hub"):
                Encoder.from_pretrained("owner/other", **unknown)
        with pytest.raises(HfHubHTTPError):
            trained.push_to_hub("owner/name", token="wrong")
    offline = Encoder.from_pretrained(
        "owner/name", cache_dir=tmp_path / "cache", local_files_only=True, revision=commit
    )
    assert offline.weights_hash == encoder.weights_hash


def test_repository_that_is_not_there_is_one_line(tmp_path):
    for name in ("owner/name", "not a/repository!"):
        with pytest.raises(CheckpointError, match="Hugging Face Hub") as caught:
            Encoder.from_pretrained(name, cache_dir=tmp_path, local_files_only=True)
        assert "\n" not in str(caught.value)
    for name in ("/no/such/folder", "folder", "./folder"):
        with pytest.raises(CheckpointError):
            Encoder.from_pretrained(name, cache_dir=tmp_path, local_files_only=True)


def test_damaged_folders_are_refused(encoder, tmp_path):
    folder = tmp_path / "enc"
    for name, damage in (("config.json", b"{"), ("config.json", b"[]"), ("model.safetensors", b"")):
        encoder.save_pretrained(folder)
        (folder / name).write_bytes(damage)
        with pytest.raises(CheckpointError, match="damaged") as caught:
            Encoder.from_pretrained(folder)
        assert "\n" not in str(caught.value)


def test_the_encoder_is_copied_and_pickled_as_before(encoder):
    for other in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        with torch.inference_mode():
            found = other(torch.ones(1, 16_000))
            torch.testing.assert_close(found, encoder(torch.ones(1, 16_000)), rtol=1e-4, atol=1e-5)
    assert copy.deepcopy(encoder).weights_hash == encoder.weights_hash
