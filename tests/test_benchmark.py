"""The tool that measures speed: what it prints adds up."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from conftest import REPO, tiny_config

from mmvad.datasets import FrameSource


@pytest.fixture(scope='module')
def tool() -> dict:
    return runpy.run_path(str(REPO / 'tools/analysis_tools/benchmark.py'))


@pytest.fixture
def printed(tool, capsys):
    """What it prints, line by line."""

    def run(*arguments: str | Path) -> list[str]:
        args = tool['make_parser']().parse_args(list(map(str, arguments)))
        before = FrameSource.__getitem__
        tool['main'](args)
        assert FrameSource.__getitem__ is before
        return capsys.readouterr().out.splitlines()

    return run


def shares(lines: list[str]) -> dict[str, float]:
    """Milliseconds a frame by part, which make up all."""
    start = next(i for i, line in enumerate(lines) if line.startswith('part '))
    stop = next(i for i, line in enumerate(lines) if line.startswith('all '))
    parts = {line[:22].strip(): float(line[22:].split()[0]) for line in lines[start + 1 : stop]}
    assert sum(parts.values()) == pytest.approx(float(lines[stop].split()[1]), abs=0.2)
    return parts


def test_a_video_from_end_to_end(printed, finished, plaza, tmp_path):
    cfg = tiny_config(plaza, tmp_path)
    cfg.dump(tmp_path / 'tiny.py')
    video = plaza / 'testing/frames/00'
    lines = printed(
        tmp_path / 'tiny.py', finished / 'localvad.pth', '--video', video, '--frames', '20'
    )
    assert '20 frames of 160 x 120' in lines[0] and lines[1].startswith('end to end: ')
    parts = shares(lines)
    assert {'decoding', 'boxes', 'optical flow', 'CropTubes', 'branches', 'scoring'} <= set(parts)
    assert all(parts[name] > 0 for name in ('decoding', 'boxes', 'branches'))
    assert lines[-1].startswith('peak memory: ')


def test_without_a_model_file(printed, plaza, tmp_path):
    tiny_config(plaza, tmp_path, method='attributes').dump(tmp_path / 'tiny.py')
    lines = printed(tmp_path / 'tiny.py', '--video', plaza / 'testing/frames/00')
    assert '40 frames' in lines[0] and shares(lines)['MeasureAttributes'] > 0
    assert lines[-1].startswith('scored by these ')
    with pytest.raises(ValueError, match='3 frames, expected at least'):
        printed(tmp_path / 'tiny.py', '--video', plaza / 'testing/frames/00', '--frames', '3')
    with pytest.raises(ValueError, match='^--video: expected one'):
        printed(tmp_path / 'tiny.py', 'model.pth')
    with pytest.raises(FileNotFoundError, match='none.mp4'):
        printed(tmp_path / 'tiny.py', '--video', tmp_path / 'none.mp4')
