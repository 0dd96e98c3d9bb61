"""Pictures of a dataset's tubes."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import tiny_config
from runs import said

from mmvad.structures import ObjectTubes


@pytest.mark.slow
def test_browsing_shows_the_tubes_that_were_found(finished: Path, plaza: Path, tmp_path: Path):
    work_dir = shutil.copytree(finished, tmp_path / 'run')
    tiny_config(plaza, work_dir).dump(tmp_path / 'config.py')
    done = said('visualizations/browse_dataset.py', 'config.py', '--number', '3', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    pictures = sorted((work_dir / 'browse/training').glob('*.jpg'))
    assert len(pictures) == 3
    held = {p.stem: ObjectTubes.load(p) for p in (work_dir / 'proposals/training').glob('*.npz')}
    assert done.stdout.startswith(f'3 tubes of {sum(map(len, held.values()))}: {work_dir}')
    for path in pictures:
        image = cv2.imread(str(path))
        # Window and horizon: six crops of 128 side by side; frame, crops, flow, four sentences.
        assert image.shape == (576 + 2 * 128 + 4 * 18 + 6, 6 * 128, 3)
        video, tube = path.stem.rsplit('_', 1)
        frame = cv2.imread(
            str(plaza / f'training/frames/{video}/{held[video].frames[int(tube)]:03d}.jpg')
        )
        x1, y1, x2, y2 = np.rint(held[video].boxes[int(tube)]).astype(int)
        crop = cv2.resize(frame[y1:y2, x1:x2], (128, 128), interpolation=cv2.INTER_AREA)
        shown = image[576 : 576 + 128, 5 * 128 :]
        assert np.abs(shown.astype(int) - crop).mean() < 6  # JPEG
    missing = said(
        'visualizations/browse_dataset.py', 'config.py', '--work-dir', 'none', cwd=tmp_path
    )
    assert missing.returncode == 1 and 'run the stage first' in missing.stderr
