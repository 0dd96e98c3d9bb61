"""State Machine Module: the fixed system, its discretisation and the two forms of the predictor."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.linalg import expm
from scipy.signal import cont2discrete
from scipy.special import eval_legendre, roots_legendre

from mmvad.models.smm import SMM, legendre_basis, legendre_lti
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
    assert ours_a.dtype == ours_b.dtype == np.float64
    np.testing.assert_allclose(ours_a, a, atol=1e-10)
    np.testing.assert_allclose(ours_b, b, atol=1e-12)


@pytest.mark.parametrize(('order', 'window'), [(1, 5), (8, 3), (64, 5)])
def test_zero_order_hold(order, window, double):
    """A step with constant input has the closed form exp(A), A^-1 (exp(A) - 1) B."""
    a, b = legendre_lti(order, window)
    model = SMM(4, num_components=order, window=window)
    np.testing.assert_allclose(model.A.numpy(), expm(a), atol=1e-10)
    held = np.linalg.solve(a, (expm(a) - np.eye(order)) @ b)
    np.testing.assert_allclose(model.B.numpy(), held, atol=1e-10)


def test_state_holds_the_legendre_coefficients_of_the_window(double):
    order, window, dt = 12, 1500, 1e-3
    theta = window * dt

    def signal(t):
        return np.sin(2.1 * t) + 0.4 * np.cos(3.3 * t + 1) + 0.2

    model = SMM(1, num_components=order, window=window)
    a, b = model.A.numpy(), model.B.numpy()
    state = np.zeros(order)
    now = 4 * theta  # the zero state has left the window long since
    for index in range(round(now / dt)):
        state = a @ state + b * signal((index + 0.5) * dt)
    expected = legendre_projection(signal, now, theta, order)
    np.testing.assert_allclose(state, expected, atol=2e-3)
    assert np.abs(expected).max() > 0.3

    # and so it gives the signal back, in forward time
    at = np.linspace(now - theta, now, 50)
    basis = legendre_basis(order, at, now - theta, now)
    np.testing.assert_allclose(basis @ state, signal(at), atol=2e-2)


def test_basis_against_scipy_and_its_domain():
    steps = [1, 2.5, 4, 6]
    expected = np.stack([eval_legendre(o, 2 * (np.array(steps) - 1) / 5 - 1) for o in range(64)], 1)
    np.testing.assert_allclose(legendre_basis(64, steps, 1, 6), expected, atol=1e-12)
    assert legendre_basis(1, steps, 1, 6).shape == (4, 1)
    for steps, low, high in (([7], 1, 6), ([0.5], 1, 6), ([float('nan')], 1, 6), ([2], 2, 2)):
        with pytest.raises(ValueError, match=r'steps: expected inside \[low, high\]'):
            legendre_basis(64, steps, low, high)


def test_basis_of_shifted_steps_by_hand(double):
    """L = 3, horizon 2: steps 3, 4, 5 of the domain 1 ... 5 are 0, 1/2, 1 in [-1, 1]."""
    model = SMM(4, num_components=4, window=3, horizon=2)
    expected = [[1, 0, -1 / 2, 0], [1, 1 / 2, -1 / 8, -7 / 16], [1, 1, 1, 1]]
    np.testing.assert_allclose(model.basis.numpy(), expected, atol=1e-15)


def random_model(drive: str, **kwargs) -> SMM:
    model = SMM(7, drive=drive, **kwargs)
    for parameter in model.parameters():  # biases and C of a size that shows in the result
        torch.nn.init.normal_(parameter, std=0.5)
    return model


@lru_cache
def projected_system(order: int, theta: float) -> tuple[np.ndarray, np.ndarray]:
    """A and B of one unit of time, from the projection's derivative by (here exact) quadrature."""
    nodes, weights = roots_legendre(order + 1)
    values = np.stack([eval_legendre(o, nodes) for o in range(order)])
    slopes = np.stack([np.polynomial.Legendre.basis(o).deriv()(nodes) for o in range(order)])
    start = np.array([eval_legendre(o, -1.0) for o in range(order)])
    scale = (2 * np.arange(order) + 1) / theta
    a = -scale[:, None] * (np.outer(start, start) + (slopes * weights) @ values.T)
    system = (a, scale[:, None], np.eye(order), np.zeros((order, 1)))
    a, b, *_ = cont2discrete(system, 1.0, method='zoh')
    return a, b[:, 0]


def paper_prediction(model: SMM, v: np.ndarray) -> np.ndarray:
    """Eq. 2-6 of one window, (L, in) to (L, out), sum by sum, with the present at t = 0."""
    order, window, horizon = model.num_components, model.window, model.horizon
    weight = {name: value.detach().numpy() for name, value in model.named_parameters()}
    a, b = projected_system(order, float(window))
    times = range(1 - window, 1)

    def motion_component(o: int, step: int) -> float:
        """g_o on 1 ... L + horizon."""
        return eval_legendre(o, (2 * step - 1 - (window + horizon)) / (window + horizon - 1))

    # Object Feature Encoder: u(tau)
    u = {
        tau: weight['encoder.weight'] @ v[index] + weight['encoder.bias']
        for index, tau in enumerate(times)
    }
    # Eq. 5, the sum over o inside each term
    x = np.zeros(order)
    for o in range(order):
        for tau in times:
            response = weight['C.weight'][o] @ np.linalg.matrix_power(a, -tau) @ b
            x[o] += response * (sum(u[tau]) if model.drive == 'sum' else u[tau][o])
    # Eq. 6 and Object Feature Decoder
    predicted = []
    for tau in times:
        shifted = [x[o] * motion_component(o, tau + window + horizon) for o in range(order)]
        predicted.append(weight['decoder.weight'] @ shifted + weight['decoder.bias'])
    return np.array(predicted)


DRIVES = pytest.mark.parametrize('drive', ['sum', 'per_component'])
SIZES = pytest.mark.parametrize(
    ('window', 'horizon'), [(5, 1), (5, 2), (5, 3), (8, 3), (1, 1), (3, 5)]
)


@DRIVES
@SIZES
@pytest.mark.parametrize('sizes', [dict(num_components=6, out_channels=4), dict(num_components=64)])
def test_the_papers_equations(drive, window, horizon, sizes, double):
    """Both forms and the sums of the paper give the same L shifted steps."""
    torch.manual_seed(0)
    model = random_model(drive, window=window, horizon=horizon, **sizes)
    v = torch.randn(3, window, 7)
    prediction = model(v)
    assert prediction.shape == (3, window, model.out_channels)
    expected = np.stack([paper_prediction(model, one.numpy()) for one in v])
    np.testing.assert_allclose(prediction.detach().numpy(), expected, rtol=1e-9, atol=1e-10)

    state = model.initial_state(3)
    for step in v.unbind(1):
        recurrent, state = model.step(step, state)
    torch.testing.assert_close(recurrent, prediction, rtol=1e-10, atol=1e-11)

    # a stream that keeps u has the exact window for ever
    stream = torch.randn(3, 3, 7)
    u = torch.cat([model.encode(v), model.encode(stream)], dim=1)
    exact = torch.cat([v, stream], dim=1)[:, -window:]
    torch.testing.assert_close(model.predict(u[:, -window:]), model(exact))


@DRIVES
@SIZES
def test_the_basis_matters(drive, window, horizon, double):
    """Ones in its place would give every step the newest one's prediction, and only that right."""
    torch.manual_seed(0)
    model = random_model(drive, window=window, horizon=horizon, num_components=6)
    v = torch.randn(3, window, 7)
    expected = torch.from_numpy(np.stack([paper_prediction(model, one.numpy()) for one in v]))
    for older, newer in zip(expected.unbind(1), expected.unbind(1)[1:], strict=False):
        assert (older - newer).abs().max() > 0.1
    model.basis.fill_(1)
    prediction = model(v)
    torch.testing.assert_close(prediction[:, -1], expected[:, -1])
    assert all((prediction[:, k] - expected[:, k]).abs().max() > 0.1 for k in range(window - 1))
    assert model.unseen == min(window, horizon)


def test_horizon_enters_the_network(double):
    """With the same weights, the steps before the newest one move with the horizon."""
    torch.manual_seed(0)
    v = torch.randn(3, 5, 7)
    near = random_model('sum', num_components=6)
    far = random_model('sum', num_components=6, horizon=3)
    far.load_state_dict(near.state_dict())
    difference = (near(v) - far(v)).abs().amax(dim=(0, 2))
    assert difference[:-1].min() > 0.1 and difference[-1] < 1e-12


@DRIVES
def test_float32_holds_the_paper_size(drive, double):
    torch.manual_seed(0)
    model = SMM(256, num_components=64, window=5, drive=drive)
    v = torch.randn(8, 5, 256)
    exact = model(v)
    assert exact.shape == (8, 5, 256)
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
        prediction = prediction - prediction.mean(0)
        # of the unseen step, and of all steps together: they share x
        parts = (prediction[:, -1], prediction.flatten(1))
        ranks[drive] = [torch.linalg.matrix_rank(part).item() for part in parts]
    assert ranks == dict(sum=[5, 5], per_component=[16, 16])


def test_forgets_what_left_the_window(double):
    """The figures of the docstring: the running state's memory beyond the window."""
    model = SMM(4, num_components=64, window=5)
    a, b = model.A, model.B
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
