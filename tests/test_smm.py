"""State Machine Module: the fixed system, its discretisation and the two forms of the predictor."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.signal import cont2discrete
from scipy.special import eval_legendre, roots_legendre

from mmvad.models.smm import SMM, discretize_zoh, legendre_basis, legendre_lti
from mmvad.registry import MODELS


@pytest.fixture
def double():
    """Builds what a test builds in float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def legendre_projection(signal, now: float, theta: float, order: int) -> np.ndarray:
    """Coefficients of the last ``theta`` seconds on P_0 ... P_{order-1}, by quadrature."""
    nodes, weights = roots_legendre(80)
    values = signal(now + theta * (nodes - 1) / 2)
    return np.array(
        [(2 * o + 1) / 2 * np.sum(weights * values * eval_legendre(o, nodes)) for o in range(order)]
    )


@pytest.mark.parametrize(('order', 'theta'), [(1, 2.0), (6, 5.0), (9, 0.7)])
def test_lti_from_projection_integrals(order, theta):
    """Rows of A and B from d/dt of the projection, its integrals done numerically."""
    a = np.zeros((order, order))
    for row in range(order):
        scale = (2 * row + 1) / theta
        slope = np.polynomial.Legendre.basis(row).deriv()
        for column in range(order):
            # the sample that leaves is read back from the state at x = -1
            leaving = -eval_legendre(row, -1) * eval_legendre(column, -1)
            inside, _ = quad(lambda x, s=slope, c=column: s(x) * eval_legendre(c, x), -1, 1)
            a[row, column] = scale * (leaving - inside)
    b = (2 * np.arange(order) + 1) / theta  # the sample that enters, P_o(1) = 1
    ours_a, ours_b = legendre_lti(order, theta)
    assert ours_a.dtype == ours_b.dtype == torch.float64
    np.testing.assert_allclose(ours_a.numpy(), a, atol=1e-10)
    np.testing.assert_allclose(ours_b.numpy(), b, atol=1e-12)


@pytest.mark.parametrize(('order', 'dt'), [(1, 1.0), (8, 0.1), (64, 1.0)])
def test_zero_order_hold_against_scipy(order, dt):
    a, b = legendre_lti(order, 5.0)
    system = (a.numpy(), b.numpy()[:, None], np.eye(order), np.zeros((order, 1)))
    expected_a, expected_b, *_ = cont2discrete(system, dt, method='zoh')
    ours_a, ours_b = discretize_zoh(a, b, dt)
    np.testing.assert_allclose(ours_a.numpy(), expected_a, atol=1e-10)
    np.testing.assert_allclose(ours_b.numpy(), expected_b[:, 0], atol=1e-10)


def test_state_holds_the_legendre_coefficients_of_the_window():
    order, theta, dt = 12, 1.5, 1e-3

    def signal(t):
        return np.sin(2.1 * t) + 0.4 * np.cos(3.3 * t + 1) + 0.2

    a, b = (m.numpy() for m in discretize_zoh(*legendre_lti(order, theta), dt))
    state = np.zeros(order)
    now = 4 * theta  # the zero state has left the window long since
    for index in range(round(now / dt)):
        state = a @ state + b * signal((index + 0.5) * dt)
    expected = legendre_projection(signal, now, theta, order)
    np.testing.assert_allclose(state, expected, atol=2e-3)
    assert np.abs(expected).max() > 0.3

    # and so it gives the signal back, in forward time
    at = np.linspace(now - theta, now, 50)
    basis = legendre_basis(order, at, now - theta, now).numpy()
    np.testing.assert_allclose(basis @ state, signal(at), atol=2e-2)


def test_basis_against_scipy_and_its_domain():
    steps = [1, 2.5, 4, 6]
    expected = np.stack([eval_legendre(o, 2 * (np.array(steps) - 1) / 5 - 1) for o in range(64)], 1)
    np.testing.assert_allclose(legendre_basis(64, steps, 1, 6).numpy(), expected, atol=1e-12)
    assert legendre_basis(1, steps, 1, 6).shape == (4, 1)
    with pytest.raises(ValueError, match=r'inside \[low, high\]'):
        legendre_basis(64, [7], 1, 6)


def random_model(drive: str, **kwargs) -> SMM:
    model = SMM(7, drive=drive, **kwargs)
    for parameter in model.parameters():  # biases and C of a size that shows in the result
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def naive_prediction(model: SMM, v: np.ndarray) -> np.ndarray:
    """Eq. 2-6 of one window (L, in), written as sums over steps and components."""
    order, window = model.num_components, model.window
    weight = {name: value.detach().numpy() for name, value in model.named_parameters()}
    continuous_a, continuous_b = (m.numpy() for m in legendre_lti(order, window))
    system = (continuous_a, continuous_b[:, None], np.eye(order), np.zeros((order, 1)))
    a, b, *_ = cont2discrete(system, 1.0, method='zoh')
    u = v @ weight['encoder.weight'].T + weight['encoder.bias']
    x = np.zeros(order)
    for component in range(order):
        state = np.zeros(order)
        for step in range(window):
            power = np.linalg.matrix_power(a, window - 1 - step) @ b[:, 0]
            state += power * (u[step].sum() if model.drive == 'sum' else u[step, component])
        x[component] = weight['C.weight'][component] @ state
    end = window + model.horizon
    shifted = x * np.array([eval_legendre(o, 2 * (end - 1) / (end - 1) - 1) for o in range(order)])
    return shifted @ weight['decoder.weight'].T + weight['decoder.bias']


@pytest.mark.parametrize('drive', ['sum', 'per_component'])
@pytest.mark.parametrize(
    'sizes', [dict(), dict(num_components=3, window=1), dict(out_channels=4, window=8, horizon=3)]
)
def test_both_forms_and_the_naive_sum_agree(drive, sizes, double):
    torch.manual_seed(0)
    model = random_model(drive, **sizes)
    v = torch.randn(4, model.window, 7)
    prediction = model(v)
    assert prediction.shape == (4, model.out_channels)
    expected = np.stack([naive_prediction(model, window.numpy()) for window in v])
    np.testing.assert_allclose(prediction.detach().numpy(), expected, rtol=1e-9, atol=1e-10)

    state = model.initial_state(4)
    for step in v.unbind(1):
        recurrent, state = model.step(step, state)
    torch.testing.assert_close(recurrent, prediction, rtol=1e-10, atol=1e-11)

    # a stream that keeps u has the exact window for ever
    stream = torch.randn(4, 3, 7)
    u = torch.cat([model.encode(v), model.encode(stream)], dim=1)
    window = torch.cat([v, stream], dim=1)[:, -model.window :]
    torch.testing.assert_close(model.predict(u[:, -model.window :]), model(window))


@pytest.mark.parametrize('drive', ['sum', 'per_component'])
def test_float32_holds_the_paper_size(drive, double):
    torch.manual_seed(0)
    model = SMM(256, num_components=64, window=5, drive=drive)
    v = torch.randn(8, 5, 256)
    exact = model(v)
    single = model.float()
    state = single.initial_state(8)
    for step in v.float().unbind(1):
        recurrent, state = single.step(step, state)
    scale = exact.abs().max()
    assert (single(v.float()) - exact).abs().max() < 1e-5 * scale
    assert (recurrent - exact).abs().max() < 1e-5 * scale


def test_drive_decides_the_rank():
    torch.manual_seed(0)
    v = torch.randn(400, 5, 96)
    ranks = {}
    for drive in ('sum', 'per_component'):
        with torch.no_grad():
            prediction = SMM(96, num_components=16, drive=drive).double()(v.double())
        ranks[drive] = torch.linalg.matrix_rank(prediction - prediction.mean(0)).item()
    assert ranks == dict(sum=5, per_component=16)


def test_forgets_what_left_the_window():
    """The figures of the docstring: the running state's memory beyond the window."""
    a, b = discretize_zoh(*legendre_lti(64, 5.0))
    weight = [(torch.linalg.matrix_power(a, k) @ b).norm().item() for k in range(7)]
    assert min(weight[:5]) > 0.8 * weight[0]
    assert weight[5] / weight[0] == pytest.approx(0.13, abs=0.005)
    assert weight[6] / weight[0] == pytest.approx(0.003, abs=0.0005)


def test_weights_and_state_dict():
    torch.manual_seed(0)
    model = MODELS.build(dict(type='SMM', in_channels=512, out_channels=1024))
    assert sorted(model.state_dict()) == [
        'C.weight',
        'decoder.bias',
        'decoder.weight',
        'encoder.bias',
        'encoder.weight',
    ]
    for layer in (model.encoder, model.C, model.decoder):
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
        assert abs(layer.weight.mean().item()) < 2e-3
    assert not model.encoder.bias.any() and not model.decoder.bias.any()
    assert SMM(9).out_channels == 9


@pytest.mark.parametrize(
    'arguments', [dict(drive='mean'), dict(window=0), dict(horizon=0), dict(num_components=0)]
)
def test_refuses_impossible_arguments(arguments):
    with pytest.raises(ValueError, match='expected'):
        SMM(4, **arguments)


def test_refuses_another_window():
    with pytest.raises(ValueError, match=r'L=5, O=64'):
        SMM(4)(torch.zeros(2, 6, 4))
