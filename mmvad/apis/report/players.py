"""Videos encoded for a page: of bounded size and length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mmvad.datasets import FrameSource
from mmvad.visualization import video_encoder, write_video


@dataclass(frozen=True)
class Player:
    """A video that was encoded.

    Attributes:
        path: The file.
        mime: Its type.
        size: (H, W) of the frames it was made of, pixels.
        step: One in so many frames is shown.
    """

    path: Path
    mime: str
    size: tuple[int, int]
    step: int


def encode_player(
    source: FrameSource, path: Path, fps: float, height: int, most_frames: int
) -> Player:
    """Encode a video at the rate of its frames, with sound left out.

    Of a video of more than ``most_frames`` every second frame is shown, or every third and so on,
    each as long as it takes, so that all of it stays there and keeps its time.

    Args:
        source: The frames.
        path: The file, ending in ``.mp4``.
        fps: Frames a second.
        height: Pictures that are higher are made so high, pixels.
        most_frames: To encode.

    Raises:
        ValueError: If frames cannot be read.
        OSError: If the file cannot be written.
    """
    step = -(-len(source) // most_frames)
    written = write_video(_pictures(source, height, step), path, fps / step)
    return Player(written, video_encoder().mime, source.frame_shape, step)


def _pictures(source: FrameSource, height: int, step: int) -> Iterator[np.ndarray]:
    for number in range(0, len(source), step):
        frame = source[number]
        scale = height / frame.shape[0]
        if scale < 1:
            size = (max(2, round(frame.shape[1] * scale)), height)
            frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        yield frame
