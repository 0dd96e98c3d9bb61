"""State Machine Module (paper section 3.3): the next features from fixed motion components.

Shape letters:
    B: batch.
    L: window, input steps.
    O: motion components (Legendre polynomials P_0 ... P_{O-1}).

Orientation. Time runs forward inside the window, as in Eq. 2: the state of order O holds the
coefficients of the last ``theta`` seconds on plain Legendre polynomials,

    u(tau) ~ sum_o c_o(t) P_o(2 (tau - t) / theta + 1),    tau in [t - theta, t],

so that P_o = 1 at the newest sample.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmvad.registry import MODELS


def legendre_lti(num_components: int, theta: float) -> tuple[Tensor, Tensor]:
    """Continuous-time HiPPO-LegT system ``dc/dt = A c + B u`` over a sliding window.

    Follows from differentiating the projection of the window on P_o under the integral, the sample
    that leaves the window being read back from the state (the scaling of Legendre Memory Units,
    here with time running forward).

    Args:
        num_components: O, order of the system.
        theta: length of the window, in units of time.

    Returns:
        A (O, O) and B (O,), float64.
    """
    if num_components < 1 or theta <= 0:
        raise ValueError(
            'expected num_components >= 1 and theta > 0, '
            f'got num_components={num_components}, theta={theta}'
        )
    order = torch.arange(num_components, dtype=torch.float64)
    scale = (2 * order + 1) / theta
    # (-1)^(row - column) above the diagonal, 1 on it and below
    sign = 1 - 2 * ((order[:, None] - order[None, :]).abs() % 2)
    pattern = torch.where(order[:, None] >= order[None, :], torch.ones_like(sign), sign)
    return -scale[:, None] * pattern, scale


def discretize_zoh(a: Tensor, b: Tensor, dt: float = 1.0) -> tuple[Tensor, Tensor]:
    """Discretises ``dc/dt = A c + B u`` with u held constant over each step.

    One matrix exponential of ``[[A, B], [0, 0]] dt`` gives both matrices, without inverting A.

    Args:
        a: (O, O).
        b: (O,).
        dt: length of a step, in the unit of ``a``'s time.

    Returns:
        A (O, O) and B (O,) of ``c_t = A c_{t-1} + B u_t``, float64.
    """
    order = b.numel()
    augmented = torch.zeros(order + 1, order + 1, dtype=torch.float64)
    augmented[:order, :order] = a
    augmented[:order, order] = b
    exponential = torch.linalg.matrix_exp(augmented * dt)
    return exponential[:order, :order], exponential[:order, order]


def legendre_basis(num_components: int, steps: Sequence[float], low: float, high: float) -> Tensor:
    """Motion components g_o (Eq. 2 and 6): P_o with [low, high] mapped into [-1, 1].

    Args:
        num_components: O.
        steps: where to evaluate, each inside [low, high]; outside, P_o grows beyond any use
            (P_63 one step after a window of five is about 1e25).
        low: step that maps to -1.
        high: step that maps to 1.

    Returns:
        (len(steps), O), float64.

    Raises:
        ValueError: for an empty domain or a step outside of it.
    """
    at = torch.as_tensor(steps, dtype=torch.float64)
    if not low < high or bool(((at < low) | (at > high)).any()):
        raise ValueError(f'expected steps inside [low, high] = [{low}, {high}], got {list(steps)}')
    x = 2 * (at - low) / (high - low) - 1
    values = [torch.ones_like(x), x]
    for order in range(2, num_components):  # Bonnet's recurrence, stable inside [-1, 1]
        values.append(((2 * order - 1) * x * values[-1] - (order - 1) * values[-2]) / order)
    return torch.stack(values[:num_components], dim=-1)


@MODELS.register_module()
class SMM(BaseModule):
    """Predicts the features ``horizon`` steps ahead from the last ``window`` ones (Eq. 2-6).

    The Object Feature Encoder's output is taken as u itself. Every component is an affine function
    of the window, x_o = sum_j K[o, j] drive[j], with the kernel K = C [A^{L-1}B ... AB B] of Eq. 5.
    ``drive`` says what enters the state:

    - ``'sum'`` (the paper): one state of order O for all components, driven by the scalar
      sum_o u_o(t). The prediction is then an affine function of L scalars.
    - ``'per_component'``: component o has a state of its own, of order O, driven by u_o(t) alone,
      c_o(t) = A c_o(t-1) + B u_o(t), and row o of C reads it: x_o = sum_k C[o, k] c_o,k. The kernel
      is the same K, applied to each component's own drive; the parameters are the same in number.

    Components are evaluated on a domain that holds window and horizon, 1 ... L + horizon mapped
    into [-1, 1]; the one value of Eq. 6 that the prediction needs, g_o(L + horizon), is at its end.

    Two forms give the same numbers when the state is zero at the start of the window: ``forward``
    (Eq. 5, one matrix product) and ``step`` (Eq. 3, constant cost). A state that runs on keeps a
    decaying trace of samples older than the window (at O = 64, L = 5 the sample that has just left
    still weighs 13 % of the newest one, the sample before it 0.3 %). For the exact window on a
    stream, keep the last L outputs of :meth:`encode` (O numbers a step) and call :meth:`predict`.

    All weights start from N(0, ``init_std``), all biases from zero (paper section 4.2).

    Args:
        in_channels: features a step.
        out_channels: predicted features; ``None`` for ``in_channels``.
        num_components: O.
        window: L.
        horizon: steps between the last input and the prediction.
        drive: ``'sum'`` or ``'per_component'``.
        init_std: standard deviation of the initial weights.
        init_cfg: MMEngine initialisation that overrides the above.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int | None = None,
        num_components: int = 64,
        window: int = 5,
        horizon: int = 1,
        drive: str = 'sum',
        init_std: float = 0.02,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if drive not in ('sum', 'per_component'):
            raise ValueError(f"drive: expected 'sum' or 'per_component', got {drive!r}")
        if window < 1 or horizon < 1:
            raise ValueError(
                f'expected window >= 1 and horizon >= 1, got window={window}, horizon={horizon}'
            )
        # Computed in float64; the results are at most 1 in size, so float32 holds them.
        a, b = discretize_zoh(*legendre_lti(num_components, float(window)))

        self.in_channels = in_channels
        self.out_channels = in_channels if out_channels is None else out_channels
        self.num_components = num_components
        self.window = window
        self.horizon = horizon
        self.drive = drive

        self.encoder = nn.Linear(in_channels, num_components)
        self.C = nn.Linear(num_components, num_components, bias=False)
        self.decoder = nn.Linear(num_components, self.out_channels)
        for layer in (self.encoder, self.C, self.decoder):
            nn.init.normal_(layer.weight, std=init_std)
        for layer in (self.encoder, self.decoder):
            nn.init.zeros_(layer.bias)

        impulse = [b]
        for _ in range(window - 1):
            impulse.append(a @ impulse[-1])
        end = window + horizon
        basis = legendre_basis(num_components, [end], 1, end)[0]
        dtype = torch.get_default_dtype()
        # Fixed by the arguments, so not part of the weights.
        self.register_buffer('A', a.to(dtype), persistent=False)
        self.register_buffer('B', b.to(dtype), persistent=False)
        # (O, L), oldest step first: columns A^{L-1}B, ..., AB, B
        impulse = torch.stack(impulse[::-1], dim=1)
        self.register_buffer('impulse', impulse.to(dtype), persistent=False)
        self.register_buffer('basis', basis.to(dtype), persistent=False)

    def forward(self, v: Tensor) -> Tensor:
        """Convolution form (Eq. 5).

        Args:
            v: (B, L, in_channels), oldest first.

        Returns:
            (B, out_channels), the features ``horizon`` steps after the last input.
        """
        return self.predict(self.encode(v))

    def encode(self, v: Tensor) -> Tensor:
        """Object Feature Encoder: (..., in_channels) -> u (..., O)."""
        return self.encoder(v)

    def predict(self, u: Tensor) -> Tensor:
        """Prediction from a window of encoded features.

        Args:
            u: (B, L, O) from :meth:`encode`, oldest first.

        Returns:
            (B, out_channels).
        """
        if u.ndim != 3 or u.shape[1:] != (self.window, self.num_components):
            raise ValueError(
                f'u: expected (B, L={self.window}, O={self.num_components}), got {tuple(u.shape)}'
            )
        kernel = self.C(self.impulse.T).T  # (O, L)
        if self.drive == 'sum':
            x = u.sum(dim=-1) @ kernel.T
        else:
            x = torch.einsum('blo,ol->bo', u, kernel)
        return self.decoder(x * self.basis)

    def initial_state(self, batch: int) -> Tensor:
        """Zero state for :meth:`step`: (B, O), or (B, O, O) where each component has its own."""
        own = () if self.drive == 'sum' else (self.num_components,)
        return self.A.new_zeros(batch, *own, self.num_components)

    def step(self, v: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Recurrent form (Eq. 3, 4 and 6): one step of a stream.

        Args:
            v: (B, in_channels), the newest features.
            state: from :meth:`initial_state` or from the step before.

        Returns:
            The prediction (B, out_channels) and the new state.
        """
        u = self.encode(v)
        if self.drive == 'sum':
            state = state @ self.A.T + u.sum(dim=-1, keepdim=True) * self.B
            x = self.C(state)
        else:
            state = state @ self.A.T + u.unsqueeze(-1) * self.B
            x = (state * self.C.weight).sum(dim=-1)
        return self.decoder(x * self.basis), state
