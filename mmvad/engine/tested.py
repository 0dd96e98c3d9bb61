"""Which videos a test scored, and by which settings: for who looks at the scores later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from mmvad.datasets import VideoDataset
from mmvad.structures import WorkDir, write_json
from mmvad.structures.array_files import damage_named
from mmvad.structures.text_files import parse_json, read_text


def write_tested(work_dir: WorkDir, videos: VideoDataset, channel: str, cfg: Config) -> None:
    """Write ``tested.json``.

    Of each video it holds the absolute ``path``, the number of ``frames``, the ``fps`` and if they
    are ``known`` or assumed, the ``value_range``, and the ``abnormal`` frames, [start, stop] each,
    stop excluded (None without labels); beside them the ``channel`` of the final score and the
    ``config`` as text.

    Args:
        work_dir: Where to write.
        videos: Those that were scored.
        channel: Of the final score.
        cfg: All settings.
    """
    rows = {}
    for video, frames in videos.lengths.items():
        source = videos.source(video)
        labels = videos.labels.get(video)
        rows[video] = dict(
            path=str(source.path.resolve()),
            frames=frames,
            fps=source.fps,
            known=source.known_fps is not None,
            value_range=videos.value_range_found,
            abnormal=None if labels is None else _runs(labels),
        )
    write_json(work_dir.tested, dict(channel=channel, config=cfg.pretty_text, videos=rows))


def _runs(labels: np.ndarray) -> list[list[int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(labels) != 0, [0]]).astype(int)))
    return edges.reshape(-1, 2).tolist()


def read_tested(path: str | Path) -> dict[str, Any]:
    """What :func:`write_tested` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged; the message names the file and the field.
    """
    path = Path(path)
    content = parse_json(read_text(path), path)
    with damage_named(str(path), 'the record of a test'):
        str.strip(content['channel'])
        str.strip(content['config'])
        rows = content['videos']
    for video, row in rows.items():
        with damage_named(f'{path}: videos.{video}', 'the record of a video'):
            frames, fps = row['frames'], row['fps']
            runs = row['abnormal'] or []
            if not (isinstance(frames, int) and frames > 0 and 0 < fps < 1e4):
                raise ValueError(f'expected frames and fps above 0, got {frames!r} and {fps!r}')
            if any(not 0 <= start < stop <= frames for start, stop in runs):
                raise ValueError(f'abnormal: expected runs within {frames} frames, got {runs}')
            str.strip(row['path'])
            bool(row['known'])
    return content
