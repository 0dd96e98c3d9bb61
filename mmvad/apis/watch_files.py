"""Recordings are watched: scored as a test scores them, and what happens in them written down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from mmvad.datasets import FrameSource
from mmvad.datasets.frames import ASSUMED_RATE
from mmvad.engine.score_files import write_score_files
from mmvad.visualization import write_video

from .alarm_events import AlarmState, Stretch
from .clips import frames_about
from .event_writer import EventWriter, Evidence, clip_path
from .inferencer import VADInferencer, VideoResult


def watch_files(
    inferencer: VADInferencer,
    paths: Sequence[str | Path],
    writer: EventWriter,
    hold: float,
    show_progress: bool = True,
    clips: float | None = None,
) -> dict[str, int]:
    """Score recordings, and write their scores and events below the writer's folder.

    Args:
        inferencer: Scores them.
        paths: Video files, folders of frames, folders of such.
        writer: Of events.
        hold: Seconds below the threshold after which an event is over.
        show_progress: Whether to show a bar.
        clips: Seconds before and after each event that its clip has; None: there are none.

    Returns:
        Video to the number of its events. Those that were left out are in ``inferencer.skipped``.
    """
    counts: dict[str, int] = {}
    for result, frames in inferencer.results(list(paths), show_progress, on_error='skip'):
        write_score_files(writer.out, {result.video: result.details}, result.channel)
        before = writer.count
        for stretch in _stretches(inferencer, result, frames, writer.threshold, hold):
            clip = None
            if clips is not None:
                rate = _rate(frames)
                about = frames_about(frames, rate, stretch.start_frame, stretch.end_frame, clips)
                path = writer.out / clip_path(writer.name(stretch, result.video))
                clip = write_video(about, path, rate).relative_to(writer.out).as_posix()
            source = str(frames.path) if isinstance(frames, FrameSource) else result.video
            writer.write(stretch, source, result.video, over=True, clip=clip)
        counts[result.video] = writer.count - before
    return counts


def _rate(frames: Sequence[np.ndarray]) -> float:
    return frames.fps if isinstance(frames, FrameSource) else ASSUMED_RATE


def _stretches(
    inferencer: VADInferencer,
    result: VideoResult,
    frames: Sequence[np.ndarray],
    threshold: float,
    hold: float,
) -> Iterator[Stretch[Evidence]]:
    """What happens in a recording."""
    rate = _rate(frames)
    state: AlarmState[Evidence] = AlarmState(threshold, hold)
    numbers = result.details.objects['frames']
    for number, score in enumerate(result.scores.tolist()):
        rows = slice(*np.searchsorted(numbers, [number, number + 1]))
        evidence = None
        if score > threshold and rows.stop > rows.start:
            evidence = _evidence(inferencer, result, frames, number, rows)
        _, over = state.step(number, number / rate, score, evidence)
        if over is not None:
            yield over
    if (over := state.finish()) is not None:
        yield over


def _evidence(
    inferencer: VADInferencer,
    result: VideoResult,
    frames: Sequence[np.ndarray],
    number: int,
    rows: slice,
) -> Evidence:
    objects, smoothed = result.objects, result.details.smoothed[result.channel]
    boxes = objects['boxes'][rows]
    return Evidence(
        boxes,
        objects['scores'][rows],
        smoothed[rows],
        objects['tracks'][rows] if 'tracks' in objects else None,
        partial(frames.__getitem__, number),
        partial(inferencer.measure, frames, number, boxes),
    )
