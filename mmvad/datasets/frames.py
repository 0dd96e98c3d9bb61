"""Frames of one video, looked up by number, from a folder of images or a video file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from .frame_check import FrameCheck, FrameLimits
from .video_file import VideoFile

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff')
VIDEO_SUFFIXES = (
    '.avi', '.mp4', '.m4v', '.mkv', '.mov', '.mpg', '.mpeg', '.ts', '.webm', '.wmv', '.flv',
)  # fmt: skip
#: How frames are read: in colour, with all the bits they have.
IMAGE_FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
# By file managers, NAS and archives.
_LEFT = {
    '@eaDir', '@tmp', '#recycle', '#snapshot', '$RECYCLE.BIN', '__MACOSX', 'lost+found',
    'System Volume Information',
}  # fmt: skip
_CUT = 'the file was cut without being encoded anew (ffmpeg -c copy), or the recording began so'


def by_number(name: str) -> list[tuple[int, str]]:
    """Sorting key under which the numbers in names are compared as numbers."""
    return [(int(part), '') if part.isdigit() else (-1, part) for part in re.split(r'(\d+)', name)]


def is_hidden(path: Path) -> bool:
    """Whether a file or folder is none of the user's: hidden files, and what file managers, NAS
    and archives leave."""
    return path.name.startswith('.') or path.name in _LEFT


def number_in(path: Path) -> int | None:
    """The last number in a file's name, by which frames are ordered; None without one."""
    digits = re.findall(r'\d+', path.stem)
    return int(digits[-1]) if digits else None


def list_images(folder: Path) -> list[Path]:
    """Image files of a folder in the order of the numbers in their names; hidden files are no
    frames (macOS leaves ``._*`` beside the real ones)."""

    def order(path: Path) -> tuple[int, str]:
        number = number_in(path)
        return (-1 if number is None else number, path.name)

    files = (p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    return sorted((p for p in files if not is_hidden(p)), key=order)


def numbered_names(files: Sequence[Path]) -> tuple[str, int] | None:
    """The template of images that are numbered without gaps, such as ``'img_{:05d}.jpg'``, and the
    first number; None for others."""
    found = re.fullmatch(r'(.*?)(\d+)(\D*)', files[0].name) if files else None
    if not found:
        return None
    before, digits, after = (part.replace('{', '{{').replace('}', '}}') for part in found.groups())
    template, first = f'{before}{{:0{len(digits)}d}}{after}', int(digits)
    names = (template.format(first + index) for index in range(len(files)))
    fits = all(name == file.name for name, file in zip(names, files, strict=True))
    return (template, first) if fits else None


def missing_numbers(files: Sequence[Path]) -> list[tuple[int, int]]:
    """Gaps in the numbers of a video's images, (first, last) each; a step other than 1 that is the
    same throughout is none."""
    numbers = sorted({number for file in files if (number := number_in(file)) is not None})
    steps = {after - before for before, after in pairwise(numbers)}
    if len(steps) <= 1:
        return []
    return [(a + 1, b - 1) for a, b in pairwise(numbers) if b - a > 1]


def read_image(file: Path, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    """Decode an image file.

    Args:
        file: Which.
        flags: As ``cv2.imread`` takes them.

    Raises:
        ValueError: If it does not decode, or is a JPEG file that was cut short.
    """
    try:
        image = _decoded(file, flags)
    except cv2.error as error:
        # A size beyond all bounds, which damaged headers state.
        raise ValueError(f'{file}: does not decode as an image ({error.err})') from error
    if image is None:
        raise ValueError(f'{file}: does not decode as an image')
    return image


def _decoded(file: Path, flags: int) -> np.ndarray | None:
    if file.suffix.lower() not in ('.jpg', '.jpeg'):
        # OpenCV refuses files of the other formats that are cut short, and reads PNG faster so.
        return cv2.imread(str(file), flags)
    data = file.read_bytes()
    # Of a JPEG file, cv2.imread fills up with grey what is cut off, and says nothing. A whole file
    # has an end marker behind its last scan; a preview in the header has its own before. The bytes
    # of other formats, under a wrong suffix, mean nothing of that kind.
    is_jpeg = data.startswith(b'\xff\xd8')
    if is_jpeg and data.rfind(b'\xff\xd9') <= data.rfind(b'\xff\xda'):
        raise ValueError(f'{file}: is cut short')
    return cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None


def default_range(first: np.ndarray) -> tuple[float, float]:
    """The values of 16-bit images that become 0 and 255, by the first one of a video."""
    return 0.0, 4095.0 if first.max() <= 4095 else 65535.0


def to_eight_bits(image: np.ndarray, low: float, high: float) -> np.ndarray:
    """An image with ``low`` to ``high`` scaled to 0 to 255, as uint8; what is beyond is clipped."""
    scaled = (image.astype(np.float32) - low) * (255 / (high - low))
    return np.nan_to_num(scaled).clip(0, 255).round().astype(np.uint8)


#: Frames a second where nobody says how many.
ASSUMED_RATE = 25.0


class FrameSource(Sequence[np.ndarray]):
    """Frames of one video as (H, W, 3) uint8 BGR arrays; all must have the first one's size.

    Images of more than 8 bits (thermal, industrial cameras) are scaled linearly: ``value_range``
    becomes 0 to 255, and what is beyond is clipped. Without it, it is 0 to 4095 (12 bits) if no
    pixel of the first image is brighter, else 0 to 65535.

    Args:
        path: Folder of images, or video file.
        value_range: Values of images of more than 8 bits that become 0 and 255.
        limits: What share of frames may be bad.
        frame_rate: Frames a second of a folder of images, and of a video file that tells none.

    Raises:
        FileNotFoundError: If there is no such folder or file.
        ValueError: If it cannot be opened or holds no frames; and from ``source[i]``, if frame i
            has another size, or is an image that does not decode, is cut short, of another depth
            or beyond the range that the first one has, or if more frames of a video file are
            damaged than may be.
    """

    def __init__(
        self,
        path: str | Path,
        value_range: tuple[float, float] | None = None,
        limits: FrameLimits | None = None,
        frame_rate: float = ASSUMED_RATE,
    ) -> None:
        self.path = Path(path)
        self.frame_rate = frame_rate
        self.value_range = value_range
        self.limits = limits or FrameLimits()
        self._range = value_range
        self._flags = IMAGE_FLAGS
        self._files: list[Path] | None = None
        self._video: VideoFile | None = None
        if self.path.is_dir():
            self._files = list_images(self.path)
            self._length = len(self._files)
        elif self.path.is_file():
            self._video = VideoFile(self.path)
            self._length = len(self._video)
            self._refuse_damaged(self._video.leading + self._video.lacking)
        else:
            raise FileNotFoundError(f'{self.path}: no such folder of frames or video file')
        if self._length <= 0:
            raise ValueError(f'{self.path}: holds no frames')
        self._shape: tuple[int, ...] | None = None
        self._dtype: np.dtype | None = None

    def __reduce__(self) -> tuple:
        # A decoder cannot be copied; another process opens the file anew.
        return FrameSource, (self.path, self.value_range, self.limits, self.frame_rate)

    def __len__(self) -> int:
        return self._length

    @property
    def fps(self) -> float:
        """Frames per second: what a video file says, else ``frame_rate``."""
        return (self._video.fps if self._video is not None else 0) or self.frame_rate

    @property
    def known_fps(self) -> float | None:
        """The same; None where neither a file nor the user says, and it is just assumed."""
        told = self._video is not None and self._video.fps
        return self.fps if told or self.frame_rate != ASSUMED_RATE else None

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Height and width, pixels."""
        if self._shape is None:
            self[0]
        return self._shape[:2]

    @property
    def in_order(self) -> bool:
        """Whether frames are cheap to read in order only: video files, where a jump decodes all
        from the key frame before."""
        return self._video is not None

    @property
    def value_range_found(self) -> tuple[float, float] | None:
        """The range by which images of more than 8 bits are scaled; None of those of 8, and where
        the first does not decode."""
        if self._files is not None and self._range is None and self._shape is None:
            try:
                self[0]
            except ValueError:
                pass  # it is told when it is read
        return self._range

    @property
    def scaled_from(self) -> tuple[float, float] | None:
        """The range by which the images read so far were scaled; None of those of 8 bits."""
        return None if self._dtype in (None, np.uint8) else self._range

    @property
    def damaged(self) -> int:
        """How many frames a video file does not hold whole: of those read so far, and those whose
        place is not known."""
        return 0 if self._video is None else len(self._video.damaged) + self._video.lacking

    @property
    def remarks(self) -> list[str]:
        """What a person should know of the frames, as far as a look tells; mostly nothing."""
        if self._files is not None:
            remarks = []
            if missing := missing_numbers(self._files):
                words = [str(a) if a == b else f'{a}-{b}' for a, b in missing]
                many = ' ...' if len(words) > 5 else ''
                remarks.append(
                    f'frame numbers are missing ({", ".join(words[:5])}{many}): frames before and '
                    'after are taken for neighbours'
                )
            if self.value_range is None and self.value_range_found is not None:
                low, high = self._range
                remarks.append(
                    f'images of more than 8 bits: values {low:g} to {high:g} become 0 to 255 '
                    '(value_range)'
                )
            return remarks
        video, remarks = self._video, []
        if video.stated and video.stated != len(video):
            remarks.append(f'its header states {video.stated} frames, it holds {len(video)}')
        if video.leading:
            remarks.append(
                f'its first {video.leading} frames lack the key frame they build on, the one after '
                f'stands in for them: {_CUT}'
            )
        if video.lacking:
            remarks.append(
                f'{video.lacking} frames do not decode, and which is not known: those behind have '
                'other numbers than they had'
            )
        if not video.can_jump and len(video) > 1:
            remarks.append(
                'its frames can only be read from the start on: training on them in random order '
                'is slow; encode it anew, to .mp4, or take out its frames'
            )
        return remarks

    def __getitem__(self, index: int) -> np.ndarray:
        if not 0 <= index < self._length:
            raise IndexError(f'{self.path}: frame {index} of {self._length}')
        if self._files is not None:
            name = self._files[index]
            frame = self._eight_bits(self._read_image(name), name)
        else:
            name = f'{self.path}: frame {index} of {self._length}'
            frame = self._video[index]
            self._refuse_damaged(self.damaged)
        if self._shape is None:
            self._shape = frame.shape
        elif frame.shape != self._shape:
            raise ValueError(
                f'{name}: size (H, W) {frame.shape[:2]} differs from {self._shape[:2]}, '
                f'that of the frames before in this video'
            )
        return frame

    def examine(self) -> None:
        """Read all frames.

        Raises:
            ValueError: If one cannot be read, or more show nothing than may be.
        """
        check = FrameCheck()
        for frame in self:
            check.look(frame)
        check.refuse(self.path, self.limits, self.scaled_from)

    def _read_image(self, file: Path) -> np.ndarray:
        """An image (H, W, 3) with all the bits it has."""
        try:
            image = read_image(file, self._flags)
        except ValueError:
            if self._shape is not None or file.suffix.lower() not in ('.tif', '.tiff'):
                raise
            # OpenCV makes no colours of grey floating-point values.
            image = read_image(file, cv2.IMREAD_UNCHANGED)
            self._flags = cv2.IMREAD_UNCHANGED
        return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)

    def _refuse_damaged(self, count: int) -> None:
        total = self._length + self._video.lacking
        if count > self.limits.damaged * total:
            cut = f'; {_CUT}' if self._video.leading else ''
            raise ValueError(
                f'{self.path}: {count} of its {total} frames do not decode whole, more than '
                f'{self.limits.damaged:.0%} (limits.damaged){cut}'
            )

    def _eight_bits(self, image: np.ndarray, file: Path) -> np.ndarray:
        """An image of any depth, scaled by the rule that the first one gives."""
        self._dtype = self._dtype or image.dtype
        if image.dtype != self._dtype:
            raise ValueError(
                f'{file}: holds {image.dtype} values, expected {self._dtype}, as the images of its '
                'video that were read before'
            )
        if image.dtype == np.uint8:
            return image
        if self._range is None:
            if image.dtype != np.uint16:
                raise ValueError(
                    f'{file}: holds {image.dtype} values, {np.nanmin(image):g} to '
                    f'{np.nanmax(image):g}; expected 8 or 16 bits, or the value_range that becomes '
                    '0 to 255'
                )
            first = image if file == self._files[0] else self._read_image(self._files[0])
            self._range = default_range(first)
        low, high = self._range
        if self.value_range is None and image.max() > high:
            raise ValueError(
                f'{file}: holds values up to {image.max()}, but the first image of its video only '
                f'such of 12 bits; give the value_range that becomes 0 to 255, such as (0, 65535)'
            )
        return to_eight_bits(image, low, high)


def sweep(
    source: Sequence[np.ndarray], wanted: Sequence[int], depth: int, stride: int = 1
) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Go once through a video; each frame is decoded at most once, in order.

    Args:
        source: The frames.
        wanted: Ascending frame numbers.
        depth: Frames to hand out with each wanted one.
        stride: Steps between them, in frames.

    Yields:
        A wanted frame number f and the frames f-(depth-1)*stride ... f, oldest first; before the
        start of the video its first frame stands in.
    """
    buffer: dict[int, np.ndarray] = {}
    for frame in wanted:
        need = [max(0, frame - step * stride) for step in reversed(range(depth))]
        # What a stride passes over now is a step of a later frame.
        held = range(need[0], frame + 1)
        buffer = {i: buffer[i] if i in buffer else source[i] for i in held}
        yield frame, [buffer[i] for i in need]
