"""What mixes the steps of a sequence: SMM, and what it is compared with at equal parameters.

Shape letters:
    N: clips.
    T: steps of a clip, any number.
    C: features a step.
    h, w: cells of a feature map.

A mixer takes pooled features (N, T, C), oldest first, and adds to each step what it makes of that
step and the ones before (of a :class:`ConvMixer`, of the ones around).
"""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmvad.registry import MODELS

from .smm import SMM


def pooled_steps(x: Tensor | Sequence[Tensor], num_segs: int | None = None) -> Tensor:
    """Features (N, T, C) of any layout that mmaction2's recognisers hand on.

    Args:
        x: (N, T, C) as they are; (N * T, C, h, w) or (N * T, C) of a ``Recognizer2D``;
            (N, C, T, h, w) of a ``Recognizer3D`` or of a neck; of a list of these, the last.
        num_segs: T, where steps stand in the batch.

    Raises:
        ValueError: For another shape, or a batch that is no multiple of ``num_segs``.
    """
    if not isinstance(x, Tensor):
        x = x[-1]
    if x.ndim == 5:
        return x.mean(dim=(3, 4)).transpose(1, 2)
    if x.ndim == 3:
        return x
    if x.ndim not in (2, 4):
        raise ValueError(
            f'x: expected (N, T, C), (N*T, C, h, w) or (N, C, T, h, w), got {tuple(x.shape)}'
        )
    if not num_segs or len(x) % num_segs:
        raise ValueError(
            f'num_segs: expected what divides the batch of {tuple(x.shape)}, got {num_segs}'
        )
    flat = x if x.ndim == 2 else x.mean(dim=(2, 3))
    return flat.reshape(-1, num_segs, flat.shape[1])


@MODELS.register_module()
class SMMMixer(BaseModule):
    """State Machine Module over a sequence: adds the newest step that it predicts.

    Args:
        in_channels: C.
        num_components, window, horizon, drive, init_std: Of :class:`~mmvad.models.SMM`; other than
            the paper's, ``drive`` gives every component its own state, so that what is added is
            not of the rank of the window.
        init_cfg: MMEngine initialisation.
    """

    def __init__(
        self,
        in_channels: int,
        num_components: int = 64,
        window: int = 5,
        horizon: int = 1,
        drive: str = 'per_component',
        init_std: float = 0.02,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.smm = SMM(
            in_channels,
            num_components=num_components,
            window=window,
            horizon=horizon,
            drive=drive,
            init_std=init_std,
        )

    def forward(self, v: Tensor) -> Tensor:
        """(N, T, C) to the same."""
        return v + self.smm.scan(v)[0]


@MODELS.register_module()
class GRUMixer(BaseModule):
    """A gated recurrent unit, of which a linear layer is added.

    Args:
        in_channels: C.
        hidden: Its state; with 32, parameters equal those of SMM with O = 64 at C = 512.
        init_cfg: MMEngine initialisation.
    """

    def __init__(self, in_channels: int, hidden: int = 32, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg=init_cfg)
        self.gru = nn.GRU(in_channels, hidden, batch_first=True)
        self.out = nn.Linear(hidden, in_channels)

    def forward(self, v: Tensor) -> Tensor:
        """(N, T, C) to the same."""
        return v + self.out(self.gru(v)[0])


@MODELS.register_module()
class ConvMixer(BaseModule):
    """A temporal convolution between two of one step.

    Args:
        in_channels: C.
        hidden: Channels between; with 54, parameters equal those of SMM with O = 64 at C = 512.
        kernel_size: Steps that it sees, odd.
        init_cfg: MMEngine initialisation.
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int = 54,
        kernel_size: int = 5,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if kernel_size % 2 == 0:
            raise ValueError(f'kernel_size: expected an odd number of steps, got {kernel_size}')
        self.layers = nn.Sequential(
            nn.Conv1d(in_channels, hidden, 1),
            nn.ReLU(),
            nn.Conv1d(hidden, hidden, kernel_size, padding=kernel_size // 2),
            nn.ReLU(),
            nn.Conv1d(hidden, in_channels, 1),
        )

    def forward(self, v: Tensor) -> Tensor:
        """(N, T, C) to the same."""
        return v + self.layers(v.transpose(1, 2)).transpose(1, 2)


@MODELS.register_module()
class StepMixer(BaseModule):
    """Two linear layers of each step by itself: average pooling with as many parameters.

    Args:
        in_channels: C.
        hidden: Features between; with 68, parameters equal those of SMM with O = 64 at C = 512.
        init_cfg: MMEngine initialisation.
    """

    def __init__(self, in_channels: int, hidden: int = 68, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg=init_cfg)
        self.layers = nn.Sequential(
            nn.Linear(in_channels, hidden), nn.ReLU(), nn.Linear(hidden, in_channels)
        )

    def forward(self, v: Tensor) -> Tensor:
        """(N, T, C) to the same."""
        return v + self.layers(v)


@MODELS.register_module()
class SMMNeck(BaseModule):
    """State Machine Module between a backbone and any head of mmaction2.

    Cells of a feature map are averaged, SMM goes over the steps, and what it adds to a step is
    added to all of the step's cells.

    Args:
        in_channels: C of the level that is taken.
        level: Which of the levels that a backbone gives, where it gives several, as those of a
            ``Recognizer2D`` with a neck must.
        num_segments: T, for (N * T, C, h, w); a recogniser that has regrouped them needs none.
        average: Whether the steps are averaged at the end, for heads of images such as ``TSNHead``.
        init_cfg: MMEngine initialisation.
        **smm: Arguments of :class:`SMMMixer`.
    """

    def __init__(
        self,
        in_channels: int,
        level: int = -1,
        num_segments: int | None = None,
        average: bool = False,
        init_cfg: dict | None = None,
        **smm,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.level = level
        self.num_segments = num_segments
        self.average = average
        self.mixer = SMMMixer(in_channels, **smm)

    def forward(
        self, x: Tensor | Sequence[Tensor], data_samples: Sequence | None = None
    ) -> tuple[Tensor, dict]:
        """
        Args:
            x: (N, C, T, h, w), (N * T, C, h, w), (N, T, C), or a list with a tensor a level.
            data_samples: Not looked at.

        Returns:
            The level in the layout it came in, with T = 1 (of (N * T, C, h, w) and (N, T, C): N in
            place of N * T, (N, 1, C)) where steps are averaged; and no losses.
        """
        if not isinstance(x, Tensor):
            x = x[self.level]
        steps = pooled_steps(x, self.num_segments)
        added = self.mixer(steps) - steps
        if x.ndim == 5:
            x = x + added.transpose(1, 2)[..., None, None]
            return (x.mean(dim=2, keepdim=True) if self.average else x), {}
        if x.ndim == 3:
            x = x + added
            return (x.mean(dim=1, keepdim=True) if self.average else x), {}
        x = x + added.flatten(0, 1).reshape(*x.shape[:2], *([1] * (x.ndim - 2)))
        if self.average:
            x = x.reshape(-1, self.num_segments, *x.shape[1:]).mean(dim=1)
        return x, {}
