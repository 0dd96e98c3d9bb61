"""What the doctor says, and what it has seen of a video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

#: From bad to harmless. An error makes figures wrong or stops a run; a warning is to be looked at.
SEVERITIES = ('error', 'warning', 'info')

#: ``note(severity, check, message, **numbers)`` of one video.
Note = Callable[..., None]


class CannotExamine(ValueError):
    """There is nothing to examine: no annotation file, no videos in it, no folder."""


@dataclass(frozen=True)
class Finding:
    """One thing the doctor found.

    Args:
        severity: One of :data:`SEVERITIES`.
        check: Which check found it, in one or two words.
        video: Name of the video; '' where it is about the split.
        message: For a person; names files and numbers.
        numbers: The same for a script: counts and frame numbers by name.
    """

    severity: str
    check: str
    video: str
    message: str
    numbers: dict[str, Any]


class Findings(list[Finding]):
    """Findings in the order in which they were made."""

    def of(self, video: str = '') -> Note:
        """The function that notes what is found of a video, or of the split."""
        return partial(self._note, video)

    def _note(self, video: str, severity: str, check: str, message: str, /, **numbers: Any) -> None:
        # Positional only, because a number may be called as one of them.
        self.append(Finding(severity, check, video, message, numbers))


@dataclass
class Seen:
    """What was found of one video; None where it could not be told.

    Args:
        video: Its name.
        frames: Frames that are there.
        size: (H, W) of its frames, pixels; the commonest where they differ.
        fps: Frames per second of a video file.
        masked: Frames whose pixel mask is not empty.
        place: Where it lies, links followed.
        fingerprint: Equal for files of equal size and equal first and last frame.
    """

    video: str
    frames: int | None = None
    size: tuple[int, int] | None = None
    fps: float | None = None
    masked: int | None = None
    place: str | None = None
    fingerprint: tuple | None = field(default=None, repr=False)


def few(items: Sequence[Any], most: int = 5) -> str:
    """The first items in words, and how many more there are."""
    text = ', '.join(map(str, items[:most]))
    return text if len(items) <= most else f'{text} ... and {len(items) - most} more'


def by(size: tuple[int, int]) -> str:
    """(H, W) in words."""
    return f'{size[0]} x {size[1]}'
