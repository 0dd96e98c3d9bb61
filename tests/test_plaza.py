from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmvad.preparation.plaza import EVENTS, write_plaza
from mmvad.preparation.plaza.figure import random_person
from mmvad.preparation.plaza.gait import gait
from mmvad.preparation.plaza.render import Renderer
from mmvad.preparation.plaza.route import Route

SIZE = (120, 160)
FRAMES = 40
TINY = dict(train_videos=1, train_frames=6, test_videos=1, test_frames=FRAMES, size=(96, 128))


@pytest.fixture(scope='module')
def plaza(tmp_path_factory) -> Path:
    """Two training videos, and a test video of each kind."""
    root = tmp_path_factory.mktemp('data') / 'plaza'
    write_plaza(
        root,
        train_videos=2,
        train_frames=FRAMES,
        test_videos=len(EVENTS),
        test_frames=FRAMES,
        size=SIZE,
    )
    return root


@pytest.fixture(scope='module')
def tiny(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('data') / 'tiny'
    write_plaza(root, seed=3, **TINY)
    return root


def digest(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob('*'))
        if path.is_file()
    }


def rows_of(root: Path, split: str, video: str) -> list[dict[str, str]]:
    with open(root / split / 'tracks' / f'{video}.csv', newline='') as file:
        return list(csv.DictReader(file))


def box_of(row: dict[str, str]) -> list[int]:
    return [int(row[name]) for name in ('x1', 'y1', 'x2', 'y2')]


def test_layout_and_counts(plaza):
    for split, videos in (('training', 2), ('testing', len(EVENTS))):
        folders = sorted((plaza / split / 'frames').iterdir())
        assert [folder.name for folder in folders] == [f'{k:02d}' for k in range(videos)]
        for folder in folders:
            names = sorted(path.name for path in folder.iterdir())
            assert names == [f'{k:03d}.jpg' for k in range(FRAMES)]
            assert cv2.imread(str(folder / names[0])).shape == (*SIZE, 3)
            assert (plaza / split / 'tracks' / f'{folder.name}.csv').is_file()
    assert not (plaza / 'training' / 'test_frame_mask').exists()
    record = json.loads((plaza / 'plaza.json').read_text())
    assert record['size'] == list(SIZE)
    assert list(record['test_events'].values()) == list(EVENTS)
    assert [path.name for path in plaza.parent.iterdir()] == ['plaza']


def test_labels_are_where_the_mask_is_not_empty(plaza):
    for k in range(len(EVENTS)):
        labels = np.load(plaza / 'testing' / 'test_frame_mask' / f'{k:02d}.npy')
        masks = np.load(plaza / 'testing' / 'test_pixel_mask' / f'{k:02d}.npy')
        assert labels.dtype == masks.dtype == np.uint8
        assert labels.shape == (FRAMES,) and masks.shape == (FRAMES, *SIZE)
        np.testing.assert_array_equal(labels, masks.reshape(FRAMES, -1).max(1))
        odd = np.flatnonzero(labels)
        assert len(odd) >= 5 and odd[0] >= 2 and odd[-1] <= FRAMES - 2


def test_boxes_lie_in_the_frame_and_around_the_mask(plaza):
    height, width = SIZE
    for k in range(len(EVENTS)):
        masks = np.load(plaza / 'testing' / 'test_pixel_mask' / f'{k:02d}.npy')
        odd = defaultdict(list)
        for row in rows_of(plaza, 'testing', f'{k:02d}'):
            x1, y1, x2, y2 = box_of(row)
            assert 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height
            if row['anomaly'] == '1':
                odd[int(row['frame'])].append((x1, y1, x2, y2))
        assert sorted(odd) == np.flatnonzero(masks.any((1, 2))).tolist()
        for frame, boxes in odd.items():
            ys, xs = np.nonzero(masks[frame])
            x1, y1, x2, y2 = np.array(boxes).T
            around = (x1.min(), y1.min(), x2.max(), y2.max())
            assert around == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
            for left, top, right, bottom in boxes:
                assert masks[frame, top:bottom, left:right].sum() >= 10


def test_mask_shows_what_differs_from_the_empty_plaza(plaza):
    for k in range(len(EVENTS)):
        folder = plaza / 'testing' / 'frames' / f'{k:02d}'
        video = np.stack([cv2.imread(str(path)) for path in sorted(folder.iterdir())])
        masks = np.load(plaza / 'testing' / 'test_pixel_mask' / f'{k:02d}.npy') > 0
        normal = video[~masks.any((1, 2))]
        change = np.abs(video - np.median(normal, 0)).max(-1)
        assert np.median(change[masks]) > 2.5 * np.median(change[~masks])


def test_training_is_normal_and_test_walkers_are_of_the_same_kind(plaza):
    for k in range(2):
        rows = rows_of(plaza, 'training', f'{k:02d}')
        assert len({row['frame'] for row in rows}) > FRAMES // 2
        assert {(row['kind'], row['anomaly']) for row in rows} == {('walker', '0')}
    for k, kind in enumerate(('runner', 'cyclist', 'cart', 'faller', 'wrong_way', 'bag')):
        rows = rows_of(plaza, 'testing', f'{k:02d}')
        assert kind in {row['kind'] for row in rows if row['anomaly'] == '1'}
        assert all(row['anomaly'] == '0' for row in rows if row['kind'] == 'walker')
        assert any(row['kind'] == 'walker' for row in rows)


def test_runners_and_cyclists_are_faster_than_walkers(plaza):
    speeds = defaultdict(list)
    for video in ('00', '01'):
        tracks = defaultdict(dict)
        for row in rows_of(plaza, 'testing', video):
            x1, y1, x2, y2 = box_of(row)
            if 0 < x1 and x2 < SIZE[1]:
                kind, track = row['kind'], row['track']
                tracks[kind, track][int(row['frame'])] = (0.5 * (x1 + x2), y2 - y1)
        for (kind, _), places in tracks.items():
            for frame, (x, tall) in places.items():
                if frame + 1 in places:
                    speeds[kind].append(abs(places[frame + 1][0] - x) / tall)
    usual = np.median(speeds['walker'])
    assert np.median(speeds['runner']) > 1.8 * usual
    assert np.median(speeds['cyclist']) > 1.8 * usual


def test_same_seed_same_bytes(tiny, tmp_path):
    threads = cv2.getNumThreads()
    np.random.seed(11)
    cv2.setNumThreads(1)
    try:
        write_plaza(tmp_path / 'again', seed=3, **TINY)
        write_plaza(tmp_path / 'other', seed=4, **TINY)
    finally:
        cv2.setNumThreads(threads)
    first, again, other = digest(tiny), digest(tmp_path / 'again'), digest(tmp_path / 'other')
    assert first == again
    assert first.keys() == other.keys()
    assert all(other[name] != value for name, value in first.items() if name.endswith('.jpg'))


def test_complete_set_is_left_alone_and_other_settings_are_refused(tiny):
    before = {path: path.stat().st_mtime_ns for path in tiny.rglob('*')}
    write_plaza(tiny, seed=3, **TINY)
    assert before == {path: path.stat().st_mtime_ns for path in tiny.rglob('*')}
    with pytest.raises(ValueError, match=r'plaza\.json.*seed is 3, not 5'):
        write_plaza(tiny, seed=5, **TINY)
    with pytest.raises(ValueError, match=r'plaza\.json.*train_frames is 6, not 7'):
        write_plaza(tiny, seed=3, **{**TINY, 'train_frames': 7})


def test_interrupted_run_leaves_nothing_and_can_be_repeated(tiny, tmp_path, monkeypatch):
    render = Renderer.render

    def stop(self, index):
        if index == 4:
            raise KeyboardInterrupt
        return render(self, index)

    root = tmp_path / 'plaza'
    with monkeypatch.context() as patch:
        patch.setattr(Renderer, 'render', stop)
        with pytest.raises(KeyboardInterrupt):
            write_plaza(root, seed=3, **TINY)
    assert not list(tmp_path.iterdir())
    write_plaza(root, seed=3, **TINY)
    assert digest(root) == digest(tiny)


def test_partial_folder_is_made_again_but_foreign_files_are_kept(tiny, tmp_path):
    root = tmp_path / 'plaza'
    shutil.copytree(tiny, root)
    (root / 'plaza.json').unlink()
    shutil.rmtree(root / 'testing' / 'frames')
    (root / 'training' / 'frames' / '00' / '000.jpg').write_bytes(b'cut off')
    write_plaza(root, seed=3, **TINY)
    assert digest(root) == digest(tiny)

    (root / 'plaza.json').unlink()
    precious = root / 'training' / 'frames' / '00' / '900.jpg'
    precious.write_bytes(b'of another data set')
    with pytest.raises(ValueError, match=r'900\.jpg'):
        write_plaza(root, seed=3, **TINY)
    assert precious.read_bytes() == b'of another data set'


@pytest.mark.parametrize(
    'wrong', [{'test_frames': 20}, {'size': (40, 320)}, {'train_videos': 0}, {'seed': -1}]
)
def test_settings_out_of_range_are_named(tmp_path, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        write_plaza(tmp_path / 'plaza', **wrong)


def test_planted_foot_does_not_slide():
    for seed in range(5):
        person = random_person(np.random.default_rng(seed))
        speed, step = 0.9 + 0.2 * seed, 0.05
        feet = []
        for k in range(60):
            joints = gait(person, speed * step * k, speed)
            feet.append([speed * step * k + joints[name][0] for name in ('toe_l', 'toe_r')])
        moved = np.abs(np.diff(feet, axis=0))
        assert moved.min(1).max() < 1e-9
        # Over whole strides both feet come as far as the body.
        assert np.abs(np.ptp(feet, axis=0) - speed * step * 59).max() < 0.8 * person.height


def test_route_keeps_its_speed_and_its_stop():
    route = Route([(0.0, 10.0), (8.0, 10.0)], 1.25, start=2.0, pauses=[(4.0, 3.0, np.pi / 2)])
    assert route.seconds == pytest.approx(8.0 / 1.25 + 3.0, abs=0.6)
    before, after = route.at(3.0), route.at(4.0)
    assert after.x - before.x == pytest.approx(1.25, abs=1e-6)
    standing = route.at(2.0 + 4.0 / 1.25 + 2.0)
    assert standing.effort == 0.0
    assert standing.x == pytest.approx(4.0, abs=0.4)
    assert standing.heading == pytest.approx(np.pi / 2, abs=0.05)
    assert not route.present(1.9) and not route.present(route.end + 0.1)
