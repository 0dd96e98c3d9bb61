"""Videos that browsers play: H.264 where this PyAV has an encoder for it, else VP9."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from itertools import chain
from pathlib import Path

import av
import numpy as np

from mmvad.structures import atomic_path

_KEY_SECONDS = 1  # between key frames, so that a click on the curve finds its frame at once
_QUALITY = 23  # libx264's own default; of 51


@dataclass(frozen=True)
class Encoder:
    """One way to write video.

    Attributes:
        name: FFmpeg's name of the encoder.
        codec: The codec, as people call it.
        suffix: Of the file.
        mime: Type of the file, as browsers name it.
        options: Of the encoder.
    """

    name: str
    codec: str
    suffix: str
    mime: str
    options: dict[str, str] = field(default_factory=dict)


#: Those that are tried, the best first.
ENCODERS = (
    Encoder(
        'libx264', 'H.264', '.mp4', 'video/mp4', dict(preset='veryfast', crf=str(_QUALITY))
    ),
    Encoder('libopenh264', 'H.264', '.mp4', 'video/mp4'),
    Encoder(
        'libvpx-vp9', 'VP9', '.webm', 'video/webm',
        {'crf': '34', 'b:v': '0', 'deadline': 'realtime', 'cpu-used': '6', 'row-mt': '1'},
    ),
)  # fmt: skip


@cache
def video_encoder() -> Encoder:
    """The encoder that is used: the first of :data:`ENCODERS` that this PyAV was built with.

    Raises:
        ValueError: There is none.
    """
    for encoder in ENCODERS:
        try:
            av.codec.Codec(encoder.name, 'w')
        except (av.error.FFmpegError, ValueError):
            continue
        return encoder
    names = ', '.join(encoder.name for encoder in ENCODERS)
    raise ValueError(f'this PyAV can write no video for browsers: it has none of {names}')


def write_video(images: Iterable[np.ndarray], path: str | Path, fps: float) -> Path:
    """Write pictures of one size as a video that browsers play, whole or not at all.

    Args:
        images: BGR uint8 (H, W, 3); an odd side loses nothing: its last line is doubled.
        path: The file, ending in ``.mp4``. Where there is no encoder for H.264, VP9 is written, and
            the name ends in ``.webm``.
        fps: Frames per second.

    Returns:
        The file that was written.

    Raises:
        ValueError: The name does not end in .mp4, fps is not positive, there are no pictures,
            their sizes differ, or there is no encoder.
        OSError: The file could not be written, for lack of room or another reason.
    """
    path = Path(path)
    if path.suffix != '.mp4':
        raise ValueError(f'{path}: expected a name that ends in .mp4')
    if not fps > 0:
        raise ValueError(f'{path}: expected a positive number of frames per second, got {fps}')
    encoder = video_encoder()
    path = path.with_suffix(encoder.suffix)
    pictures = _checked(images, path)
    first = next(pictures, None)
    if first is None:
        raise ValueError(f'{path}: no pictures to write')
    height, width = (side + side % 2 for side in first.shape[:2])
    with atomic_path(path) as temporary:
        try:
            _encode(first, pictures, temporary, encoder, fps, (width, height))
        except av.error.FFmpegError as error:
            # FFmpeg's errors are the system's, whose number says if there was no room.
            raise OSError(error.errno, error.strerror, str(temporary)) from error
    return path


def _encode(
    first: np.ndarray,
    others: Iterator[np.ndarray],
    path: Path,
    encoder: Encoder,
    fps: float,
    size: tuple[int, int],
) -> None:
    rate = Fraction(fps).limit_denominator(1001)
    options = {'movflags': '+faststart'} if encoder.suffix == '.mp4' else {}
    with av.open(str(path), 'w', options=options) as container:
        stream = container.add_stream(encoder.name, rate=rate, options=dict(encoder.options))
        stream.width, stream.height = size
        stream.pix_fmt = 'yuv420p'  # which all browsers play
        stream.gop_size = max(1, round(fps * _KEY_SECONDS))
        stream.codec_context.thread_type = 'AUTO'
        for number, image in enumerate(chain([first], others)):
            bottom, right = size[1] - image.shape[0], size[0] - image.shape[1]
            if bottom or right:
                # The codec halves the colour planes, so both sides have to be even.
                image = np.pad(image, ((0, bottom), (0, right), (0, 0)), mode='edge')
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format='bgr24')
            frame.pts, frame.time_base = number, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _checked(images: Iterable[np.ndarray], path: Path) -> Iterator[np.ndarray]:
    shape = None
    for image in images:
        shape = shape or image.shape
        if image.shape != shape:
            raise ValueError(f'{path}: picture of {image.shape} after ones of {shape}')
        yield image
