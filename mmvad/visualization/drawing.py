"""Annotated frames and videos: boxes coloured by score over a strip with the score curve.

A box says its object's own score; the strip shows the frame's, which is the highest of these,
smoothed over time. Both numbers stand in the strip.

Images are BGR uint8 (H, W, 3). Shape letters: n objects, F frames of the video.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .plots import seconds_text
from .video import write_video

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_LEGIBLE_HEIGHT = 480  # pixels; below it, box labels cover the objects
_MAX_SCALE = 4
# Short side of a picture up to which lines are 2 pixels and letters 9; they grow with it.
_UNIT_SIDE = 720
_TEXT = 0.42

_BACKGROUND = (32, 28, 26)
_ABNORMAL = (58, 48, 120)
_CURVE = (245, 235, 225)
_RAW = (128, 118, 110)
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
    thickness = round(2 * _unit(image))
    # The most abnormal object comes last, so that nothing covers it.
    for index in np.argsort(scores, kind='stable'):
        color = score_color(scores[index], limits)
        x1, y1, x2, y2 = np.rint(boxes[index] * scale).astype(int).tolist()
        cv2.rectangle(image, (x1, y1), (x2, y2), color, thickness, cv2.LINE_AA)
        _draw_label(image, f'{scores[index]:.2f}', (x1, y1), color)
    return image


def _unit(image: np.ndarray) -> float:
    """By how much lines and letters are larger than in a small picture."""
    return max(1.0, min(image.shape[:2]) / _UNIT_SIDE)


def _draw_label(
    image: np.ndarray, text: str, corner: tuple[int, int], color: tuple[int, int, int]
) -> None:
    """Write black text on a patch above ``corner`` (x, y), moved inside the picture."""
    unit = _unit(image)
    pen = round(unit)
    (width, height), baseline = cv2.getTextSize(text, _FONT, _TEXT * unit, pen)
    pad = round(3 * unit)
    patch_width, patch_height = width + 2 * pad, height + baseline + pad
    left = min(max(corner[0] - 1, 0), max(image.shape[1] - patch_width, 0))
    top = max(corner[1] - patch_height, 0)
    cv2.rectangle(image, (left, top), (left + patch_width, top + patch_height), color, cv2.FILLED)
    origin = (left + pad, top + height + pad - pen)
    cv2.putText(image, text, origin, _FONT, _TEXT * unit, (0, 0, 0), pen, cv2.LINE_AA)


def append_score_strip(
    image: np.ndarray,
    scores: np.ndarray,
    index: int,
    limits: tuple[float, float],
    labels: np.ndarray | None = None,
    threshold: float | None = None,
    height: int | None = None,
    raw: np.ndarray | None = None,
    known_fps: float | None = None,
    highest: float | None = None,
) -> np.ndarray:
    """Put a strip under the picture with the score curve up to the present frame.

    Args:
        image: BGR uint8 (H, W, 3); it is not changed.
        scores: Frame scores (F,) of the whole video; those after ``index`` are not shown.
        index: The present frame, 0-based.
        limits: Scores at the bottom and the top of the strip.
        labels: (F,) of 0 and 1; abnormal frames are shaded over the whole strip.
        threshold: Alarm level, drawn as a dashed line.
        height: Height of the strip in pixels; None: 96, and more under pictures of more than 720.
        raw: Frame scores before smoothing (F,), drawn behind the curve.
        known_fps: Frames per second; the time stands beside the frame's number where it is known.
        highest: The highest score on a box in the picture.

    Returns:
        BGR uint8 (H + height, W, 3).
    """
    scores = np.asarray(scores, dtype=np.float64)
    if not 0 <= index < len(scores):
        raise ValueError(f'index: expected a frame from 0 to {len(scores) - 1}, got {index}')
    width, unit = image.shape[1], _unit(image)
    pen = round(unit)
    height = round(96 * unit) if height is None else height
    strip = np.full((height, width, 3), _BACKGROUND, dtype=np.uint8)
    header, margin = round(22 * unit), round(5 * unit)
    low, high = limits

    if labels is not None:
        shown = np.arange(width) * len(scores) // width  # the frame that each column shows
        strip[header:, np.asarray(labels)[shown] == 1] = _ABNORMAL

    def row(values: np.ndarray | float) -> np.ndarray:
        share = np.clip((values - low) / (high - low), 0, 1) if high > low else 0 * values
        return height - margin - share * (height - header - 2 * margin)

    if threshold is not None:
        y, dash = round(float(row(threshold))), 6 * pen
        for x in range(0, width, 2 * dash):
            cv2.line(strip, (x, y), (x + dash, y), _THRESHOLD, pen)
    columns = (np.arange(index + 1) + 0.5) * width / len(scores)
    # OpenCV takes fractions of a pixel as fixed-point numbers: 4 bits after the point.
    curves = {_CURVE: scores} if raw is None else {_RAW: np.asarray(raw, float), _CURVE: scores}
    for color, values in curves.items():
        points = np.stack([columns, row(values[: index + 1])], axis=1)
        fixed = np.rint(points * 16).astype(np.int32)
        cv2.polylines(strip, [fixed], False, color, pen, cv2.LINE_AA, shift=4)
    cursor = int(columns[-1])
    cv2.line(strip, (cursor, header), (cursor, height), _CURSOR, pen)
    alarm = threshold is not None and scores[index] > threshold
    dot = _THRESHOLD if alarm else _CURVE
    radius = round(3 * unit * 16)
    cv2.circle(strip, fixed[-1].tolist(), radius, dot, cv2.FILLED, cv2.LINE_AA, shift=4)

    parts = [
        f'frame {index}'
        if known_fps is None
        else f'frame {index}, {seconds_text(index / known_fps)}'
    ]
    parts.append(f'score {scores[index]:.2f}')
    if raw is not None:
        parts[-1] += f' (smoothed; as it was {float(raw[index]):.2f})'
    if highest is not None:
        parts.append(f'highest box {highest:.2f}')
    abnormal = labels is not None and np.asarray(labels)[index]
    state = 'abnormal' if abnormal else ''
    _write_header(strip, '   '.join(parts), state, header, unit)
    return np.vstack([image, strip])


def _write_header(strip: np.ndarray, text: str, state: str, header: int, unit: float) -> None:
    """Text at the left of the strip and a state at its right, as small as they have to be."""
    pen, pad = round(unit), round(8 * unit)
    widths = [cv2.getTextSize(part, _FONT, _TEXT * unit, pen)[0][0] for part in (text, state)]
    room = strip.shape[1] - (3 if state else 2) * pad
    scale = _TEXT * unit * min(1.0, max(room, 1) / max(sum(widths), 1))
    line = round(header * 15 / 22)
    cv2.putText(strip, text, (pad, line), _FONT, scale, _CURVE, pen, cv2.LINE_AA)
    if state:
        (width, _), _ = cv2.getTextSize(state, _FONT, scale, pen)
        left = strip.shape[1] - width - pad
        cv2.putText(strip, state, (left, line), _FONT, scale, (130, 120, 255), pen, cv2.LINE_AA)


def annotate_frames(
    frames: Iterable[np.ndarray],
    scores: np.ndarray,
    object_frames: np.ndarray,
    boxes: np.ndarray,
    object_scores: np.ndarray,
    labels: np.ndarray | None = None,
    threshold: float | None = None,
    limits: tuple[float, float] | None = None,
    raw: np.ndarray | None = None,
    known_fps: float | None = None,
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
        raw: Frame scores before smoothing (F,).
        known_fps: Frames per second, where they are known.

    Raises:
        ValueError: There are more or fewer frames than scores.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if limits is None:
        limits = _value_range(object_scores)
    drawn = [scores, [] if threshold is None else [threshold], [] if raw is None else raw]
    curve_limits = _value_range(np.concatenate(drawn))
    count = 0
    for index, frame in enumerate(frames):
        count += 1
        if count > len(scores):
            raise ValueError(f'more frames than the {len(scores)} scores')
        here = np.flatnonzero(np.asarray(object_frames) == index)
        scale = min(max(math.ceil(_LEGIBLE_HEIGHT / frame.shape[0]), 1), _MAX_SCALE)
        values = np.asarray(object_scores)[here]
        image = draw_objects(frame, np.asarray(boxes)[here], values, limits, scale)
        yield append_score_strip(
            image,
            scores,
            index,
            curve_limits,
            labels,
            threshold,
            raw=raw,
            known_fps=known_fps,
            highest=float(values.max()) if len(values) else None,
        )
    if count < len(scores):
        raise ValueError(f'{count} frames, expected one for each of the {len(scores)} scores')


def _value_range(values: np.ndarray | Sequence[float]) -> tuple[float, float]:
    values = np.asarray(values, dtype=np.float64)
    return (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)


def write_annotated_video(
    frames: Iterable[np.ndarray],
    path: str | Path,
    fps: float,
    scores: np.ndarray,
    object_frames: np.ndarray,
    boxes: np.ndarray,
    object_scores: np.ndarray,
    **options: Any,
) -> Path:
    """Write a video with its objects and score strip, at the rate of its frames.

    Args:
        frames, scores, object_frames, boxes, object_scores, options: See :func:`annotate_frames`.
        path, fps: See :func:`~mmvad.visualization.write_video`.

    Returns:
        The file that was written.
    """
    pictures = annotate_frames(frames, scores, object_frames, boxes, object_scores, **options)
    return write_video(pictures, path, fps)
