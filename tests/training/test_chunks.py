"""A batch embedded in chunks trains as one that is embedded at once."""

import copy
import json
import resource
from pathlib import Path

import lightning
import pytest
import torch
from processes import start
from test_module import batches, fit
from torch import nn

from ssl_audio.io.lightning_run import pick_precision
from ssl_audio.models.encoder import build_encoder
from ssl_audio.objectives import BYOL, BarlowTwins, Clustering, Contrastive, VICReg
from ssl_audio.objectives.schedules import Constant
from ssl_audio.training.chunks import embed, number_of_chunks
from ssl_audio.training.module import PretrainModule

KINDS = [Contrastive, BYOL, Clustering, BarlowTwins, VICReg]
PAIRS = 6


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(16, 12), nn.GELU(), nn.Linear(12, 8))

    def logmel(self, waveforms):
        return waveforms


class Normed(Plain):
    """With batch norm and dropout."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Linear(16, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.3), nn.Linear(12, 8)
        )


class InChunks(nn.Module):
    """One graph, whose network sees rows (pair k, k + 3) of both views at a time."""

    def __init__(self, network, chunks=3):
        super().__init__()
        self.network, self.chunks = network, chunks

    def forward(self, x):
        x = x.unflatten(0, (2, PAIRS))
        out = [None] * PAIRS
        for k in range(self.chunks):
            embedded = self.network(torch.cat([x[0, k :: self.chunks], x[1, k :: self.chunks]]))
            for place, pair in enumerate(range(k, PAIRS, self.chunks)):
                out[pair] = embedded[[place, place + PAIRS // self.chunks]]
        return torch.stack(out, dim=1).flatten(0, 1)


def trained(kind, encoder, chunk_size=None, wrap=lambda network: network, steps=2):
    torch.manual_seed(0)
    encoder = encoder().double()
    objective = kind(embedding_size=8, projector_sizes=(7, 9)).double()
    module = PretrainModule(
        encoder, objective, optimizer=lambda groups: torch.optim.SGD(groups, lr=0.1),
        weight_decay=0.0, learning_rate_schedule=Constant(1.0), chunk_size=chunk_size,
    )  # fmt: skip
    for one in (module.encoder, module.teacher and module.teacher.encoder):
        if one is not None:
            one.backbone = wrap(one.backbone)
    torch.manual_seed(1)
    data = [{k: v.double() for k, v in batch.items()} for batch in batches(steps, PAIRS)]
    fit(module, data, precision="64-true")
    state = {k.replace("backbone.network", "backbone"): v for k, v in module.state_dict().items()}
    return state, torch.get_rng_state()


def assert_equal_runs(ours, expected):
    assert ours[0].keys() == expected[0].keys()
    for name, value in expected[0].items():
        torch.testing.assert_close(ours[0][name], value, rtol=1e-9, atol=1e-11, msg=name)
    assert torch.equal(ours[1], expected[1])  # the random numbers after the run


@pytest.mark.parametrize("kind", KINDS)
def test_without_batch_norm_a_step_is_that_of_the_whole_batch(kind):
    assert_equal_runs(trained(kind, Plain, chunk_size=2), trained(kind, Plain))


@pytest.mark.parametrize("kind", KINDS)
def test_with_batch_norm_and_dropout_a_step_is_that_of_one_graph_of_chunks(kind):
    ours = trained(kind, Normed, chunk_size=2)
    assert_equal_runs(ours, trained(kind, Normed, wrap=InChunks))
    assert ours[0]["encoder.backbone.1.num_batches_tracked"] == 2 * 3  # not of the second pass
    whole = trained(kind, Normed)[0]["encoder.backbone.1.running_var"]
    assert not torch.allclose(ours[0]["encoder.backbone.1.running_var"], whole)


def test_chunks_of_a_process_are_part_of_those_of_one_process():
    assert [number_of_chunks(6, size, 2) for size in (None, 12, 6, 5, 1)] == [1, 1, 2, 3, 6]
    network = Normed().backbone.eval()
    x = torch.randn(14, 16)
    torch.testing.assert_close(embed(network, x, 7, 3), network(x))  # uneven chunks, in order
    norm = nn.BatchNorm1d(16)
    expected = copy.deepcopy(norm)(x.unflatten(0, (2, 7))[:, 1::3].flatten(0, 1))
    found = embed(norm, x, 7, 3).unflatten(0, (2, 7))[:, 1::3].flatten(0, 1)
    torch.testing.assert_close(found, expected)


def test_further_arguments_of_the_network_follow_their_rows():
    x, y = torch.randn(14, 16), torch.randn(14, 16)
    for chunks in (1, 3):
        assert torch.equal(embed(Difference(), x, 7, chunks, y), x - y)


class Difference(nn.Module):
    def forward(self, x, y):
        return x - y


def write_peaks(words):
    """Write the process's peak of memory, GB, after a step of each network and number of pairs."""
    quick, encoder = build_encoder(), build_encoder()
    quick.backbone = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 1024))
    peaks = []
    for network, size in ((quick, 128), (quick, 256), (encoder, 128)):
        module = PretrainModule(
            network, Contrastive(), lambda groups: torch.optim.AdamW(groups), 0.05, Constant(1.0),
            chunk_size=64,
        )  # fmt: skip
        pairs = {name: torch.randn(size, 64_000) for name in ("anchor", "positive")}
        trainer = lightning.Trainer(
            max_steps=1, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False,
            precision=pick_precision("auto", "cpu"),
        )  # fmt: skip
        trainer.fit(module, torch.utils.data.DataLoader([pairs], batch_size=None))
        assert trainer.global_step == 1
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2)
    Path(words[0]).write_text(json.dumps(peaks))
    return 0


@pytest.mark.slow
def test_a_step_of_1024_pairs_takes_less_than_6_gb(tmp_path):
    """Its memory is that of a chunk and of all pairs; the latter, 2 x 4 s of float32 samples and
    their log-mels (0.6 MiB or more), is measured with a network that needs almost none."""
    process = start(write_peaks, [str(tmp_path / "peaks.json")])
    process.join(600)
    assert process.exitcode == 0
    few, many, chunks = json.loads((tmp_path / "peaks.json").read_text())
    a_pair = max(0.6 / 1024, (many - few) / 128)
    assert chunks + (1024 - 128) * a_pair < 6.0
