"""Contrastive loss (Eq. 1) against plain double loops."""

from __future__ import annotations

import math

import pytest
import torch

from mmvad.models.losses import (
    ImageTextContrastiveLoss,
    alignment_accuracy,
    identical_captions,
    image_text_contrastive_loss,
    query_similarity,
)
from mmvad.registry import MODELS

BATCH, QUERIES, GROUPS, DIM = 6, 4, 3, 5


@pytest.fixture
def batch():
    torch.manual_seed(0)
    image = torch.randn(BATCH, QUERIES, DIM, dtype=torch.float64) * 3
    text = torch.randn(BATCH, GROUPS, DIM, dtype=torch.float64)
    # group 0: all different; group 1: two sentences; group 2: one sentence for all
    number = torch.stack([torch.arange(6), torch.tensor([0, 1, 0, 0, 1, 0]), torch.zeros(6)], 1)
    tokens = torch.stack([torch.full_like(number, 9), number, torch.full_like(number, 10)], -1)
    return image, text, tokens.long()


def cosine(first: torch.Tensor, second: torch.Tensor) -> float:
    dot = sum(x * y for x, y in zip(first.tolist(), second.tolist(), strict=True))
    return dot / math.sqrt(sum(x * x for x in first.tolist()) * sum(y * y for y in second.tolist()))


def naive_loss(image, text, tokens, temperature, targets) -> float:
    """Eq. 1 term by term."""
    total = 0.0
    for n in range(GROUPS):
        similarity = [
            [max(cosine(query, text[c, n]) for query in image[i]) for c in range(BATCH)]
            for i in range(BATCH)
        ]
        for i in range(BATCH):
            if targets == 'diagonal':
                owners = [i]
            else:
                owners = [c for c in range(BATCH) if tokens[c, n].equal(tokens[i, n])]
            images = [math.exp(similarity[i][c] / temperature) for c in range(BATCH)]
            sentences = [math.exp(similarity[c][i] / temperature) for c in range(BATCH)]
            for c in owners:
                total += math.log(images[c] / sum(images)) / len(owners)
                total += math.log(sentences[c] / sum(sentences)) / len(owners)
    return -total / (2 * GROUPS * BATCH)


@pytest.mark.parametrize('targets', ['shared', 'diagonal'])
@pytest.mark.parametrize('temperature', [0.07, 0.5])
def test_against_the_double_loop(batch, targets, temperature):
    module = ImageTextContrastiveLoss(targets=targets, temperature=temperature).double()
    loss, _ = module(*batch)
    assert module.temperature.item() == pytest.approx(temperature, rel=1e-6)
    expected = naive_loss(*batch, module.temperature.item(), targets)
    assert loss.item() == pytest.approx(expected, rel=1e-9)


def test_shared_targets_equal_the_diagonal_where_all_differ(batch):
    image, text, tokens = batch
    similarity = query_similarity(image, text)[:1]
    same = identical_captions(tokens)[:1]
    torch.testing.assert_close(
        image_text_contrastive_loss(similarity, 0.1, same),
        image_text_contrastive_loss(similarity, 0.1),
    )


def test_shared_targets_reach_their_floor(batch):
    """A perfect model of two sentences: the floor is the mean log of how often each occurs."""
    _, _, tokens = batch
    same = identical_captions(tokens)[1:2]
    similarity = torch.where(same, 1.0, -1.0)
    counts = same.sum(-1).float()
    shared = image_text_contrastive_loss(similarity, 0.01, same)
    assert shared.item() == pytest.approx(counts.log().mean().item(), abs=1e-5)
    assert alignment_accuracy(similarity, same).item() == 1.0
    assert alignment_accuracy(-similarity, same).item() == 0.0


def test_identical_captions_are_told_by_all_tokens():
    tokens = torch.tensor([[[1, 2, 3]], [[1, 2, 3]], [[1, 2, 0]]])
    expected = torch.tensor([[[1, 1, 0], [1, 1, 0], [0, 0, 1]]]).bool()
    assert identical_captions(tokens).equal(expected)


def test_temperature_learns_and_stays_in_range(batch):
    module = ImageTextContrastiveLoss(temperature=0.02, temperature_range=(0.01, 0.05)).double()
    optimizer = torch.optim.SGD(module.parameters(), lr=10.0)
    values = []
    for _ in range(5):
        optimizer.zero_grad()
        loss, _ = module(*batch)
        values.append(module.temperature.item())
        loss.backward()
        assert module.log_scale.grad.abs() > 0  # even at the border
        optimizer.step()
    assert values[0] == pytest.approx(0.02)
    assert values[-1] == pytest.approx(0.05)  # random pairs: the softer, the better


def test_refuses_impossible_arguments():
    with pytest.raises(ValueError, match='targets'):
        MODELS.build(dict(type='ImageTextContrastiveLoss', targets='hard'))
    with pytest.raises(ValueError, match='temperature'):
        ImageTextContrastiveLoss(temperature=2.0)
