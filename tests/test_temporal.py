"""Fusion of the branches and the temporal model."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from mmvad.models.temporal import CrossAttentionFusion, TemporalModel
from mmvad.registry import MODELS

SWITCHES = ('loss_steps', 'score_steps', 'target', 'fusion')


def model(drive: str = 'per_component', num_queries: int = 4, embed_dim: int = 8, **options):
    """Options of the temporal model itself, see SWITCHES, and of its SMM."""
    torch.manual_seed(0)
    switches = {name: options.pop(name) for name in SWITCHES if name in options}
    return MODELS.build(
        dict(
            dict(
                type='TemporalModel',
                num_queries=num_queries,
                embed_dim=embed_dim,
                fusion=dict(type='CrossAttentionFusion', num_heads=2),
                smm=dict(dict(type='SMM', num_components=16, drive=drive), **options),
            ),
            **switches,
        )
    )


@MODELS.register_module(force=True)
class ScaledSum(nn.Module):
    """A fusion that can shrink its output: what the constant solution needs."""

    def __init__(self, num_queries: int, embed_dim: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.scale * features.sum(dim=2)


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
    assert prediction.shape == (7, 5, 2, 4, 8)

    standard = (inputs - mean) / std
    fused = temporal.fusion(standard[:, :5])
    torch.testing.assert_close(prediction, temporal.smm(fused.flatten(2)).view(7, 5, 2, 4, 8))
    both = temporal.predict(inputs)
    assert both[0].equal(prediction)
    torch.testing.assert_close(both[1], standard[:, 1:])
    square = (prediction[:, -1] - standard[:, 5]) ** 2
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


@pytest.mark.parametrize('loss_steps', ['unseen', 'all'])
@pytest.mark.parametrize('score_steps', ['unseen', 'all'])
@pytest.mark.parametrize(('window', 'horizon'), [(5, 1), (5, 3), (2, 4)])
def test_steps_that_count_by_hand(loss_steps, score_steps, window, horizon):
    temporal = model(window=window, horizon=horizon, loss_steps=loss_steps, score_steps=score_steps)
    inputs = torch.randn(3, window + horizon, 2, 4, 8)  # as standardised: the statistics are 0, 1
    prediction = temporal(inputs)
    counted = {
        'all': list(range(window)),
        # times t - L + k + horizon > t, with k counted from 1
        'unseen': [k - 1 for k in range(1, window + 1) if k + horizon > window],
    }

    def mean_error(steps: str, guess) -> torch.Tensor:
        """(B, 2, N_q, E_d), step by step."""
        squares = [(guess(k) - inputs[:, horizon + k]) ** 2 for k in counted[steps]]
        return sum(squares) / len(squares)

    square = mean_error(score_steps, lambda k: prediction[:, k])
    torch.testing.assert_close(temporal.errors(inputs), square.mean((1, 2, 3)))
    torch.testing.assert_close(temporal(inputs, mode='predict'), square.mean((1, 2, 3)))
    torch.testing.assert_close(temporal.error_components(inputs), square.mean(-1))

    result = temporal(inputs, mode='loss')
    loss = mean_error(loss_steps, lambda k: prediction[:, k]).mean()
    copy = mean_error(loss_steps, lambda k: inputs[:, window - 1]).mean()
    mean = mean_error(loss_steps, lambda k: torch.zeros(3, 2, 4, 8)).mean()
    torch.testing.assert_close(result['loss'], loss)
    torch.testing.assert_close(result['err_over_copy'], loss / copy)
    torch.testing.assert_close(result['err_over_mean'], loss / mean)


def test_the_target_is_frozen():
    """The target does not reach the prediction, nor, through it, the loss any parameter."""
    temporal = model()
    inputs = torch.randn(3, 6, 2, 4, 8)
    changed = inputs.clone()
    changed[:, -1] += 1
    assert temporal(inputs).equal(temporal(changed))
    assert not temporal.errors(inputs).equal(temporal.errors(changed))
    assert not any(fusion_gradients(temporal))


def fusion_gradients(temporal: TemporalModel) -> list[float]:
    """Largest gradient of each of the fusion's parameters with the way through SMM cut."""
    nn.init.zeros_(temporal.smm.C.weight)
    temporal(torch.randn(3, temporal.steps, 2, 4, 8), mode='loss')['loss'].backward()
    parameters = temporal.fusion.parameters()
    return [0.0 if p.grad is None else p.grad.abs().max().item() for p in parameters]


@pytest.mark.parametrize('loss_steps', ['unseen', 'all'])
def test_fused_target_by_hand(loss_steps):
    temporal = model(target='fused', horizon=2, loss_steps=loss_steps, score_steps='all')
    assert temporal.target_shape == (4, 8) and temporal.feature_shape == (2, 4, 8)
    assert temporal.smm.out_channels == 32
    mean, std = torch.randn(2, 4, 8), torch.rand(2, 4, 8) + 0.5
    temporal.set_statistics(mean, std)
    inputs = torch.randn(6, 7, 2, 4, 8)
    fused = temporal.fusion((inputs - mean) / std)
    prediction, target = temporal.predict(inputs)
    assert prediction.shape == (6, 5, 4, 8)
    torch.testing.assert_close(target, fused[:, 2:])
    expected = temporal.smm(fused[:, :5].flatten(2)).view(6, 5, 4, 8)
    torch.testing.assert_close(prediction, expected)
    square = (prediction - target) ** 2
    torch.testing.assert_close(temporal.errors(inputs), square.mean((1, 2, 3)))
    with pytest.raises(ValueError, match="target: expected 'branches'.*got 'fused'"):
        temporal.error_components(inputs)

    steps = slice(3, 5) if loss_steps == 'unseen' else slice(5)
    result = temporal(inputs, mode='loss')
    loss = square[:, steps].mean()
    copy = (fused[:, 4:5] - target[:, steps]).square().mean()
    middle = (fused.mean((0, 1)) - target[:, steps]).square().mean()
    torch.testing.assert_close(result['loss'], loss)
    torch.testing.assert_close(result['err_over_copy'], loss / copy)
    torch.testing.assert_close(result['err_over_mean'], loss / middle)
    spread = fused[:, :5].reshape(30, -1).var(0, unbiased=False).sqrt().mean()
    torch.testing.assert_close(result['fused_std'], spread)
    assert not any(result[key].requires_grad for key in result.keys() - {'loss'})


def test_gradient_reaches_the_fusion_through_a_fused_target():
    named = dict(model(target='fused').fusion.named_parameters())
    gradients = dict(zip(named, fusion_gradients(model(target='fused')), strict=True))
    assert all(gradient > 0 for gradient in gradients.values()), gradients


@pytest.mark.parametrize('target', ['branches', 'fused'])
def test_diagnostics_tell_a_collapse(target):
    """On noise nothing can be predicted: only a fused target lets the loss fall all the same."""
    temporal = model(target=target, fusion=dict(type='ScaledSum'))
    noise = torch.randn(64, 6, 2, 4, 8)
    before = temporal(noise, mode='loss')
    optimizer = torch.optim.Adam(temporal.parameters(), lr=2e-2)
    for _ in range(100):
        loss = temporal(torch.randn(64, 6, 2, 4, 8), mode='loss')['loss']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = temporal(noise, mode='loss')
    assert after['err_over_mean'] > 0.9
    if target == 'fused':
        assert after['loss'] < 1e-2 * before['loss']
        assert after['fused_std'] < 0.1 * before['fused_std']
    else:
        assert after['loss'] > 0.9 * before['loss']


@pytest.mark.parametrize('target', ['branches', 'fused'])
@pytest.mark.parametrize('drive', ['sum', 'per_component'])
def test_stream_equals_windows(drive, target):
    """A stream keeps u, O numbers a step, and has every window's prediction."""
    temporal = model(drive, target=target)
    temporal.set_statistics(torch.randn(2, 4, 8), torch.rand(2, 4, 8) + 0.5)
    video = torch.randn(2, 9, 2, 4, 8)
    cache = []
    for step in range(9):
        cache.append(temporal.encode(temporal.standardize(video[:, step : step + 1])))
        if len(cache) >= 5 and step < 8:
            prediction = temporal.predict_encoded(torch.cat(cache[-5:], dim=1))
            expected = temporal(video[:, step - 4 : step + 2])
            assert prediction.shape == (2, 5, *temporal.target_shape)
            torch.testing.assert_close(prediction, expected, rtol=1e-4, atol=1e-6)


def test_horizon():
    temporal = model(horizon=3, window=2)
    assert temporal.steps == 5
    inputs = torch.randn(2, 5, 2, 4, 8)
    between = inputs.clone()
    between[:, 2] = 0  # neither input nor target
    assert temporal.errors(inputs).equal(temporal.errors(between))
    for index in (0, 1, 3, 4):
        changed = inputs.clone()
        changed[:, index] = 0
        assert not temporal.errors(inputs).equal(temporal.errors(changed))
    with pytest.raises(ValueError, match='T=5'):
        temporal(inputs[:, :4])
    with pytest.raises(ValueError, match='mode'):
        temporal(inputs, mode='score')


def test_horizon_of_one_window():
    """Horizon 3, window 4: step 3 is input and the only seen target, the three after it unseen."""
    inputs = torch.randn(2, 7, 2, 4, 8)
    temporal = model(horizon=3, window=4)
    prediction, target = temporal.predict(inputs)
    assert prediction.shape == target.shape == (2, 4, 2, 4, 8) and target.equal(inputs[:, 3:])
    square = (prediction - target) ** 2
    unseen, everything = square[:, 1:], square
    torch.testing.assert_close(temporal.errors(inputs), unseen.mean((1, 2, 3, 4)))
    temporal = model(horizon=3, window=4, score_steps='all')
    torch.testing.assert_close(temporal.errors(inputs), everything.mean((1, 2, 3, 4)))


@pytest.mark.parametrize(
    'options', [dict(loss_steps='last'), dict(score_steps=1), dict(target='frozen')]
)
def test_refuses_unknown_switches(options):
    (name,) = options
    with pytest.raises(ValueError, match=f'{name}: expected'):
        model(**options)


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
    assert temporal(inputs).shape == (2, 5, 2, 32, 256)
    assert temporal(inputs, mode='loss')['loss'] < loss
