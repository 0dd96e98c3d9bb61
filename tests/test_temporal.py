"""Fusion of the branches and the temporal model."""

from __future__ import annotations

import math

import pytest
import torch

from mmvad.models.temporal import CrossAttentionFusion, TemporalModel
from mmvad.registry import MODELS


def model(drive: str = 'per_component', num_queries: int = 4, embed_dim: int = 8, **smm):
    torch.manual_seed(0)
    return MODELS.build(
        dict(
            type='TemporalModel',
            num_queries=num_queries,
            embed_dim=embed_dim,
            fusion=dict(type='CrossAttentionFusion', num_heads=2),
            smm=dict(dict(type='SMM', num_components=16, drive=drive), **smm),
        )
    )


def rotations(count: int, seed: int, speed: float = 0.5) -> torch.Tensor:
    """Tubes (count, 6, 2, 4, 8) whose two latent pairs turn at a constant speed."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(2, 4, 32, generator=torch.Generator().manual_seed(7))
    phase = 2 * math.pi * torch.rand(count, 2, 2, 1, generator=generator)
    angle = phase + speed * torch.tensor([1.0, 1.6]).view(1, 1, 2, 1) * torch.arange(6.0)
    latent = torch.cat([angle.cos(), angle.sin()], dim=2)
    features = torch.einsum('nbdt,bdf->ntbf', latent, mix).unflatten(-1, (4, 8))
    return 3 + 2 * features + 0.05 * torch.randn(features.shape, generator=generator)


def test_fusion_works_step_by_step_and_sees_both_branches():
    torch.manual_seed(0)
    fusion = CrossAttentionFusion(num_queries=4, embed_dim=8, num_heads=2, init_std=0.5)
    features = torch.randn(3, 5, 2, 4, 8, requires_grad=True)
    fused = fusion(features)
    assert fused.shape == (3, 5, 4, 8)
    torch.testing.assert_close(fusion(features[1:2, 2:3])[0, 0], fused[1, 2])
    gradient = torch.autograd.grad(fused[1, 2, 0].sum(), features)[0]
    touched = gradient.abs().sum((-1, -2)) > 0
    assert touched.nonzero().tolist() == [[1, 2, 0], [1, 2, 1]]
    # a query reads itself in its own branch and every token of the other one
    tokens = gradient[1, 2].abs().sum(-1) > 0
    assert tokens.tolist() == [[True, False, False, False], [True, True, True, True]]


def test_fusion_knows_which_query_is_which():
    torch.manual_seed(0)
    fusion = CrossAttentionFusion(num_queries=4, embed_dim=8, num_heads=2, init_std=0.5)
    features = torch.randn(1, 1, 2, 4, 8)
    swapped = features.clone()
    swapped[:, :, 1] = features[:, :, 1, [1, 0, 2, 3]]
    attended = fusion(features) - features.sum(2)
    other = fusion(swapped) - swapped.sum(2)
    assert (attended - other).abs().max() > 1e-2


def test_standardises_with_the_statistics_of_training():
    temporal = model()
    features = 5 + 3 * torch.randn(500, 6, 2, 4, 8)
    flat = features.flatten(0, 1)
    temporal.set_statistics(flat.mean(0), flat.std(0))
    standard = temporal.standardize(features.half()).flatten(0, 1)
    assert standard.dtype == torch.float32
    assert standard.mean(0).abs().max() < 1e-2 and (standard.std(0) - 1).abs().max() < 1e-2
    assert {'mean', 'std'} <= temporal.state_dict().keys()
    restored = model()
    restored.load_state_dict(temporal.state_dict())
    assert restored.errors(features).equal(temporal.errors(features))

    temporal.set_statistics(torch.zeros(2, 4, 8), torch.zeros(2, 4, 8))  # features that never vary
    assert temporal.errors(torch.zeros(1, 6, 2, 4, 8)).isfinite().all()
    with pytest.raises(ValueError, match='mean'):
        temporal.set_statistics(torch.zeros(4, 8), torch.ones(2, 4, 8))
    with pytest.raises(ValueError, match='std'):
        temporal.set_statistics(torch.zeros(2, 4, 8), torch.full((2, 4, 8), math.nan))
    with pytest.raises(ValueError, match='std'):
        temporal.set_statistics(torch.zeros(2, 4, 8), -torch.ones(2, 4, 8))


def test_modes_and_errors_by_hand():
    temporal = model()
    mean, std = torch.randn(2, 4, 8), torch.rand(2, 4, 8) + 0.5
    temporal.set_statistics(mean, std)
    inputs = torch.randn(7, 6, 2, 4, 8)
    prediction = temporal(inputs, mode='tensor')
    assert prediction.shape == (7, 2, 4, 8)

    standard = (inputs - mean) / std
    fused = temporal.fusion(standard[:, :5])
    torch.testing.assert_close(prediction, temporal.smm(fused.flatten(2)).view(7, 2, 4, 8))
    square = (prediction - standard[:, 5]) ** 2
    torch.testing.assert_close(temporal.errors(inputs), square.flatten(1).mean(1))
    torch.testing.assert_close(temporal(inputs, mode='predict'), temporal.errors(inputs))
    torch.testing.assert_close(temporal.error_components(inputs), square.mean(-1))

    result = temporal(inputs, mode='loss')
    torch.testing.assert_close(result['loss'], square.mean())
    copy = ((standard[:, 4] - standard[:, 5]) ** 2).mean()
    torch.testing.assert_close(result['err_over_copy'], square.mean() / copy)
    torch.testing.assert_close(
        result['err_over_mean'], square.mean() / (standard[:, 5] ** 2).mean()
    )
    spread = fused.reshape(35, -1).var(0, unbiased=False).sqrt().mean()
    torch.testing.assert_close(result['fused_std'], spread)
    diagnostics = temporal.diagnostics(inputs)
    assert diagnostics.keys() == result.keys() - {'loss'}
    for key, value in diagnostics.items():
        torch.testing.assert_close(value, result[key])
        assert not result[key].requires_grad
    total, _ = temporal.parse_losses(result)
    assert total.equal(result['loss'])


def test_the_target_is_frozen():
    """No gradient reaches the target, and the target does not reach the prediction."""
    temporal = model()
    inputs = torch.randn(3, 6, 2, 4, 8)
    changed = inputs.clone()
    changed[:, -1] += 1
    assert temporal(inputs).equal(temporal(changed))
    assert not temporal.errors(inputs).equal(temporal.errors(changed))


@pytest.mark.parametrize('drive', ['sum', 'per_component'])
def test_stream_equals_windows(drive):
    """A stream keeps u, O numbers a step, and has every window's prediction."""
    temporal = model(drive)
    temporal.set_statistics(torch.randn(2, 4, 8), torch.rand(2, 4, 8) + 0.5)
    video = torch.randn(2, 9, 2, 4, 8)
    cache = []
    for step in range(9):
        cache.append(temporal.encode(temporal.standardize(video[:, step : step + 1])))
        if len(cache) >= 5 and step < 8:
            prediction = temporal.predict_encoded(torch.cat(cache[-5:], dim=1))
            expected = temporal(video[:, step - 4 : step + 2])
            torch.testing.assert_close(prediction, expected, rtol=1e-4, atol=1e-6)


def test_horizon():
    temporal = model(horizon=3, window=4)
    assert temporal.steps == 7
    inputs = torch.randn(2, 7, 2, 4, 8)
    between = inputs.clone()
    between[:, 4:6] = 0  # neither input nor target
    assert temporal.errors(inputs).equal(temporal.errors(between))
    with pytest.raises(ValueError, match='T=7'):
        temporal(inputs[:, :6])
    with pytest.raises(ValueError, match='mode'):
        temporal(inputs, mode='score')


def test_initial_weights():
    temporal = model(num_queries=32, embed_dim=64)
    for name, parameter in temporal.named_parameters():
        if name.endswith('bias'):
            assert not parameter.any(), name
        else:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.15), name


def test_learns_dynamics_and_notices_others():
    """Rotations are predicted better than by copying; faster ones stand out."""
    train, held_out, faster = rotations(512, 1), rotations(64, 2), rotations(64, 3, speed=1.5)
    temporal = model()
    flat = train.flatten(0, 1)
    temporal.set_statistics(flat.mean(0), flat.std(0))
    before = temporal.errors(held_out).mean().item()
    optimizer = torch.optim.AdamW(temporal.parameters(), lr=2e-3)
    for _ in range(15):
        for index in torch.randperm(512).split(32):
            loss = temporal(train[index], mode='loss')['loss']
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    after = temporal.errors(held_out)
    diagnostics = temporal.diagnostics(held_out)
    assert after.mean() < 0.1 * before
    assert diagnostics['err_over_copy'] < 0.3 and diagnostics['err_over_mean'] < 0.1
    assert diagnostics['fused_std'] > 0.5
    assert temporal.errors(faster).min() > after.max()


def test_paper_size():
    """One step of optimisation at the published sizes (section 4.2)."""
    torch.manual_seed(0)
    temporal = TemporalModel(
        32, 256, dict(type='CrossAttentionFusion'), dict(type='SMM', num_components=64)
    )
    assert (temporal.smm.in_channels, temporal.smm.out_channels) == (8192, 16384)
    inputs = torch.randn(2, 6, 2, 32, 256)
    optimizer = torch.optim.AdamW(temporal.parameters(), lr=5e-5)
    loss = temporal(inputs, mode='loss')['loss']
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in temporal.parameters())
    optimizer.step()
    assert temporal(inputs).shape == (2, 2, 32, 256)
    assert temporal(inputs, mode='loss')['loss'] < loss
