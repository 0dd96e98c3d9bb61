"""Annotated frames and videos: boxes coloured by score over a strip with the score curve.

Images are BGR uint8 (H, W, 3). Shape letters: n objects, F frames of the video.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from mmvad.structures import atomic_path

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_LEGIBLE_HEIGHT = 480  # pixels; below it, box labels cover the objects
_MAX_SCALE = 4

_BACKGROUND = (32, 28, 26)
_ABNORMAL = (58, 48, 120)
_CURVE = (245, 235, 225)
_CURSOR = (150, 140, 130)
_THRESHOLD = (80, 190, 250)


def score_color(score: float, limits: tuple[float, float]) -> tuple[int, int, int]:
    """BGR colour of a score: green at the lower limit, over yellow, to red at the upper."""
    low, high = limits
    share = float(np.clip((score - low) / (high - low), 0, 1)) if high > low else 0.0
    green, red = min(1.0, 2 * (1 - share)), min(1.0, 2 * share)
    return 40, round(40 + 180 * green), round(40 + 200 * red)


def draw_objects(
    frame: np.ndarray,
    boxes: np.ndarray,
    scores: np.ndarray,
    limits: tuple[float, float],
    scale: int = 1,
) -> np.ndarray:
    """Draw every object's box in the colour of its score, with the score above it.

    Args:
        frame: BGR uint8 (H, W, 3); it is not changed.
        boxes: (n, 4) xyxy, pixels of ``frame``.
        scores: (n,).
        limits: The scores that are green and red.
        scale: Whole factor by which the picture is enlarged before drawing.

    Returns:
        BGR uint8 (H * scale, W * scale, 3).

    Raises:
        ValueError: ``frame`` is not BGR uint8, or boxes and scores do not fit each other.
    """
    boxes, scores = np.asarray(boxes, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise ValueError(f'expected a BGR uint8 frame, got {frame.dtype} {frame.shape}')
    if boxes.shape != (len(scores), 4):
        raise ValueError(f'expected boxes ({len(scores)}, 4), got {boxes.shape}')
    image = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    # The most abnormal object comes last, so that nothing covers it.
    for index in np.argsort(scores, kind='stable'):
        color = score_color(scores[index], limits)
        x1, y1, x2, y2 = np.rint(boxes[index] * scale).astype(int).tolist()
        cv2.rectangle(image, (x1, y1), (x2, y2), color, 2, cv2.LINE_AA)
        _draw_label(image, f'{scores[index]:.2f}', (x1, y1), color)
    return image


def _draw_label(
    image: np.ndarray, text: str, corner: tuple[int, int], color: tuple[int, int, int]
) -> None:
    """Write black text on a patch above ``corner`` (x, y), moved inside the picture."""
    (width, height), baseline = cv2.getTextSize(text, _FONT, 0.42, 1)
    patch_width, patch_height = width + 6, height + baseline + 3
    left = min(max(corner[0] - 1, 0), max(image.shape[1] - patch_width, 0))
    top = max(corner[1] - patch_height, 0)
    cv2.rectangle(image, (left, top), (left + patch_width, top + patch_height), color, cv2.FILLED)
    origin = (left + 3, top + height + 2)
    cv2.putText(image, text, origin, _FONT, 0.42, (0, 0, 0), 1, cv2.LINE_AA)


def append_score_strip(
    image: np.ndarray,
    scores: np.ndarray,
    index: int,
    limits: tuple[float, float],
    labels: np.ndarray | None = None,
    threshold: float | None = None,
    height: int = 96,
) -> np.ndarray:
    """Put a strip under the picture with the score curve up to the present frame.

    Args:
        image: BGR uint8 (H, W, 3); it is not changed.
        scores: Frame scores (F,) of the whole video; those after ``index`` are not shown.
        index: The present frame, 0-based.
        limits: Scores at the bottom and the top of the strip.
        labels: (F,) of 0 and 1; abnormal frames are shaded over the whole strip.
        threshold: Alarm level, drawn as a dashed line.
        height: Height of the strip in pixels.

    Returns:
        BGR uint8 (H + height, W, 3).
    """
    scores = np.asarray(scores, dtype=np.float64)
    if not 0 <= index < len(scores):
        raise ValueError(f'index: expected a frame from 0 to {len(scores) - 1}, got {index}')
    width = image.shape[1]
    strip = np.full((height, width, 3), _BACKGROUND, dtype=np.uint8)
    header, margin = 22, 5
    low, high = limits

    if labels is not None:
        shown = np.arange(width) * len(scores) // width  # the frame that each column shows
        strip[header:, np.asarray(labels)[shown] == 1] = _ABNORMAL

    def row(values: np.ndarray | float) -> np.ndarray:
        share = np.clip((values - low) / (high - low), 0, 1) if high > low else 0 * values
        return height - margin - share * (height - header - 2 * margin)

    if threshold is not None:
        y = round(float(row(threshold)))
        for x in range(0, width, 12):
            cv2.line(strip, (x, y), (x + 6, y), _THRESHOLD, 1)
    columns = (np.arange(index + 1) + 0.5) * width / len(scores)
    points = np.stack([columns, row(scores[: index + 1])], axis=1)
    cursor = int(points[-1, 0])
    cv2.line(strip, (cursor, header), (cursor, height), _CURSOR, 1)
    # OpenCV takes fractions of a pixel as fixed-point numbers: 4 bits after the point.
    fixed = np.rint(points * 16).astype(np.int32)
    cv2.polylines(strip, [fixed], False, _CURVE, 1, cv2.LINE_AA, shift=4)
    alarm = threshold is not None and scores[index] > threshold
    dot = _THRESHOLD if alarm else _CURVE
    cv2.circle(strip, fixed[-1].tolist(), 3 * 16, dot, cv2.FILLED, cv2.LINE_AA, shift=4)

    text = f'frame {index}   score {scores[index]:.2f}'
    cv2.putText(strip, text, (8, 15), _FONT, 0.42, _CURVE, 1, cv2.LINE_AA)
    if labels is not None and np.asarray(labels)[index]:
        text = 'abnormal'
        (text_width, _), _ = cv2.getTextSize(text, _FONT, 0.42, 1)
        origin = (width - text_width - 8, 15)
        cv2.putText(strip, text, origin, _FONT, 0.42, (130, 120, 255), 1, cv2.LINE_AA)
    return np.vstack([image, strip])


def annotate_frames(
    frames: Iterable[np.ndarray],
    scores: np.ndarray,
    object_frames: np.ndarray,
    boxes: np.ndarray,
    object_scores: np.ndarray,
    labels: np.ndarray | None = None,
    threshold: float | None = None,
    limits: tuple[float, float] | None = None,
) -> Iterator[np.ndarray]:
    """Every frame of a video with its objects and the score strip, one at a time.

    Frames lower than 480 pixels are enlarged by a whole factor, at most 4.

    Args:
        frames: The F frames in order, BGR uint8 (H, W, 3).
        scores: Frame scores (F,).
        object_frames: Frame of every object (n,), 0-based.
        boxes: (n, 4) xyxy, pixels.
        object_scores: (n,).
        labels: (F,) of 0 and 1.
        threshold: Alarm level of the frame scores.
        limits: Object scores that are green and red; default is the range in this video. Pass
            the same pair to compare videos.

    Raises:
        ValueError: There are more or fewer frames than scores.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if limits is None:
        limits = _value_range(object_scores)
    curve_limits = _value_range(scores if threshold is None else np.append(scores, threshold))
    count = 0
    for index, frame in enumerate(frames):
        count += 1
        if count > len(scores):
            raise ValueError(f'more frames than the {len(scores)} scores')
        here = np.flatnonzero(np.asarray(object_frames) == index)
        scale = min(max(math.ceil(_LEGIBLE_HEIGHT / frame.shape[0]), 1), _MAX_SCALE)
        image = draw_objects(
            frame, np.asarray(boxes)[here], np.asarray(object_scores)[here], limits, scale
        )
        yield append_score_strip(image, scores, index, curve_limits, labels, threshold)
    if count < len(scores):
        raise ValueError(f'{count} frames, expected one for each of the {len(scores)} scores')


def _value_range(values: np.ndarray | Sequence[float]) -> tuple[float, float]:
    values = np.asarray(values, dtype=np.float64)
    return (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)


def write_video(images: Iterable[np.ndarray], path: str | Path, fps: float) -> None:
    """Write pictures of one size as an MPEG-4 video, whole or not at all.

    Args:
        images: BGR uint8 (H, W, 3); an odd side loses nothing: its last line is doubled.
        path: The file, ending in ``.mp4``.
        fps: Frames per second.

    Raises:
        ValueError: The name does not end in .mp4, fps is not positive, there are no pictures,
            their sizes differ, or this OpenCV cannot write the format.
        OSError: The file could not be written, for lack of room or another reason.
    """
    path = Path(path)
    if path.suffix != '.mp4':
        raise ValueError(f'{path}: expected a name that ends in .mp4')
    if not fps > 0:
        raise ValueError(f'{path}: expected a positive number of frames per second, got {fps}')
    with atomic_path(path) as temporary:
        writer = cv2.VideoWriter()
        shape, count = None, 0
        try:
            for image in images:
                if shape is None:
                    shape = image.shape
                    bottom, right = shape[0] % 2, shape[1] % 2
                    size = (shape[1] + right, shape[0] + bottom)
                    codec = cv2.VideoWriter_fourcc(*'mp4v')
                    if not writer.open(str(temporary), codec, float(fps), size):
                        raise ValueError(f'{path}: this OpenCV build cannot write MPEG-4 video')
                if image.shape != shape:  # OpenCV would leave the picture out without a word
                    raise ValueError(f'{path}: picture of {image.shape} after ones of {shape}')
                # The codec halves the colour planes, so both sides have to be even.
                writer.write(cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REPLICATE))
                count += 1
        finally:
            writer.release()
        if shape is None:
            raise ValueError(f'{path}: no pictures to write')
        # OpenCV says nothing of what it could not write.
        written = cv2.VideoCapture(str(temporary))
        whole = written.get(cv2.CAP_PROP_FRAME_COUNT) == count
        written.set(cv2.CAP_PROP_POS_FRAMES, count - 1)
        whole = written.read()[0] and whole
        written.release()
        if not whole:
            raise OSError(f'{path}: OpenCV could not write all {count} pictures')


def write_annotated_video(
    frames: Iterable[np.ndarray],
    path: str | Path,
    fps: float,
    scores: np.ndarray,
    object_frames: np.ndarray,
    boxes: np.ndarray,
    object_scores: np.ndarray,
    labels: np.ndarray | None = None,
    threshold: float | None = None,
    limits: tuple[float, float] | None = None,
) -> None:
    """Write a video with its objects and score strip; arguments as in :func:`annotate_frames`."""
    write_video(
        annotate_frames(
            frames, scores, object_frames, boxes, object_scores, labels, threshold, limits
        ),
        path,
        fps,
    )
