"""Detectors of mmdet side by side."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import tiny_config
from mmengine.hub import get_config
from runs import said

from mmvad.proposals import save_random_weights

TINY = 'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py'
SMALL = {
    'test_dataloader.dataset.pipeline.1.scale': (160, 160),
    'test_dataloader.dataset.pipeline.2.size': (160, 160),
    'model.test_cfg.max_per_img': 10,
}


@pytest.mark.slow
def test_detectors_side_by_side(plaza: Path, tmp_path: Path):
    """Random weights have no AUC; one that cannot run has a line of its own."""
    weights = save_random_weights(TINY, tmp_path / 'tiny.pth')
    cfg = get_config(TINY)
    cfg.merge_from_dict(SMALL)
    cfg.dump(tmp_path / 'rtmdet.py')
    plain = tiny_config(plaza, tmp_path / 'unused', method='attributes')
    plain.dump(tmp_path / 'method.py')
    done = said(
        'analysis_tools/compare_detectors.py',
        'rtmdet.py',
        'none.py',
        f'rtmdet.py={weights}',
        *('--video', plaza / 'testing/frames/00', '--frames', '2', '--device', 'cpu'),
        *('--score-thr', '0', '--min-side', '0'),
        *('--method', 'method.py', '--work-dir', 'detectors'),
        cwd=tmp_path,
    )
    assert done.returncode == 1, done.stderr
    rows = [line.split('|') for line in done.stdout.splitlines() if line.startswith('| rtmdet')]
    assert [row[2].strip() for row in rows] == ['random', 'tiny.pth']
    assert all(0 < float(row[3]) <= 300 and float(row[4]) > 0 for row in rows)
    assert all(float(row[5]) > 0 for row in rows)
    assert rows[0][6].strip() == '–' and 0 <= float(rows[1][6]) <= 100
    assert any(line.startswith('none.py: ') for line in done.stderr.splitlines())
    (run,) = (tmp_path / 'detectors').iterdir()
    assert (run / 'metrics.json').is_file()
