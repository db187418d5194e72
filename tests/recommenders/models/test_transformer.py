"""The playlist transformer against plain PyTorch, and what its tracks' vectors are made of."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ssl_audio.io.errors import CheckpointError, SslAudioError
from ssl_audio.recommenders.data.collection import Catalogue, Playlists, playlists_of
from ssl_audio.recommenders.data.vocabulary import (
    END,
    SPECIALS,
    START,
    UNKNOWN,
    Vocabulary,
    vocabulary_of,
)
from ssl_audio.recommenders.models import transformer
from ssl_audio.recommenders.models.sparse_adamw import SparseAdamW
from ssl_audio.recommenders.models.track_embedding import SideInformation
from ssl_audio.recommenders.models.transformer import PlaylistTransformer, load_transformer
from ssl_audio.recommenders.models.transformer_batches import TransformerBatch, TransformerBatches
from ssl_audio.settings.fields import SettingError
from ssl_audio.settings.recommend import TransformerSettings

CATALOGUE = 40
SMALL = TransformerSettings(layers=2, heads=4, dimensions=16, feed_forward=24, context=8)
COLD = 35  # tracks from here on are in no playlist


def some_playlists(count: int = 30, seed: int = 0) -> Playlists:
    rng = np.random.default_rng(seed)
    lists = [rng.permutation(COLD)[: rng.integers(3, 14)].tolist() for _ in range(count)]
    return playlists_of([*lists, list(range(COLD))])


def vocabulary() -> Vocabulary:
    return vocabulary_of(some_playlists(), CATALOGUE)


def audio_embeddings(width: int = 6) -> np.ndarray:
    return np.random.default_rng(1).normal(3.0, 2.0, (CATALOGUE, width)).astype(np.float32)


def side() -> SideInformation:
    has_audio = np.arange(CATALOGUE) % 5 != 1  # track 36 is not
    artists = np.arange(CATALOGUE) // 4
    return SideInformation(audio_embeddings(), has_audio, artists, np.full(CATALOGUE, -1))


def perturbed(model: PlaylistTransformer) -> PlaylistTransformer:
    """With no parameter at its initial value, so that each counts."""
    rng = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=rng))
        for table in model.tracks.groups.values():
            table.weight[0] = 0.0
    return model


def reference_hidden(model: PlaylistTransformer, embedded: Tensor) -> Tensor:
    """PyTorch's own pre-norm layers with the same weights."""
    s = model.settings
    layers = []
    for block in model.blocks:
        layer = nn.TransformerEncoderLayer(
            s.dimensions, s.heads, s.feed_forward, s.dropout, "relu",
            batch_first=True, norm_first=True,
        )  # fmt: skip
        attention = block.queries_keys_values
        layer.load_state_dict(
            {
                "self_attn.in_proj_weight": attention.weight,
                "self_attn.in_proj_bias": attention.bias,
                "self_attn.out_proj.weight": block.mix.weight,
                "self_attn.out_proj.bias": block.mix.bias,
                "linear1.weight": block.network[0].weight,
                "linear1.bias": block.network[0].bias,
                "linear2.weight": block.network[3].weight,
                "linear2.bias": block.network[3].bias,
                "norm1.weight": block.norm_attention.weight,
                "norm1.bias": block.norm_attention.bias,
                "norm2.weight": block.norm_network.weight,
                "norm2.bias": block.norm_network.bias,
            }
        )
        layers.append(layer.eval())
    length = embedded.shape[1]
    mask = nn.Transformer.generate_square_subsequent_mask(length)
    x = embedded + model.positions[:length]
    for layer in layers:
        x = layer(x, src_mask=mask)
    return nn.functional.layer_norm(x, x.shape[-1:], model.norm.weight, model.norm.bias)


@pytest.mark.parametrize("settings", [SMALL, TransformerSettings()], ids=["small", "trecs"])
def test_loss_and_logits_are_those_of_plain_pytorch(settings: TransformerSettings) -> None:
    model = perturbed(PlaylistTransformer(vocabulary(), settings)).eval()
    drawn = replace(settings, batch_size=5, negatives=99)
    batch = TransformerBatches(some_playlists(), vocabulary(), drawn, unknown_rate=0.1)(0)
    read, targets = batch.tokens[:, :-1], batch.tokens[:, 1:]
    table = model.tracks.ids.weight
    with torch.no_grad():
        expected = reference_hidden(model, table[read])
        torch.testing.assert_close(model.hidden(read), expected, rtol=1e-5, atol=1e-5)
        logits = expected @ table.T
        found = model.hidden(read)[:, -1] @ model.output_vectors(np.arange(COLD)).T
        torch.testing.assert_close(found, logits[:, -1, SPECIALS:], rtol=1e-5, atol=1e-5)
        logits[..., START] = -torch.inf  # nothing predicts it
        padded = targets.masked_fill(read == END, -100)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), padded.flatten())
        assert float(model.loss(batch)["total"]) == pytest.approx(float(loss), rel=1e-5)


def test_the_sampled_loss_is_the_formula() -> None:
    """In float64 from the table and the states, position by position."""
    settings = TransformerSettings(
        layers=1, heads=2, dimensions=8, feed_forward=8, context=8, corrected=False, batch_size=4,
        negatives=7,
    )  # fmt: skip
    model = perturbed(PlaylistTransformer(vocabulary(), settings)).eval()
    batch = TransformerBatches(some_playlists(), vocabulary(), settings)(2)
    tokens, negatives = batch.tokens.numpy(), batch.negatives.numpy()
    with torch.no_grad():
        found = float(model.loss(batch)["total"])
        states = model.hidden(batch.tokens[:, :-1]).double().numpy()
    table = model.tracks.ids.weight.detach().double().numpy()
    losses = []
    for row in range(4):
        for place in range(9):
            if tokens[row, place] == END:
                continue
            target = tokens[row, place + 1]
            others = [j for j in negatives if j != target]
            own = states[row, place] @ table[target]
            weight = (len(table) - 2) / len(others)
            rest = np.exp(table[others] @ states[row, place]).sum() * weight
            losses.append(np.log(np.exp(own) + rest) - own)
    assert found == pytest.approx(np.mean(losses), rel=1e-5)


def test_the_calibrated_loss_is_the_formula() -> None:
    """gSASRec's in float64, position by position."""
    settings = replace(SMALL, batch_size=4, negatives=7, calibration=0.75)
    model = perturbed(PlaylistTransformer(vocabulary(), settings)).eval()
    batch = TransformerBatches(some_playlists(), vocabulary(), settings)(2)
    assert batch.negatives is not None
    with torch.no_grad():
        found = float(model.loss(batch)["total"])
        states = model.hidden(batch.tokens[:, :-1]).double().numpy()
    table = model.tracks.ids.weight.detach().double().numpy()
    losses = []
    for row, place in np.argwhere(batch.tokens[:, :-1].numpy() != END):
        target = int(batch.tokens[row, place + 1])
        others = [j for j in batch.negatives.tolist() if j != target]
        chances = 1 / (1 + np.exp(-(table @ states[row, place])))
        alpha = len(others) / (len(table) - 2)
        beta = alpha * (0.75 * (1 - 1 / alpha) + 1 / alpha)
        total = beta * np.log(chances[target]) + np.log(1 - chances[others]).sum()
        losses.append(-total / (len(others) + 1))
    assert found == pytest.approx(np.mean(losses), rel=1e-5)
    whole = model.loss(TransformerBatch(batch.tokens, None))["total"]
    every = torch.arange(1, model.vocabulary.size)
    torch.testing.assert_close(whole, model.loss(TransformerBatch(batch.tokens, every))["total"])


def test_later_tokens_change_no_earlier_state() -> None:
    model = perturbed(PlaylistTransformer(vocabulary(), SMALL)).eval()
    tokens = torch.randint(SPECIALS, 30, (3, 9), generator=torch.Generator().manual_seed(0))
    changed = tokens.clone()
    changed[:, 5:] += 1
    with torch.no_grad():
        before, after = model.hidden(tokens), model.hidden(changed)
    assert torch.equal(before[:, :5], after[:, :5])
    assert (before[:, 5:] - after[:, 5:]).abs().amax(-1).min() > 1e-3


def test_padding_after_the_end_does_not_count() -> None:
    model = perturbed(PlaylistTransformer(vocabulary(), SMALL)).eval()
    negatives = torch.arange(1, model.vocabulary.size)
    short = torch.tensor([[START, 5, 6, END]])
    padded = torch.tensor([[START, 5, 6, END, END, END, END]])
    losses = [model.loss(TransformerBatch(t, negatives)) for t in (short, padded)]
    torch.testing.assert_close(losses[0]["total"], losses[1]["total"])
    assert losses[0]["tracks"] != losses[0]["total"]


def expected_vectors(model: PlaylistTransformer, rows: np.ndarray) -> Tensor:
    """Id (where training has the track) + audio + artist, from the parameters."""
    tracks, known = model.tracks, side()
    train = audio_embeddings()[:COLD][known.has_audio[:COLD]].astype(np.float64)
    z = torch.from_numpy((audio_embeddings() - train.mean(0)) / train.std(0) / 6**0.5).float()
    z[~known.has_audio] = 0.0
    vectors = z[rows] @ tracks.audio_projection.weight.T
    vectors = vectors + tracks.groups["artists"].weight[rows // 4 + 1]
    ids = torch.zeros(len(rows), model.settings.dimensions)
    ids[rows < COLD] = tracks.ids.weight[SPECIALS + rows[rows < COLD]]
    return vectors + ids


def test_a_tracks_vector_is_a_sum_of_its_embeddings() -> None:
    model = perturbed(PlaylistTransformer(vocabulary(), SMALL, side())).eval()
    rows = np.array([0, 1, 17, 35, 36, 39])
    found = model.output_vectors(rows)
    torch.testing.assert_close(found, expected_vectors(model, rows), rtol=1e-5, atol=1e-5)


def test_a_cold_track_is_its_projection_alone_and_is_read_so() -> None:
    audio_only = SideInformation(audio_embeddings(), np.ones(CATALOGUE, bool))
    model = perturbed(PlaylistTransformer(vocabulary(), SMALL, audio_only)).eval()
    z = model.tracks.standardise(torch.from_numpy(audio_embeddings())) / 6**0.5
    torch.testing.assert_close(
        model.output_vectors(np.arange(COLD, CATALOGUE)),
        z[COLD:] @ model.tracks.audio_projection.weight.T,
        rtol=1e-5, atol=1e-5,
    )  # fmt: skip
    states = model.last_hidden(playlists_of([[3, 36], [3, 38], [3, -1]]))
    assert torch.pdist(states).min() > 1e-2
    assert model.recommendable.tolist() == list(range(CATALOGUE))


def test_a_track_of_which_nothing_is_known_is_unknown() -> None:
    model = perturbed(PlaylistTransformer(vocabulary(), SMALL)).eval()
    unknown = model.tracks(torch.tensor([UNKNOWN]))
    torch.testing.assert_close(model.output_vectors(np.array([COLD])), unknown)
    assert model.recommendable.tolist() == list(range(COLD))
    seeds, unknowns = playlists_of([[1]]), CATALOGUE - COLD
    scores = model.scores(seeds, playlists_of([[COLD, 3]]))
    logits = model.last_hidden(seeds) @ torch.cat([unknown, model.output_vectors(np.array([3]))]).T
    expected = (logits[0, 0] - logits[0, 1]).item() - np.log(unknowns)
    assert scores[0] - scores[1] == pytest.approx(expected, rel=1e-5)


def test_ids_are_dropped_at_their_rate_and_only_where_something_else_is_known() -> None:
    settings = TransformerSettings(layers=1, heads=2, dimensions=8, context=8, id_dropout=0.3)
    has_audio = np.arange(CATALOGUE) != 4
    model = PlaylistTransformer(
        vocabulary(), settings, SideInformation(audio_embeddings(), has_audio)
    )
    torch.manual_seed(0)
    tokens = torch.tensor([SPECIALS + 2, SPECIALS + 4, START, END]).repeat(4000, 1)
    with torch.no_grad():
        drawn = model.tracks.train()(tokens)
        whole = model.tracks.eval()(tokens[:1])[0]
    without_id = whole[0] - model.tracks.ids.weight[SPECIALS + 2]
    dropped = torch.isclose(drawn[:, 0], without_id, atol=1e-6).all(-1)
    kept = torch.isclose(drawn[:, 0], whole[0], atol=1e-6).all(-1)
    assert (dropped ^ kept).all()
    assert abs(dropped.float().mean() - 0.3) < 4 * (0.21 / 4000) ** 0.5
    torch.testing.assert_close(drawn[:, 1:], whole[1:].expand(4000, -1, -1))


def test_only_the_rows_of_the_batch_get_gradients_and_move() -> None:
    model = PlaylistTransformer(vocabulary(), SMALL, side())
    batch = TransformerBatch(torch.tensor([[START, 5, 6, END]]), torch.tensor([9, 11]))
    before = {name: p.clone() for name, p in model.named_parameters()}
    optimizers = model.optimizers()
    model.loss(batch)["total"].backward()
    assert model.tracks.ids.weight.grad.is_sparse
    for optimizer in optimizers:
        optimizer.step()
    moved = (model.tracks.ids.weight != before["tracks.ids.weight"]).any(1).nonzero()[:, 0]
    assert moved.tolist() == [START, END, 5, 6, 9, 11]
    artists = model.tracks.groups["artists"].weight
    assert set((artists != 0).any(1).nonzero()[:, 0].tolist()) <= {1, 2, 3}
    dense = [n for n, p in model.named_parameters() if "ids" not in n and "groups" not in n]
    assert all((before[n] != dict(model.named_parameters())[n]).any() for n in dense)


def test_sparse_adamw_is_adamw_on_rows_that_every_step_touches() -> None:
    start = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    sparse, dense = (nn.Parameter(start.clone()) for _ in range(2))
    ours = SparseAdamW([sparse], 0.1, weight_decay=0.3)
    theirs = torch.optim.AdamW([dense], lr=0.1, weight_decay=0.3)
    for step in range(6):
        rows = torch.tensor([0, 3, 3])
        for table, optimizer, kind in ((sparse, ours, True), (dense, theirs, False)):
            optimizer.zero_grad()
            read = nn.functional.embedding(rows, table, sparse=kind)
            (read.sin() * (step + 1)).sum().backward()
            optimizer.step()
    torch.testing.assert_close(sparse[[0, 3]], dense[[0, 3]])
    assert torch.equal(sparse[[1, 2, 4]], start[[1, 2, 4]])


@pytest.mark.parametrize("calibration", [None, 0.75])
def test_scores_are_mean_probabilities_after_each_track(
    monkeypatch: pytest.MonkeyPatch, calibration: float | None
) -> None:
    """Playlists longer than the context, empty seeds and empty candidates among them."""
    settings = replace(SMALL, calibration=calibration)
    model = perturbed(PlaylistTransformer(vocabulary(), settings, side())).eval()
    seeds = [list(range(20)), [3], [], [36, 2, 9], [1, 2]]
    candidates = [[1, 38, 4], [36, 35], [7], [], [2]]
    found = model.scores(playlists_of(seeds), playlists_of(candidates))
    assert found.dtype == np.float32
    expected = []
    for one, rows in zip(seeds, candidates, strict=True):
        last = one[-SMALL.context :]
        tokens = np.concatenate([[START], model.extended_vocabulary.of(np.array(last, int))])
        with torch.no_grad():
            states = model.hidden(torch.from_numpy(tokens)[None].long())[0].double()
            states = states[1:] if one else states
            table = model.tracks(torch.arange(1, model.vocabulary.size)).double()
        logits = states @ model.output_vectors(np.array(rows, int)).double().T
        partition = (states @ table.T).exp().sum(1, keepdim=True)
        chances = logits.exp() / partition if calibration is None else logits.sigmoid()
        expected += chances.mean(0).log().tolist()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    monkeypatch.setattr(transformer, "MAX_FULL_SOFTMAX", 20)  # of 37 tokens: close to all
    sampled = model.scores(playlists_of(seeds), playlists_of(candidates))
    assert np.abs((sampled - found)[:3] - (sampled - found)[0]).max() < 0.3


def test_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = PlaylistTransformer(vocabulary(), SMALL).state_dict()
    torch.manual_seed(2)
    second = PlaylistTransformer(vocabulary(), SMALL).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("known", [None, side()], ids=["ids", "audio"])
def test_a_saved_model_scores_as_before(tmp_path: Path, known: SideInformation | None) -> None:
    model = perturbed(PlaylistTransformer(vocabulary(), SMALL, known)).eval()
    model.save(tmp_path / "model")
    assert not any(value.shape[:1] == (CATALOGUE,) for value in model.state_dict().values())
    audio = (None, None) if known is None else (known.audio, known.has_audio)
    loaded = load_transformer(tmp_path / "model", *audio)
    candidates = (playlists_of([[1, 2], [36]]), playlists_of([[3, 38], [0]]))
    assert (loaded.scores(*candidates) == model.scores(*candidates)).all()
    assert loaded.settings == model.settings and not loaded.training


def test_a_folder_that_is_none_or_needs_audio_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such model folder"):
        load_transformer(tmp_path / "nothing")
    PlaylistTransformer(vocabulary(), SMALL, side()).save(tmp_path / "model")
    with pytest.raises(SslAudioError, match="6 dimensions, given none"):
        load_transformer(tmp_path / "model")


def test_audio_and_sizes_that_cannot_be_used_are_refused() -> None:
    broken = audio_embeddings()
    broken[3, 2] = np.nan
    known = SideInformation(audio_embeddings(), np.ones(CATALOGUE, bool))
    model = PlaylistTransformer(vocabulary(), SMALL, known).eval()
    object.__setattr__(model.tracks.side, "audio", broken)
    with pytest.raises(SslAudioError, match="track 3 is not finite"):
        model.output_vectors(np.array([2, 3]))
    with pytest.raises(SettingError, match="multiple of transformer.heads=8"):
        TransformerSettings(dimensions=100, heads=8)


def test_side_information_of_a_catalogue_numbers_its_names() -> None:
    catalogue = Catalogue(["a", "b", "c", "d"], artists=["x", "", "w", "x"])
    known = SideInformation.of(catalogue)
    assert known.artists is not None and known.albums is None and known.has_audio is None
    assert known.artists[1] == -1 and known.artists[0] == known.artists[3] != known.artists[2]
    assert known.available(4).tolist() == [True, False, True, True]


def two_groups(playlists: int, seed: int) -> Playlists:
    """Each playlist keeps to the even or to the odd tracks of 80; the last ten are cold."""
    rng = np.random.default_rng(seed)
    return playlists_of([(2 * rng.permutation(35)[:12] + k % 2).tolist() for k in range(playlists)])


def trained(known: SideInformation | None, steps: int) -> PlaylistTransformer:
    train = two_groups(60, seed=0)
    settings = TransformerSettings(
        layers=2, heads=4, dimensions=32, feed_forward=64, context=12,
        learning_rate=5e-3, id_dropout=0.3,
    )  # fmt: skip
    vocabulary = vocabulary_of(train, 80)
    model = PlaylistTransformer(vocabulary, settings, known)
    batches = TransformerBatches(train, vocabulary, settings)
    optimizers = model.optimizers()
    torch.manual_seed(0)
    for step in range(steps):
        loss = model.loss(batches(step))["total"]
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
    return model.eval()


def group_accuracy(model: PlaylistTransformer, candidates: np.ndarray) -> float:
    """How often the best-scored candidate is of the group of five seeds."""
    test = two_groups(200, seed=9)
    seeds = playlists_of([test[k][:5].tolist() for k in range(200)])
    lists = playlists_of([[t for t in candidates if t not in set(s)] for s in map(list, seeds)])
    scores = model.scores(seeds, lists)
    best = [lists[k][scores[lists.offsets[k] : lists.offsets[k + 1]].argmax()] for k in range(200)]
    return float((np.array(best) % 2 == np.arange(200) % 2).mean())


def test_it_learns_which_tracks_go_together() -> None:
    assert group_accuracy(trained(None, steps=100), np.arange(70)) > 0.9


def test_it_recommends_cold_tracks_by_their_audio() -> None:
    """Two of twelve audio dimensions tell the group; chance is one half."""
    rng = np.random.default_rng(2)
    audio = rng.normal(size=(80, 12)).astype(np.float32)
    audio[:, :2] += 2.0 * (np.arange(80) % 2)[:, None]
    model = trained(SideInformation(audio, np.ones(80, bool)), steps=100)
    assert group_accuracy(model, np.arange(70, 80)) > 0.8


def peak_of_a_step(tracks: int, dimensions: int) -> int:
    """Bytes that one training step has allocated at most, beyond those of model and optimisers."""
    rng = np.random.default_rng(0)
    train = Playlists(rng.integers(0, tracks, 2000).astype(np.int32), np.arange(0, 2001, 50),
                      [""] * 40)  # fmt: skip
    rows = np.concatenate([[-1] * SPECIALS, np.arange(tracks)]).astype(np.int32)
    words = Vocabulary(rows, len(rows), tracks)
    settings = TransformerSettings(layers=2, dimensions=dimensions, feed_forward=32, negatives=20)
    audio = np.broadcast_to(np.float32(1.0), (tracks, 64))
    known = SideInformation(audio, np.ones(tracks, bool))
    model = PlaylistTransformer(words, settings, known)
    optimizers = model.optimizers()
    batches = TransformerBatches(train, words, settings)

    def step(number: int) -> None:
        model.loss(batches(number))["total"].backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()

    step(0)  # makes the optimisers' state
    return peak_allocation(lambda: step(1))


def peak_allocation(work: Callable[[], None]) -> int:
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profiler:
        work()
    events = profiler.profiler.kineto_results.events()  # type: ignore[union-attr]
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    return int(np.cumsum([size for _, size in changes]).max())


@pytest.mark.slow
def test_a_training_steps_memory_does_not_grow_with_the_vocabulary() -> None:
    """Two million tracks against two hundred thousand; the tables themselves are 10 x larger."""
    small, large = peak_of_a_step(200_000, 16), peak_of_a_step(2_000_000, 16)
    print(
        f"peak of a step: {small / 2**20:.2f} MiB at 0.2 M, {large / 2**20:.2f} MiB at 2 M tracks"
    )
    assert small > 2**20  # the profiler saw the step
    assert abs(large - small) < 0.02 * small
    assert large < 0.2 * 4 * 16 * 2_000_000
