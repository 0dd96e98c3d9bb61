"""Videos of the plaza as a camera records them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from mmvad.datasets.frames import list_images


def frames_of(folder: Path) -> list[np.ndarray]:
    return [cv2.imread(str(path)) for path in list_images(folder)]


def write_video(path: Path, frames: list[np.ndarray], rate: int = 10) -> Path:
    """A video of hardly any loss, in FFmpeg's MPEG-4, which every build has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=Fraction(rate))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = 'yuv420p'
        stream.bit_rate = 4_000_000
        stream.options = dict(qmin='1', qmax='3', g='10')
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format='bgr24')))
        container.mux(stream.encode(None))
    return path
