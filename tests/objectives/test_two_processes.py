"""Two gloo processes with half the batch each equal one process with the whole."""

import copy

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from processes import START
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ssl_audio.audio.views.level import Gain
from ssl_audio.audio.views.mixing import Mix
from ssl_audio.audio.views.stage import ViewStage
from ssl_audio.audio.views.transform import Rows
from ssl_audio.io.errors import SslAudioError
from ssl_audio.objectives.barlow_twins import BarlowTwins
from ssl_audio.objectives.byol import BYOL
from ssl_audio.objectives.clustering import Clustering
from ssl_audio.objectives.contrastive import Contrastive
from ssl_audio.objectives.distillation import Distillation
from ssl_audio.objectives.gather import gather
from ssl_audio.objectives.sync_batchnorm import SyncBatchNorm, convert_batchnorm
from ssl_audio.objectives.vicreg import VICReg

KINDS = [Contrastive, BYOL, Clustering, BarlowTwins, VICReg, Distillation]
PAIRS, SIZE = 8, 6


class Network(nn.Module):
    """A small encoder with batch norm, and the objective's projector and predictor."""

    def __init__(self, kind):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Linear(5, SIZE), nn.BatchNorm1d(SIZE), nn.ReLU())
        options = {BYOL: {"hidden": 4}, Distillation: {"target_size": 5}}.get(kind, {})
        self.objective = kind(embedding_size=SIZE, projector_sizes=(7, 7, 9), **options)
        self.double()

    def forward(self, x):
        return self.objective.predictor(self.objective.projector(self.encoder(x)))


def whole_batch():
    generator = torch.Generator().manual_seed(5)
    return torch.randn(2, PAIRS, 5, generator=generator, dtype=torch.float64)


def step(network, teacher, x, forward):
    """One step: loss, terms, parameter gradients, centre and running statistics after it."""
    objective = network.objective
    student = gather(forward(x.flatten(0, 1)).unflatten(0, (2, -1)))
    target = None
    if objective.momentum is not None:
        with torch.no_grad():
            embedded = teacher.encoder(x.flatten(0, 1))
            target = gather(teacher.objective.projector(embedded).unflatten(0, (2, -1)))
    more = {"targets": gather(x.sin())} if objective.needs_targets else {}
    output = objective.loss(student, target, 0.2, **more)
    output.total.backward()
    objective.after_step(target, 0.2)
    return {
        "loss": output.total.detach(),
        **{f"term {name}": value for name, value in output.terms.items()},
        **{f"gradient {n}": p.grad.clone() for n, p in network.named_parameters()},
        **{f"buffer {n}": b.clone() for n, b in network.named_buffers()},
    }


def teacher_of(network):
    teacher = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter.add_(0.1)
    return teacher


def one_process(kind):
    network = Network(kind)
    return step(network, teacher_of(network), whole_batch(), network)


def worker(rank, world, folder, jobs):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world
    )
    try:
        torch.save([job(rank, world) for job in jobs], f"{folder}/{rank}.pt")
    finally:
        dist.destroy_process_group()


def train_all(rank, world):
    found = {}
    for kind in KINDS:
        network = convert_batchnorm(Network(kind))
        teacher = teacher_of(network)
        share = whole_batch().chunk(world, dim=1)[rank].contiguous()
        found[kind.__name__] = step(network, teacher, share, DistributedDataParallel(network))
    return found


class Activated(nn.BatchNorm2d):
    """A batch norm with its activation inside, as timm's."""

    def __init__(self, size):
        super().__init__(size)
        self.drop, self.act = nn.Identity(), nn.ReLU()

    def forward(self, x):
        return self.act(self.drop(super().forward(x)))


NORMS = [{}, {"momentum": None}, {"affine": False}, {"track_running_stats": False}, None]


def norm_layer(options):
    torch.manual_seed(1)
    layer = nn.BatchNorm2d(3, **options) if options is not None else Activated(3)
    if layer.affine:
        nn.init.normal_(layer.weight)
        nn.init.normal_(layer.bias)
    return layer.double()


def norm_step(layer, rank, world):
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(8, 3, 4, 5, generator=generator, dtype=torch.float64) * 3 + 7
    weights = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    x, weights = x.chunk(world)[rank].clone().requires_grad_(), weights.chunk(world)[rank]
    for _ in range(2):
        y = layer(x)
    (y * weights).sum().backward()
    return {"y": y.detach(), "x": x.grad, "state": dict(layer.state_dict())}


def norm_all(rank, world):
    return [norm_step(convert_batchnorm(norm_layer(o)), rank, world) for o in NORMS]


def refuse_uneven(rank, world):
    try:
        gather(torch.ones(2, 3 + rank, 4))
    except SslAudioError as error:
        return str(error)
    return "accepted"


def mixed_views(rank, world):
    """Each view mixed with another track's, and the tracks of all rows."""
    share = whole_batch().float().chunk(world, dim=1)[rank]
    rows = Rows(share.shape[1], rank=rank, world_size=world, gather=gather)
    stage = ViewStage([Gain(), Mix()], seed=4)
    x = stage(share.flatten(0, 1), rows, 7, lambda x: x[:, None, None])
    tracks = torch.arange(PAIRS).chunk(world)[rank][None, :, None]
    return x.unflatten(0, (2, -1)), gather(tracks)[0, :, 0]


def order_and_dtype(rank, world):
    x = torch.full((2, 2, 1), float(rank), dtype=torch.bfloat16, requires_grad=True)
    joined = gather(x)
    joined.square().sum().backward()
    return joined.detach(), x.grad


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("gloo"))
    jobs = [train_all, norm_all, refuse_uneven, order_and_dtype, mixed_views]
    mp.start_processes(worker, (2, folder, jobs), nprocs=2, start_method=START)
    return [torch.load(f"{folder}/{rank}.pt", weights_only=False) for rank in range(2)]


@pytest.mark.parametrize("kind", KINDS)
def test_loss_gradients_centre_and_statistics(both, kind):
    expected = one_process(kind)
    assert any(v.abs().max() > 1e-4 for k, v in expected.items() if k.startswith("gradient"))
    for found in both:
        ours = found[0][kind.__name__]
        assert ours.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(ours[name], value, msg=lambda m, n=name: f"{n}: {m}")


def test_centre_moved():
    assert one_process(Clustering)["buffer objective.centre"].abs().max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_half_the_batch_alone_differs(kind):
    """The comparison can fail: half the rows give another loss."""
    network = Network(kind)
    half = step(network, teacher_of(network), whole_batch()[:, :4], network)
    assert abs(half["loss"] - one_process(kind)["loss"]) > 1e-4


@pytest.mark.parametrize("index", range(len(NORMS)))
def test_batch_norm_over_processes(both, index):
    expected = norm_step(norm_layer(NORMS[index]), 0, 1)
    for rank, found in enumerate(both):
        ours = found[1][index]
        torch.testing.assert_close(ours["y"], expected["y"].chunk(2)[rank])
        torch.testing.assert_close(ours["x"], expected["x"].chunk(2)[rank])
        assert list(ours["state"]) == list(expected["state"])
        for name, value in expected["state"].items():
            torch.testing.assert_close(ours["state"][name], value)


def test_uneven_shares_are_refused_everywhere(both):
    for found in both:
        assert "multiple of the 2 processes" in found[2]


def test_gather_orders_by_rank_and_sums_gradients_in_float32(both):
    for rank, found in enumerate(both):
        joined, gradient = found[3]
        assert joined.dtype == torch.float32
        assert joined[0, :, 0].tolist() == [0, 0, 1, 1]
        assert torch.equal(gradient.float(), torch.full((2, 2, 1), 2 * 2.0 * rank))


def test_views_are_those_of_one_process(both):
    expected, _ = mixed_views(0, 1)
    for rank, found in enumerate(both):
        views, tracks = found[4]
        assert torch.equal(views, expected.chunk(2, dim=1)[rank])
        assert tracks.tolist() == list(range(PAIRS))


def test_one_process_is_the_identity():
    x = torch.randn(2, 3, 4)
    assert gather(x) is x
    layer, same = nn.BatchNorm1d(4), convert_batchnorm(nn.BatchNorm1d(4))
    assert isinstance(same, SyncBatchNorm)
    y = torch.randn(6, 4)
    assert torch.equal(layer(y), same(y))
    assert torch.equal(layer.eval()(y), same.eval()(y))


def test_conversion_shares_parameters_and_keeps_activations():
    from timm.layers import BatchNormAct2d

    model = nn.Sequential(nn.Conv2d(1, 3, 1), BatchNormAct2d(3), nn.Sequential(nn.BatchNorm2d(3)))
    before, keys = dict(model.named_parameters()), list(model.state_dict())
    x = torch.randn(4, 1, 2, 2)
    expected = copy.deepcopy(model)(x)
    assert convert_batchnorm(model) is model
    assert list(model.state_dict()) == keys
    assert all(p is before[n] for n, p in model.named_parameters())
    assert sum(isinstance(m, SyncBatchNorm) for m in model.modules()) == 2
    torch.testing.assert_close(model(x), expected)
    assert model[1](x.expand(4, 3, 2, 2)).min() >= 0
