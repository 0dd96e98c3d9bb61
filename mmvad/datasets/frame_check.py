"""Frames that show nothing, and how many of them a video may have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any
from zlib import crc32

import cv2
import numpy as np

# Grey levels: a picture of one colour, compressed, stays below it.
_FLAT = 1.0
#: Kinds of frames that show nothing, in words.
EMPTY = dict(flat='of a single colour', frozen='equal to the one before')


@dataclass(frozen=True)
class FrameLimits:
    """Shares of a video's frames above which it is refused, since its scores would mean nothing.

    Args:
        damaged: Frames that a video file does not hold whole.
        flat: Frames of a single colour, as a covered camera or a decoder that fails gives.
        frozen: Frames that equal the one before.
    """

    damaged: float = 0.05
    flat: float = 0.5
    frozen: float = 0.9

    def __post_init__(self) -> None:
        for field in fields(self):
            share = getattr(self, field.name)
            if not (isinstance(share, (int, float)) and 0 <= share <= 1):
                raise ValueError(f'limits.{field.name}: expected a share, 0 to 1, got {share!r}')

    @classmethod
    def of(cls, limits: FrameLimits | Mapping[str, Any] | None) -> FrameLimits:
        """From the dict in a config.

        Raises:
            ValueError: On a key that is none, or no share.
        """
        if isinstance(limits, FrameLimits):
            return limits
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(limits or ()) - set(known)):
            raise ValueError(f'limits.{unknown[0]}: no such limit, there are {", ".join(known)}')
        return cls(**(limits or {}))


def is_flat(frame: np.ndarray) -> bool:
    """Whether a frame (H, W, 3) is of a single colour, as far as every fourth pixel tells."""
    _, deviation = cv2.meanStdDev(np.ascontiguousarray(frame[::4, ::4]))
    return float(deviation.max()) < _FLAT


class FrameCheck:
    """Counts the frames of one video that show nothing, as they are read in order."""

    def __init__(self) -> None:
        self.seen = self.flat = self.frozen = 0
        self._last: int | None = None

    def look(self, frame: np.ndarray) -> None:
        """Look at the next frame, (H, W, 3) uint8."""
        self.add(is_flat(frame), crc32(np.ascontiguousarray(frame)))

    def add(self, flat: bool, checksum: int) -> None:
        """Count a frame that was looked at already."""
        self.seen += 1
        self.flat += flat
        self.frozen += checksum == self._last
        self._last = checksum

    def found(self, limits: FrameLimits) -> Iterator[tuple[str, int, bool]]:
        """Of each kind that there was: its name in :data:`EMPTY`, how many, and whether more than
        may be."""
        for name in EMPTY:
            if count := getattr(self, name):
                yield name, count, count > getattr(limits, name) * self.seen

    def refuse(
        self, path: Any, limits: FrameLimits, scaled_from: tuple[float, float] | None = None
    ) -> None:
        """Refuse a video with more such frames than may be.

        Args:
            path: The video.
            limits: How many may be.
            scaled_from: Of images of more than 8 bits, the values that became 0 and 255.

        Raises:
            ValueError: Naming the video and the counts.
        """
        verbs = dict(flat='are of a single colour', frozen='equal the one before')
        for name, count, too_many in self.found(limits):
            if too_many:
                advice = ''
                if scaled_from is not None:
                    # A scene may take up little of it, as that of a thermal camera.
                    low, high = scaled_from
                    advice = f"; {low:g} to {high:g} became 0 to 255: give the scene's value_range"
                raise ValueError(
                    f'{path}: {count} of {self.seen} frames {verbs[name]}, more than '
                    f'{getattr(limits, name):.0%} (limits.{name}){advice}'
                )

    def remarks(self, limits: FrameLimits) -> list[str]:
        """What a person should know."""
        return [
            f'{count} of {self.seen} frames {EMPTY[name]}' for name, count, _ in self.found(limits)
        ]
