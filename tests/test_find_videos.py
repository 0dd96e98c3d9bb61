"""Videos are found below a folder as recorders and people leave them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from camera import write_video

from mmvad.datasets import VideoDataset, find_videos


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_folders_of_days_and_what_is_beside_the_videos(tmp_path):
    root = touch(
        tmp_path / 'cam',
        '2024-05-02/9.mp4',
        '2024-05-02/10.ts',
        '2024-05-01/a/clip.m4v',
        '2024-05-01/a/still.jpg',
        '2024-05-01/a/clip.txt',
        'frames/01/000.png',
        'frames/02.day/000.jpg',
        '@eaDir/9.mp4',
        '.hidden/1.mp4',
        'top.mkv',
        'same.mp4',
        'same.avi',
    )
    found = find_videos(root)
    assert {name: path.relative_to(root).as_posix() for name, path in found.items()} == {
        'top': 'top.mkv',
        'same.mp4': 'same.mp4',
        'same.avi': 'same.avi',
        '2024-05-01/a/clip': '2024-05-01/a/clip.m4v',
        '2024-05-02/9': '2024-05-02/9.mp4',
        '2024-05-02/10': '2024-05-02/10.ts',
        'frames/01': 'frames/01',
        'frames/02.day': 'frames/02.day',
    }
    names = list(found)
    assert names.index('2024-05-02/9') < names.index('2024-05-02/10')


def test_a_single_video(tmp_path):
    root = touch(tmp_path, 'a.b.mp4', 'day/000.jpg')
    assert find_videos(root / 'a.b.mp4') == {'a.b': root / 'a.b.mp4'}
    assert find_videos(root / 'day') == {'day': root / 'day'}


def test_links_that_lead_round_in_a_circle(tmp_path):
    root = touch(tmp_path / 'cam', 'day/1.mp4')
    (root / 'day/again').symlink_to(root)
    other = touch(tmp_path / 'other', '2.mp4')
    (root / 'linked').symlink_to(other)
    assert set(find_videos(root)) == {'day/1', 'linked/2'}


def test_nothing_there(tmp_path):
    touch(tmp_path, 'notes.txt', 'empty/notes.txt')
    with pytest.raises(ValueError, match=r'holds no images, no videos .*\.ts'):
        find_videos(tmp_path)
    with pytest.raises(FileNotFoundError, match='gone: no such folder'):
        find_videos(tmp_path / 'gone')


def test_a_dataset_of_any_videos(tmp_path):
    rng = np.random.default_rng(0)
    frames = list(rng.integers(0, 255, (12, 48, 64, 3), np.uint8))
    write_video(tmp_path / 'day/long.ts', frames)
    write_video(tmp_path / 'day/short.mp4', frames[:3])
    (tmp_path / 'day/broken.mp4').write_text('no video')
    (tmp_path / 'images').mkdir()
    for number, frame in enumerate(frames[:10]):
        cv2.imwrite(str(tmp_path / f'images/{number}.png'), frame)
    where = dict(data_root=str(tmp_path), data_prefix=dict(any=''), least_frames=10)
    videos = VideoDataset(**where, on_error='skip')
    assert videos.lengths == {'day/long': 12, 'images': 10}
    assert set(videos.skipped) == {'day/short', 'day/broken'}
    assert 'has 3 frames, expected at least 10' in videos.skipped['day/short']
    assert 'day/broken.mp4: cannot be opened' in videos.skipped['day/broken']
    assert videos.source('images')[0].shape == (48, 64, 3)
    with pytest.raises(ValueError, match='broken.mp4: cannot be opened'):
        VideoDataset(**where)
    alone = VideoDataset(**dict(where, data_root=str(tmp_path / 'day/long.ts')))
    assert alone.lengths == {'long': 12}
    with pytest.raises(FileNotFoundError, match='gone.ts: no such folder'):
        VideoDataset(**dict(where, data_root=str(tmp_path / 'gone.ts')))
    with pytest.raises(ValueError, match='least_frames: expected a whole number'):
        VideoDataset(**dict(where, least_frames=0))
