"""Pictures of a test: every video's score, and the videos with the clearest change annotated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import numpy as np

from mmvad.datasets import VideoDataset
from mmvad.evaluation.functional import VideoScores
from mmvad.evaluation.samples import chosen_channel
from mmvad.structures import WorkDir
from mmvad.visualization import (
    ENCODERS,
    VideoOverview,
    append_score_strip,
    draw_objects,
    pick_frames,
    plot_overview,
    plot_scores,
    write_annotated_video,
)

_NOTHING = dict(frames=np.zeros(0, np.int32), boxes=np.zeros((0, 4), np.float32))


def write_report(
    videos: VideoDataset,
    work_dir: WorkDir,
    scored: Mapping[str, VideoScores],
    channel: str,
    annotate: int,
    threshold: float | None = None,
) -> list[Path]:
    """Draw what was scored: plots, annotated videos and an overview. Those of an earlier test go.

    An annotated video plays as fast as its frames were taken, 25 a second where nothing says.

    Args:
        videos: The test split.
        work_dir: Where to write.
        scored: Video to its scores.
        channel: The one to draw.
        annotate: How many videos to annotate: those with the clearest change of score first.
        threshold: Above which score there is an alarm, if that is known.

    Returns:
        The annotated videos.
    """
    suffixes = {encoder.suffix for encoder in ENCODERS} | {work_dir.plot('_').suffix}
    for one in (work_dir.plot('_'), work_dir.annotated('_')):
        for path in [path for path in one.parent.rglob('*') if path.suffix in suffixes]:
            path.unlink()
    work_dir.overview.unlink(missing_ok=True)
    scores = {video: found.final[channel] for video, found in scored.items()}
    for video, values in scores.items():
        plot_scores(
            values,
            videos.labels.get(video),
            work_dir.plot(video),
            f'Video {video}',
            raw=scored[video].raw[channel],
            threshold=threshold,
            fps=videos.source(video).known_fps,
        )
    everything = np.concatenate(list(scores.values()))
    limits = tuple(np.percentile(everything, (5, 99)).tolist())
    ranked = sorted(scores, key=lambda v: float(np.ptp(scores[v])), reverse=True)
    written = []
    for number, video in enumerate(islice(ranked, annotate)):
        source = videos.source(video)
        objects = scored[video].objects
        if objects is None:
            objects = dict(_NOTHING, **{channel: np.zeros(0, np.float32)})
        path = write_annotated_video(
            source,
            work_dir.annotated(video),
            source.fps,
            scores[video],
            objects['frames'],
            objects['boxes'],
            objects[channel],
            labels=videos.labels.get(video),
            threshold=threshold,
            limits=limits,
            raw=scored[video].raw[channel],
            known_fps=source.known_fps,
        )
        written.append(path)
        if number == 0:
            picks = pick_frames(scores[video])
            images = []
            for frame in picks:
                rows = objects['frames'] == frame
                boxes, values = objects['boxes'][rows], objects[channel][rows]
                images.append(draw_objects(source[frame], boxes, values, limits, scale=1))
            overview = VideoOverview(
                f'Video {video}',
                images,
                picks,
                scores[video],
                videos.labels.get(video),
                scored[video].raw[channel],
                threshold,
                source.known_fps,
            )
            plot_overview([overview], work_dir.overview)
    return written


def pictures(work_dir: WorkDir, videos: Iterable[str]) -> dict[str, Path]:
    """Name to image file of a test's report, whether or not it is there."""
    plots = {f'plots/{video}': work_dir.plot(video) for video in videos}
    return {'overview': work_dir.overview, 'why': work_dir.why_overview, **plots}


def drawn_frames(
    videos: VideoDataset, work_dir: WorkDir, score: str | None = None, interval: int = 1
) -> Iterator[tuple[str, int, np.ndarray]]:
    """Frames of the test split with what a test scored in them, from its score files.

    Args:
        videos: The test split.
        work_dir: Of the test.
        score: The channel of the boxes' scores; None: that of the final score.
        interval: Every so many frames.

    Yields:
        Video, frame number and BGR uint8 picture.
    """
    scores = {video: np.load(work_dir.scores(video)) for video in videos.lengths}
    limits = tuple(np.percentile(np.concatenate(list(scores.values())), (5, 99)).tolist())
    for video in videos.lengths:
        objects = dict(_NOTHING)
        if (path := work_dir.objects(video)).is_file():
            with np.load(path, allow_pickle=False) as stored:
                objects = dict(stored)
        channels = tuple(
            key for key in objects if key not in ('frames', 'boxes', 'tubes', 'tracks')
        )
        values = objects[chosen_channel(score, channels)] if channels else np.zeros(0)
        source = videos.source(video)
        for frame in range(0, len(source), interval):
            rows = objects['frames'] == frame
            image = draw_objects(source[frame], objects['boxes'][rows], values[rows], limits)
            labels = videos.labels.get(video)
            yield video, frame, append_score_strip(image, scores[video], frame, limits, labels)
