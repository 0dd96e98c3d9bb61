"""Score curves as PNG pictures.

Figures are made without pyplot, so nothing here needs a display or changes a global state.
Shape letters: F frames of the video.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mmvad.structures import atomic_path

DPI = 120
_SCORE = '#14507a'
_RAW = '#9db8c9'
_ABNORMAL = '#f4b6a6'
_THRESHOLD = '#c2410c'
_MARK = '#3d3d3d'


@dataclass(frozen=True)
class VideoOverview:
    """One video of :func:`plot_overview`.

    Attributes:
        name: Title above the pictures.
        images: Pictures of some frames, BGR uint8 (H, W, 3), annotated or not.
        frames: Frame index of every picture, 0-based, ascending.
        scores: Final frame scores (F,).
        labels: (F,) of 0 and 1, or None.
        raw: Scores before smoothing (F,), or None.
        threshold: Alarm level, or None.
        fps: Frames per second; None: not known.
    """

    name: str
    images: Sequence[np.ndarray]
    frames: Sequence[int]
    scores: np.ndarray
    labels: np.ndarray | None = None
    raw: np.ndarray | None = None
    threshold: float | None = None
    fps: float | None = None


def plot_scores(
    scores: np.ndarray,
    labels: np.ndarray | None,
    path: str | Path,
    title: str,
    raw: np.ndarray | None = None,
    threshold: float | None = None,
    fps: float | None = None,
) -> None:
    """Draw the score of every frame of a video, with the abnormal frames shaded.

    Args:
        scores: Final frame scores (F,).
        labels: (F,) of 0 and 1, or None when they are not known.
        path: The PNG file, 1200 x 420 pixels; written whole or not at all.
        title: Text above the curve.
        raw: Scores before smoothing (F,), drawn behind the curve.
        threshold: Alarm level, drawn as a dashed line.
        fps: Frames per second; the time stands under the frames' numbers where it is known.
    """
    figure = Figure(figsize=(10, 3.5), dpi=DPI, layout='constrained')
    axes = figure.add_subplot()
    _draw_curve(axes, scores, labels, raw, threshold, fps)
    axes.set_title(title, loc='left', fontsize=12, fontweight='bold')
    save_figure(figure, path)


def plot_overview(videos: Sequence[VideoOverview], path: str | Path) -> None:
    """Draw some videos one below the other: annotated frames above the score curve.

    Letters show where on the curve each picture lies.

    Args:
        videos: At least one; each with at least one picture.
        path: The PNG file, 1200 pixels wide; written whole or not at all.

    Raises:
        ValueError: There are no videos, or one has no pictures or not one frame index a picture.
    """
    if not videos:
        raise ValueError('no videos to draw')
    for video in videos:
        if not len(video.images) or len(video.images) != len(video.frames):
            raise ValueError(
                f'video {video.name!r}: expected one frame index a picture, got '
                f'{len(video.images)} pictures and {len(video.frames)} indices'
            )
    width, curve_height, heading = 10.0, 2.6, 1.0
    # A row of pictures is as high as its highest picture at a share of the width.
    rows = [
        max(image.shape[0] / image.shape[1] for image in video.images)
        * (width - 0.3)
        / len(video.images)
        for video in videos
    ]
    heights = [row + curve_height + heading for row in rows]
    figure = Figure(figsize=(width, sum(heights)), dpi=DPI, layout='constrained')
    blocks = figure.subfigures(len(videos), 1, squeeze=False, height_ratios=heights)[:, 0]
    for video, block, row in zip(videos, blocks, rows, strict=True):
        _draw_overview(block, video, (row, curve_height))
    save_figure(figure, path)


def plot_score_grid(videos: Sequence[VideoOverview], path: str | Path, columns: int = 2) -> None:
    """Draw the score curves of many videos on one scale.

    Args:
        videos: At least one; of each the name, scores, labels and unsmoothed scores are drawn.
        path: The PNG file; written whole or not at all.
        columns: Curves side by side.
    """
    rows = -(-len(videos) // columns)
    figure = Figure(figsize=(5.5 * columns, 1.7 * rows), dpi=DPI, layout='constrained')
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes in grid.flat[len(videos) :]:
        axes.set_axis_off()
    for axes, video in zip(grid.flat, videos, strict=False):
        _draw_curve(axes, video.scores, video.labels, video.raw, video.threshold, video.fps)
        axes.set_title(video.name, loc='left', fontsize=9, fontweight='bold')
        axes.get_legend().set_visible(axes is grid.flat[0])
        if axes not in grid[-1]:
            axes.set_xlabel('')
        axes.set_ylabel('anomaly score' if axes in grid[:, 0] else '')
    save_figure(figure, path)


def seconds_text(seconds: float) -> str:
    """A time in a video, as people write it: ``4.8 s``, ``1:04`` or ``2:00:30``.

    >>> seconds_text(4.84), seconds_text(64), seconds_text(7230)
    ('4.8 s', '1:04', '2:00:30')
    """
    if abs(seconds) < 59.95:
        return f'{seconds:.1f} s'
    sign, whole = '-' if seconds < 0 else '', round(abs(seconds))
    minutes, hours = whole // 60 % 60, whole // 3600
    start = f'{hours}:{minutes:02d}' if hours else str(minutes)
    return f'{sign}{start}:{whole % 60:02d}'


def pick_frames(scores: np.ndarray, count: int = 3) -> list[int]:
    """Frames that show the range of a video: lowest, highest and evenly ranked scores between.

    Args:
        scores: Frame scores (F,).
        count: How many frames, 2 to F.

    Returns:
        Frame indices, ascending.
    """
    if not 2 <= count <= len(scores):
        raise ValueError(f'count: expected 2 to {len(scores)} frames, got {count}')
    ranks = np.linspace(0, len(scores) - 1, count).round().astype(int)
    return sorted(np.argsort(scores, kind='stable')[ranks].tolist())


def _draw_overview(block, video: VideoOverview, heights: tuple[float, float]) -> None:
    """Fill one subfigure of the overview."""
    grid = block.add_gridspec(2, len(video.images), height_ratios=heights)
    block.suptitle(video.name, x=0.01, ha='left', fontsize=12, fontweight='bold')
    curve = block.add_subplot(grid[1, :])
    _draw_curve(curve, video.scores, video.labels, video.raw, video.threshold, video.fps)
    for column, (image, frame) in enumerate(zip(video.images, video.frames, strict=True)):
        letter = ascii_uppercase[column % 26]
        axes = block.add_subplot(grid[0, column])
        axes.imshow(image[:, :, ::-1], interpolation='antialiased')
        axes.set_axis_off()
        state = ''
        if video.labels is not None:
            state = ', abnormal' if video.labels[frame] else ', normal'
        axes.set_title(f'{letter}: frame {frame}{state}', fontsize=10)
        curve.axvline(frame, color=_MARK, linewidth=0.9, linestyle=':')
        curve.annotate(
            letter,
            (frame, 1),
            xycoords=('data', 'axes fraction'),
            xytext=(0, -3),
            textcoords='offset points',
            ha='center',
            va='top',
            fontsize=9,
            fontweight='bold',
            color=_MARK,
            bbox={'boxstyle': 'circle,pad=0.2', 'facecolor': 'white', 'edgecolor': _MARK},
        )


def _draw_curve(
    axes: Axes,
    scores: np.ndarray,
    labels: np.ndarray | None,
    raw: np.ndarray | None,
    threshold: float | None,
    fps: float | None,
) -> None:
    """Score curve with shading, threshold, axis labels and legend."""
    frames = np.arange(len(scores))
    for name, values in (('labels', labels), ('raw', raw)):
        if values is not None and len(values) != len(scores):
            raise ValueError(f'{name}: expected {len(scores)} frames, got {len(values)}')
    handles = []
    if raw is not None:
        handles += axes.plot(frames, raw, color=_RAW, linewidth=0.9, label='score, not smoothed')
    handles += axes.plot(frames, scores, color=_SCORE, linewidth=1.8, label='score')
    if threshold is not None:
        style = {'color': _THRESHOLD, 'linewidth': 1.2, 'linestyle': '--'}
        handles.append(axes.axhline(threshold, label='threshold', **style))
    if labels is not None:
        for start, stop in _intervals(labels):
            axes.axvspan(start - 0.5, stop - 0.5, color=_ABNORMAL, alpha=0.55, linewidth=0)
        handles.append(Patch(facecolor=_ABNORMAL, alpha=0.55, label='labelled abnormal'))
    axes.set_xlim(-0.5, len(scores) - 0.5)
    axes.margins(y=0.12)
    axes.set_xlabel('frame' if fps is None else f'frame, and time ({fps:g} frames a second)')
    if fps is not None:
        axes.xaxis.set_major_formatter(lambda frame, _: f'{frame:g}\n{seconds_text(frame / fps)}')
    axes.set_ylabel('anomaly score')
    axes.grid(axis='y', color='#e4e4e4', linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(
        handles=handles,
        loc='lower right',
        bbox_to_anchor=(1, 1),
        ncols=len(handles),
        frameon=False,
        fontsize=9,
        borderaxespad=0.2,
    )


def _intervals(labels: np.ndarray) -> list[tuple[int, int]]:
    """Runs of ones as (start, stop) frame indices, stop excluded."""
    padded = np.concatenate([[0], np.asarray(labels) != 0, [0]]).astype(int)
    edges = np.flatnonzero(np.diff(padded))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG or JPEG, by its name, whole or not at all."""
    path, canvas = Path(path), FigureCanvasAgg(figure)
    writers = {'.png': canvas.print_png, '.jpg': canvas.print_jpg}
    if path.suffix not in writers:
        raise ValueError(f'{path}: expected a name that ends in .png or .jpg')
    with atomic_path(path) as temporary:
        writers[path.suffix](str(temporary))
