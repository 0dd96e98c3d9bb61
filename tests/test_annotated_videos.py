"""The pictures that a test leaves: each annotated video takes as long as the video it shows."""

from __future__ import annotations

import av
import numpy as np
import pytest

from mmvad.datasets import VideoDataset
from mmvad.engine.report import write_report
from mmvad.evaluation.functional import VideoScores
from mmvad.structures import WorkDir
from mmvad.visualization import write_video

FRAMES = 76


@pytest.fixture
def videos(tmp_path) -> VideoDataset:
    """Two videos of 25 and 30 frames a second."""
    for name, fps in (('slow', 25), ('fast', 30)):
        pictures = (np.full((60, 80, 3), 2 * n, np.uint8) for n in range(FRAMES))
        write_video(pictures, tmp_path / f'videos/{name}.mp4', fps)
    return VideoDataset(str(tmp_path), dict(video='videos'))


def scores(height: float) -> VideoScores:
    raw = np.zeros(FRAMES, np.float32)
    raw[40] = height
    objects = dict(
        frames=np.array([40], np.int32),
        boxes=np.array([[10, 10, 30, 40]], np.float32),
        all=np.array([height], np.float32),
    )
    return VideoScores(dict(all=raw), dict(all=raw), dict(all=raw / 2), objects)


def seconds(path) -> float:
    with av.open(str(path)) as container:
        return max(float((f.pts + f.duration) * f.time_base) for f in container.decode(video=0))


def test_annotated_videos_take_as_long_as_what_they_show(videos, tmp_path):
    work_dir = WorkDir(tmp_path / 'work')
    old = work_dir.annotated('old')
    old.parent.mkdir(parents=True)
    for path in (old, old.with_suffix('.webm'), work_dir.annotated('a/deep')):
        path.parent.mkdir(exist_ok=True)
        path.write_text('of an earlier test')
    found = dict(slow=scores(7.0), fast=scores(9.0))
    written = write_report(videos, work_dir, found, 'all', annotate=5)
    # The clearest change first; what an earlier test left is gone.
    assert written == [work_dir.annotated('fast'), work_dir.annotated('slow')]
    left = {path for path in (tmp_path / 'work/annotated').rglob('*') if path.is_file()}
    assert left == set(written)
    assert seconds(written[0]) == pytest.approx(FRAMES / 30, rel=1e-3)
    assert seconds(written[1]) == pytest.approx(3.04, rel=1e-3)
    assert len(write_report(videos, work_dir, found, 'all', annotate=1)) == 1
