"""The sampled softmax against the full one, and its bias."""

from itertools import combinations

import numpy as np
import pytest
import torch
from torch import Tensor

from ssl_audio.recommenders.models.sampled_softmax import sampled_softmax_loss


def example(vocabulary: int, d: int, n: int, spread: float) -> tuple[Tensor, Tensor, Tensor]:
    """States, targets and vectors whose logits have the standard deviation `spread`."""
    rng = torch.Generator().manual_seed(0)
    vectors = torch.randn(vocabulary, d, generator=rng, dtype=torch.float64)
    hidden = spread / d**0.5 * torch.randn(n, d, generator=rng, dtype=torch.float64)
    return hidden, torch.randint(vocabulary, (n,), generator=rng), vectors


def losses(
    hidden: Tensor, targets: Tensor, vectors: Tensor, drawn: Tensor, corrected: bool
) -> Tensor:
    return sampled_softmax_loss(
        hidden, targets, vectors[targets], drawn, vectors[drawn], len(vectors), corrected
    )


@pytest.mark.parametrize("corrected", [False, True])
def test_a_sample_of_the_whole_vocabulary_is_the_full_softmax(corrected: bool) -> None:
    hidden, targets, vectors = example(60, 8, 25, 2.0)
    hidden.requires_grad_()
    full = torch.nn.functional.cross_entropy(hidden @ vectors.T, targets, reduction="none")
    drawn = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    sampled = losses(hidden, targets, vectors, drawn, corrected)
    torch.testing.assert_close(sampled, full, rtol=1e-12, atol=1e-12)
    gradients = [
        torch.autograd.grad(x.sum(), hidden, retain_graph=True)[0] for x in (full, sampled)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-10)


def test_the_sum_and_its_variance_are_unbiased_over_all_samples() -> None:
    """Every sample of 4 from 9 tokens once: expectations are exact, the target's hits included."""
    hidden, targets, vectors = example(9, 3, 1, 1.5)
    target = int(targets[0])
    logits = (hidden @ vectors.T)[0]
    others = [j for j in range(9) if j != target]
    partitions, variances = [], []
    for drawn in combinations(others, 4):
        naive, corrected = (
            losses(hidden, targets, vectors, torch.tensor(drawn), c)[0] for c in (False, True)
        )
        partition = (naive + logits[target]).exp()
        partitions.append(float(partition))
        variances.append(float(2 * (corrected - naive) * partition**2))
    assert np.mean(partitions) == pytest.approx(float(logits.exp().sum()), rel=1e-12)
    assert np.mean(variances) == pytest.approx(np.var(partitions), rel=1e-10)
    with_target = [
        float((losses(hidden, targets, vectors, torch.tensor(drawn), False)[0]
               + logits[target]).exp())
        for drawn in combinations(range(9), 4)
    ]  # fmt: skip
    assert np.mean(with_target) == pytest.approx(float(logits.exp().sum()), rel=1e-12)


@pytest.mark.parametrize(
    ("negatives", "spread", "left"),
    [(20, 1.0, 0.5), (200, 1.0, 0.5), (20, 2.0, 0.8)],
)
def test_the_correction_takes_away_bias(negatives: int, spread: float, left: float) -> None:
    """2,000 tokens, 1,500 draws; logits of a wider spread leave more of it to higher orders."""
    hidden, targets, vectors = example(2000, 16, 32, spread)
    full = torch.nn.functional.cross_entropy(hidden @ vectors.T, targets)
    found = measured_bias(hidden, targets, vectors, negatives, draws=1500)
    naive, corrected, error = (found[k] for k in ("naive", "corrected", "error"))
    assert float(full) > 1 and naive < -3 * error  # optimistic, as the appendix says
    assert abs(corrected) < left * abs(naive) + 2 * error


def measured_bias(
    hidden: Tensor, targets: Tensor, vectors: Tensor, negatives: int, draws: int
) -> dict[str, float]:
    """Mean loss minus the full softmax's, over draws and positions, and its standard error."""
    full = torch.nn.functional.cross_entropy(hidden @ vectors.T, targets)
    rng = np.random.default_rng(0)
    differences = np.empty((draws, 2))
    for row in differences:
        drawn = torch.from_numpy(rng.choice(len(vectors), negatives, replace=False))
        row[:] = [
            float(losses(hidden, targets, vectors, drawn, c).mean() - full) for c in (False, True)
        ]
    naive, corrected = differences.mean(0)
    error = differences.std(0).max() / draws**0.5
    return {"naive": float(naive), "corrected": float(corrected), "error": float(error)}


def test_large_logits_and_a_sample_of_the_target_alone_stay_finite() -> None:
    hidden = torch.tensor([[1e4], [-1e4]], requires_grad=True)
    vectors = torch.tensor([[1.0], [-1.0], [0.5]])
    for drawn in ([0], [0, 1], [0, 1, 2]):
        found = losses(hidden, torch.tensor([0, 0]), vectors, torch.tensor(drawn), True)
        assert found.isfinite().all()
        assert torch.autograd.grad(found.sum(), hidden)[0].isfinite().all()


def test_the_correction_is_at_most_one_half() -> None:
    hidden, targets, vectors = example(500, 8, 64, 12.0)  # one logit outweighs the rest
    drawn = torch.arange(0, 500, 25)
    difference = losses(hidden, targets, vectors, drawn, True) - losses(
        hidden, targets, vectors, drawn, False
    )
    assert float(difference.min()) >= 0
    assert 0.3 < float(difference.max()) <= 0.5


def test_half_precision_is_left_before_the_exponentials() -> None:
    hidden, targets, vectors = example(200, 8, 30, 1.0)
    drawn = torch.arange(0, 200, 4)
    half = losses(hidden.bfloat16(), targets, vectors.bfloat16(), drawn, True)
    assert half.dtype == torch.float32
    expected = losses(hidden, targets, vectors, drawn, True)
    torch.testing.assert_close(half.double(), expected, rtol=0.02, atol=0.02)
