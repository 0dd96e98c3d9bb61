"""State Machine Module (paper section 3.3): shifted features from fixed motion components.

Shape letters:
    B: batch.
    L: window, input steps t-L+1 ... t; also the predicted steps, t-L+1+horizon ... t+horizon.
    O: motion components (Legendre polynomials P_0 ... P_{O-1}).

Orientation. Time runs forward inside the window, as in Eq. 2: the state of order O holds the
coefficients of the last ``theta`` seconds on plain Legendre polynomials,

    u(tau) ~ sum_o c_o(t) P_o(2 (tau - t) / theta + 1),    tau in [t - theta, t],

so that P_o = 1 at the newest sample.

The equations, with the horizon for the paper's delta t:

    c(t) = A c(t-1) + B sum_o u_o(t)                                (3)
    x(t) = C c(t)                                                   (4)
    x(t) = sum_j C A^j B sum_o u_o(t-j),    j = 0 ... L-1           (5)
    u^_o(tau + horizon) = x_o(t) g_o(tau - t + L + horizon)         (6)

Eq. 6 holds for every tau of the window, so L steps are predicted, from one x(t).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmengine.model import BaseModule
from scipy.signal import cont2discrete
from scipy.special import eval_legendre
from torch import Tensor, nn
from torch.nn import functional as F

from mmvad.registry import MODELS


def legendre_lti(num_components: int, theta: float) -> tuple[np.ndarray, np.ndarray]:
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
    order = np.arange(num_components)
    scale = (2 * order + 1) / theta
    # (-1)^(row - column) above the diagonal, 1 on it and below
    sign = 1.0 - 2 * (np.abs(order[:, None] - order[None, :]) % 2)
    pattern = np.where(order[:, None] >= order[None, :], 1.0, sign)
    return -scale[:, None] * pattern, scale


def legendre_basis(
    num_components: int, steps: Sequence[float], low: float, high: float
) -> np.ndarray:
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
    at = np.asarray(steps, dtype=np.float64)
    if not low < high or not ((at >= low) & (at <= high)).all():
        raise ValueError(
            f'steps: expected inside [low, high] = [{low}, {high}] with low < high, '
            f'got {list(steps)}'
        )
    position = 2 * (at - low) / (high - low) - 1
    return eval_legendre(np.arange(num_components), position[:, None])


@MODELS.register_module()
class SMM(BaseModule):
    """Predicts the last ``window`` features shifted ``horizon`` steps ahead (Eq. 2-6).

    The Object Feature Encoder's output is taken as u itself. Every component is an affine function
    of the window, x_o = sum_j K[o, j] drive[j], with the kernel K = C [A^{L-1}B ... AB B] of Eq. 5.
    ``drive`` says what enters the state:

    - ``'sum'`` (the paper): one state of order O for all components, driven by the scalar
      sum_o u_o(t). All predicted steps are then affine functions of the same L scalars.
    - ``'per_component'``: component o has a state of its own, of order O, driven by u_o(t) alone,
      c_o(t) = A c_o(t-1) + B u_o(t), and row o of C reads it: x_o = sum_k C[o, k] c_o,k. The kernel
      is the same K, applied to each component's own drive; the parameters are the same in number.

    Predicted step k = 1 ... L is at time t - L + k + ``horizon``; the decoder reads x times
    ``basis[k - 1]``, the components at k + ``horizon`` (Eq. 6). They live on a domain that holds
    window and horizon, 1 ... L + ``horizon`` mapped into [-1, 1]. The last :attr:`unseen` predicted
    steps are news; the ones before them are steps that the window holds.

    When horizon and basis matter. The newest predicted step, t + ``horizon``, is at the end of the
    domain, where every P_o is 1: it is the decoder of x itself, whatever the horizon and the basis
    are. With ``horizon=1`` it is the only unseen step, and with ``window=1`` the only step at all,
    so a model that is trained and scored on it alone would be the same with a basis of ones. The
    basis decides how the other L - 1 steps follow from the same x: it matters with ``horizon`` > 1,
    where several steps are unseen, and wherever all L steps count.

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
        horizon: steps between the last input and the newest predicted step.
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
        a, b = legendre_lti(num_components, float(window))
        read_all = np.eye(num_components), np.zeros((num_components, 1))
        a, b, *_ = cont2discrete((a, b[:, None], *read_all), dt=1.0, method='zoh')

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

        columns = [b]
        for _ in range(window - 1):
            columns.append(a @ columns[-1])
        end = window + horizon
        fixed = dict(
            A=a,  # (O, O)
            B=b[:, 0],  # (O,)
            # (O, L), oldest step first: columns A^{L-1}B, ..., AB, B
            impulse=np.hstack(columns[::-1]),
            # (L, O), row k - 1 is predicted step k
            basis=legendre_basis(num_components, range(1 + horizon, end + 1), 1, end),
        )
        for name, value in fixed.items():
            # Fixed by the arguments, so not part of the weights.
            tensor = torch.tensor(value, dtype=torch.get_default_dtype())
            self.register_buffer(name, tensor, persistent=False)

    @property
    def unseen(self) -> int:
        """Predicted steps that the window does not hold: the last min(L, horizon) of the L."""
        return min(self.window, self.horizon)

    def forward(self, v: Tensor) -> Tensor:
        """Convolution form (Eq. 5).

        Args:
            v: (B, L, in_channels), oldest first.

        Returns:
            (B, L, out_channels), oldest first: the window's steps, each ``horizon`` steps later.
        """
        return self.predict(self.encode(v))

    def encode(self, v: Tensor) -> Tensor:
        """Object Feature Encoder: (..., in_channels) -> u (..., O)."""
        return self.encoder(v)

    def predict(self, u: Tensor) -> Tensor:
        """Prediction from a window of encoded features (Eq. 5 and 6).

        Args:
            u: (B, L, O) from :meth:`encode`, oldest first.

        Returns:
            (B, L, out_channels), as :meth:`forward`.

        Raises:
            ValueError: for another shape.
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
        return self._decode(x)

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
            The prediction (B, L, out_channels), as :meth:`forward`, and the new state.
        """
        x, state = self._advance(self.encode(v), state)
        return self._decode(x), state

    def scan(self, v: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """The newest predicted step after each step of a sequence, as :meth:`step` gives it.

        A sequence that the window holds is one convolution (Eq. 5); a longer one, or one that goes
        on from a state, runs through the recurrent form, at the same cost a step however long.

        Args:
            v: (B, T, in_channels), oldest first, any T from 1 up.
            state: From an earlier part of the sequence; None: it begins here.

        Returns:
            (B, T, out_channels), step t being the prediction for t + ``horizon``, and the state at
            the end, None after a convolution.
        """
        u = self.encode(v)
        if state is None and v.shape[1] <= self.window:
            kernel = self.C(self.impulse.T).T.unsqueeze(1)  # (O, 1, L)
            drive = u.sum(dim=-1, keepdim=True) if self.drive == 'sum' else u
            # Steps before the first are zero, as the state is.
            drive = F.pad(drive.transpose(1, 2), (self.window - 1, 0))
            x = F.conv1d(drive, kernel, groups=drive.shape[1]).transpose(1, 2)
        else:
            state = self.initial_state(len(v)) if state is None else state
            parts = []
            for step in u.unbind(dim=1):
                read, state = self._advance(step, state)
                parts.append(read)
            x = torch.stack(parts, dim=1)
        # Of the newest step every component is 1.
        return self.decoder(x), state

    def _advance(self, u: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One step of the state (Eq. 3 and 4): u (B, O) to x (B, O), and the new state."""
        if self.drive == 'sum':
            state = state @ self.A.T + u.sum(dim=-1, keepdim=True) * self.B
            return self.C(state), state
        state = state @ self.A.T + u.unsqueeze(-1) * self.B
        return (state * self.C.weight).sum(dim=-1), state

    def _decode(self, x: Tensor) -> Tensor:
        """Shifted components (Eq. 6) and Object Feature Decoder: x (B, O) to (B, L, out)."""
        return self.decoder(x.unsqueeze(1) * self.basis)
