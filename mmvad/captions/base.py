"""What describes the objects of a frame in sentences."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

from mmvad.structures import FrameObjects


class BaseCaptioner(ABC):
    """Describe every object of a frame with the four sentences of section 3.2 of the paper."""

    def fit(self, samples: Iterable[FrameObjects]) -> None:  # noqa: B027 (most have nothing to fit)
        """Learn from the training split whatever :meth:`caption` needs."""

    def state(self) -> dict[str, Any]:
        """What :meth:`fit` learnt, as values JSON can hold."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Take over what :meth:`state` returned."""

    @abstractmethod
    def caption(self, sample: FrameObjects) -> list[dict[str, str]]:
        """One ``{'action', 'appearance', 'background', 'object'}`` dict of sentences per object."""

    def captions(self, samples: Iterable[FrameObjects]) -> Iterator[list[dict[str, str]]]:
        """What :meth:`caption` says of one frame after another, in their order.

        A captioner whose model is faster on many objects may look at several frames at once.
        """
        return map(self.caption, samples)
