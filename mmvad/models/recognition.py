"""Heads for mmaction2's recognisers. Importing this imports mmaction2's models.

Shape letters as in :mod:`mmvad.models.sequence`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmaction.models.heads import BaseHead
from torch import Tensor, nn

from mmvad.registry import MODELS

from .sequence import SMMMixer, pooled_steps


@MODELS.register_module()
class SequenceHead(BaseHead):
    """Classifies clips by the mean over their steps, after a mixer went over these.

    Args:
        num_classes: Classes.
        in_channels: C.
        mixer: Config of a module (N, T, C) to the same, such as ``dict(type='mmvad.GRUMixer')``,
            which gets ``in_channels``.
        num_segments: T of a clip, for testing several crops or clips of a video by a
            ``Recognizer2D``; None: all of a video's steps are one clip.
        dropout_ratio: Before the last layer.
        init_std: Of the last layer's weights.
        **kwargs: Of mmaction2's ``BaseHead``, such as ``loss_cls`` and ``average_clips``.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        mixer: Mapping[str, Any],
        num_segments: int | None = None,
        dropout_ratio: float = 0.4,
        init_std: float = 0.01,
        **kwargs,
    ) -> None:
        super().__init__(num_classes, in_channels, **kwargs)
        self.num_segments = num_segments
        self.mixer = MODELS.build(dict(mixer, in_channels=in_channels))
        self.dropout = nn.Dropout(dropout_ratio)
        self.fc_cls = nn.Linear(in_channels, num_classes)
        nn.init.normal_(self.fc_cls.weight, std=init_std)
        nn.init.zeros_(self.fc_cls.bias)

    def forward(
        self, x: Tensor | Sequence[Tensor], num_segs: int | None = None, **kwargs
    ) -> Tensor:
        """
        Args:
            x: Features in a layout of :func:`~mmvad.models.sequence.pooled_steps`.
            num_segs: Steps of a video, as a ``Recognizer2D`` tells.

        Returns:
            (N, num_classes) scores, a row a clip.
        """
        steps = self.mixer(pooled_steps(x, self.num_segments or num_segs))
        return self.fc_cls(self.dropout(steps.mean(dim=1)))


@MODELS.register_module()
class SMMHead(SequenceHead):
    """A head whose steps go through the State Machine Module.

    Args:
        num_classes, in_channels: As of :class:`SequenceHead`, and so are ``num_segments``,
            ``dropout_ratio`` and what ``BaseHead`` takes.
        num_components, window, horizon, drive: Of :class:`~mmvad.models.sequence.SMMMixer`.
        **kwargs: The rest.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        num_components: int = 64,
        window: int = 5,
        horizon: int = 1,
        drive: str = 'per_component',
        **kwargs,
    ) -> None:
        mixer = dict(
            type=SMMMixer,
            num_components=num_components,
            window=window,
            horizon=horizon,
            drive=drive,
        )
        super().__init__(num_classes, in_channels, mixer, **kwargs)
