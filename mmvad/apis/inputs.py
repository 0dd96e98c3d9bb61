"""What a user gives to be scored, as videos with names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmvad.datasets import find_videos

#: A file, a folder, or frames in memory.
Video = str | Path | np.ndarray | Sequence[np.ndarray]


def videos_of(inputs: Video | Sequence[Video]) -> Iterable[tuple[str, Path | Sequence[np.ndarray]]]:
    """Name of every video in what the user gave, and its path or frames."""
    if isinstance(inputs, (str, Path, np.ndarray)):
        inputs = [inputs]
    elif inputs and all(isinstance(item, np.ndarray) and item.ndim == 3 for item in inputs):
        inputs = [np.stack(inputs) if len({i.shape for i in inputs}) == 1 else list(inputs)]
    taken: set[str] = set()
    for number, item in enumerate(inputs):
        for name, frames in _expanded(item, f'array_{number}'):
            if name in taken:
                raise ValueError(f'inputs: two videos are named {name!r}; names must differ')
            taken.add(name)
            yield name, frames


def _expanded(item: Video, name: str) -> Iterator[tuple[str, Path | Sequence[np.ndarray]]]:
    """The videos of one item: a folder may hold several."""
    if not isinstance(item, (str, Path)):
        yield name, item
        return
    yield from find_videos(item).items()


def checked_frames(frames: Any, name: str) -> Sequence[np.ndarray]:
    """Frames in memory, if they are frames."""
    shapes = {np.shape(frame) for frame in frames}
    kinds = {getattr(frame, 'dtype', None) for frame in frames}
    shape = next(iter(shapes), ())
    if len(shapes) != 1 or len(shape) != 3 or shape[2] != 3 or kinds != {np.dtype(np.uint8)}:
        raise ValueError(
            f'inputs: {name}: expected frames (H, W, 3) uint8 BGR of one size, got shapes '
            f'{sorted(shapes)[:3]} of {sorted(map(str, kinds))}'
        )
    return frames
