"""Published tracks and boxes: read as they are written, and scored as the published code does."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import auc
from test_evaluate import annotate_plaza, tool  # noqa: F401 (a fixture)

from mmvad import cli
from mmvad.datasets import VideoDataset
from mmvad.datasets.ground_truth.regions import read_regions
from mmvad.evaluation.functional import region_track_auc
from mmvad.evaluation.score_files import read_boxes
from mmvad.evaluation.track_files import read_tracks

LENGTHS = {'a': 30, 'b': 20, 'c': 25}


def published(folder, num_frames):
    """RBDC and TBDC as lilygeorgescu/AED, evaluation/compute_tbdc_rbdc.py, has them: detection
    after detection, highest score first, boxes with both ends inside."""
    tracks, regions = {}, {}
    for video in LENGTHS:
        if not (file := folder / f'tracks/{video}.txt').exists():
            continue
        for track, frame, *box in np.loadtxt(file, delimiter=',', ndmin=2):
            tracks.setdefault((video, track), []).append(frame)
            regions.setdefault((video, frame), []).append([(video, track), box, False])
    found = []
    for video in LENGTHS:
        for frame, *box, score in np.loadtxt(folder / f'boxes/{video}.txt', delimiter=','):
            found.append((score, video, frame, box))
    matched = dict.fromkeys(tracks, 0)
    count = sum(map(len, tracks.values()))
    false = hits = 0
    fpr, rbdr, tbdr = [0.0], [0.0], [0.0]
    for _, video, frame, box in sorted(found, key=lambda item: -item[0]):
        touched = [r for r in regions.get((video, frame), []) if overlap(r[1], box) >= 0.1]
        false += not touched
        for region in touched:
            if not region[2]:
                region[2] = True
                hits += 1
                matched[region[0]] += 1
        shares = [matched[track] / len(frames) for track, frames in tracks.items()]
        fpr.append(false / num_frames)
        rbdr.append(hits / count)
        tbdr.append(sum(share >= 0.1 for share in shares) / len(tracks))
    assert fpr[-1] < 1
    # Flat from the last detection on.
    fpr, rbdr, tbdr = [*fpr, 1], [*rbdr, rbdr[-1]], [*tbdr, tbdr[-1]]
    return dict(rbdc=auc(fpr, rbdr), tbdc=auc(fpr, tbdr))


def overlap(a, b):
    """IoU of boxes whose corners are pixels inside them."""
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]) + 1)
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]) + 1)
    area, other = ((c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b))
    return width * height / (area + other - width * height)


def write_case(folder, seed):
    """Tracks of small boxes, some of one pixel, and scored boxes beside and on them."""
    rng = np.random.default_rng(seed)
    (folder / 'tracks').mkdir()
    (folder / 'boxes').mkdir()
    for video, length in LENGTHS.items():
        rows, scored = [], []
        for track in range(0 if video == 'c' else 3):
            x, y, start = *rng.integers(0, 50, 2), int(rng.integers(0, 8))
            for frame in range(start, start + int(rng.integers(3, 12))):
                side = rng.integers(0, 6, 2)
                rows.append([track, frame, x + frame, y, x + frame + side[0], y + side[1]])
                if rng.random() < 0.5:
                    jitter = rng.integers(-2, 3, 2)
                    low = np.array([x + frame, y]) + jitter
                    scored.append([frame, *low, *(low + side), rng.random()])
        for _ in range(12):
            low = rng.integers(0, 60, 2)
            scored.append(
                [int(rng.integers(0, length)), *low, *(low + rng.integers(0, 9, 2)), rng.random()]
            )
        # The others' file is written whole numbers first; empty lines and none at all are fine.
        if rows:
            text = '\n'.join(','.join(str(int(v)) for v in row) for row in rows) + '\n\n'
            (folder / f'tracks/{video}.txt').write_text(text)
        np.savetxt(folder / f'boxes/{video}.txt', scored, delimiter=',', fmt='%.17g')


@pytest.mark.parametrize('seed', range(5))
def test_figures_are_those_of_the_published_code(tmp_path, seed):
    write_case(tmp_path, seed)
    num_frames = sum(LENGTHS.values())
    truth = read_tracks(tmp_path / 'tracks', list(LENGTHS), LENGTHS, inclusive=True)
    found = read_boxes(tmp_path / 'boxes', list(LENGTHS), lengths=LENGTHS, inclusive=True)
    result = region_track_auc(truth, found, num_frames)
    expected = published(tmp_path, num_frames)
    assert result.rbdc == pytest.approx(expected['rbdc'], abs=1e-9)
    assert result.tbdc == pytest.approx(expected['tbdc'], abs=1e-9)
    assert 0 < result.rbdc < 1


def test_rows(tmp_path):
    (tmp_path / 'b.txt').write_text('\ufeff0,3,1,2,5.5,7\n\n1.0,19, 2,2,4,4\n', encoding='utf-8')
    (tmp_path / '._b.txt').write_text('hidden')
    (tmp_path / 'readme.md').write_text('not a track file')
    found = read_tracks(tmp_path, list(LENGTHS), LENGTHS)
    assert found.videos.tolist() == [1, 1] and found.frames.tolist() == [3, 19]
    assert found.tracks.tolist() == [0, 1]
    np.testing.assert_array_equal(found.boxes, [[1, 2, 5.5, 7], [2, 2, 4, 4]])
    grown = read_tracks(tmp_path, list(LENGTHS), LENGTHS, inclusive=True)
    np.testing.assert_array_equal(grown.boxes, [[1, 2, 6.5, 8], [2, 2, 5, 5]])


@pytest.mark.parametrize(
    ('name', 'text', 'words'),
    [
        ('a.txt', '0,1,2,3,4\n', 'a.txt, line 1: 5 columns, expected track,frame,x1,y1,x2,y2 with'),
        ('a.txt', 'track,frame,x1,y1,x2,y2\n', "a.txt, line 1: track: expected a whole .*'track'"),
        ('a.txt', '0,1,0,0,9,9\n0,1.5,0,0,9,9', "line 2: frame: expected a whole .*got '1.5'"),
        ('a.txt', '-1,1,0,0,9,9', "line 1: track: expected a whole number from 0 up, got '-1'"),
        ('a.txt', '0,30,0,0,9,9', 'frame 30, but the video has 30, expected 0 to 29'),
        ('a.txt', '0,3,0,0,nan,9', "line 1: x2: expected a finite number, got 'nan'"),
        ('a.txt', '0,3,0,0,1_0,9', "line 1: x2: expected a finite number, got '1_0'"),
        ('a.txt', f'{"9" * 400},3,0,0,1,9', 'line 1: track: expected a whole number'),
        ('a.txt', '0,3,4,4,4,9', r'a.txt: boxes: .* \(boxes that hold the pixels of x2 and y2'),
        ('a.txt', '0,3,0,0,9,9\n0,3,1,1,9,9', 'track 0 of video 0 has several in frame 3'),
        ('a.txt', '', 'expected a <video>.txt with tracks, found no region'),
        ('d.txt', '0,3,0,0,9,9', r"tracks of videos that are not in the test set: \['d'\]"),
        ('a.txt', b'\xff\xfe0', 'a.txt: not UTF-8'),
    ],
)
def test_what_is_off_is_named(tmp_path, name, text, words):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=words):
        read_tracks(tmp_path, list(LENGTHS), LENGTHS)
    with pytest.raises(FileNotFoundError, match='nowhere: no such folder of tracks'):
        read_tracks(tmp_path / 'nowhere', list(LENGTHS), LENGTHS)


def test_boxes_that_are_off_are_named(tmp_path):
    (tmp_path / 'a.txt').write_text('3,0,0,9,9,0.5\n4,0,0,9,9\n')
    with pytest.raises(ValueError, match='a.txt, line 2: 5 columns, expected frame,x1,.*,score'):
        read_boxes(tmp_path, list(LENGTHS), lengths=LENGTHS)
    (tmp_path / 'd.txt').write_text('3,0,0,9,9,0.5\n')
    with pytest.raises(ValueError, match=r"not in the test set: \['d.txt'\]"):
        read_boxes(tmp_path, list(LENGTHS), lengths=LENGTHS)


def test_the_tool(plaza, tmp_path, tool, monkeypatch, capsys):  # noqa: F811
    """Tracks where frames are not on disk; masks there give regions without their size."""
    labels = annotate_plaza(plaza, tmp_path)
    (tmp_path / 'testing').unlink()
    np.savez(tmp_path / 's.npz', **{v: y + 0.0 for v, y in labels.items()})
    (tmp_path / 'tracks').mkdir()
    (tmp_path / 'tracks/00.txt').write_text('0,5,10,10,10,10\n0,6,10,10,10,10\n')
    (tmp_path / 'boxes').mkdir()
    (tmp_path / 'boxes/00.txt').write_text('5,10,10,10,10,1\n')
    monkeypatch.chdir(tmp_path)

    def run(*args):
        args = ['x', 's.npz', '--dataset', 'testing.json', '--out', 'r.json', *args]
        monkeypatch.setattr(sys, 'argv', args)
        try:
            tool.main(tool.make_parser().parse_args())
        except (ValueError, OSError) as error:
            return cli.describe(error)
        return json.loads(Path('r.json').read_text())

    found = run('--boxes', 'boxes', '--tracks', 'tracks', '--inclusive')
    assert found['score_sets']['s']['regions'] == dict(rbdc=50, tbdc=100)
    assert found['regions'] == dict(tracks_from='tracks', regions=2, tracks=1, inclusive=True)
    assert 'tracks_from tracks, regions 2, tracks 1, inclusive True' in capsys.readouterr().out
    assert re.match(
        'tracks/00.txt: boxes: .*inclusive', run('--boxes', 'boxes', '--tracks', 'tracks')
    )
    words = '--min-region-area: of pixel masks, expected no --tracks'
    assert run('--boxes', 'boxes', '--tracks', 'tracks', '--min-region-area', '5') == words
    # The masks are gone with the frames.
    assert run('--boxes', 'boxes', '--inclusive').endswith('no such pixel masks')
    (tmp_path / 'testing').mkdir()
    (tmp_path / 'testing/test_pixel_mask').symlink_to(plaza / 'testing/test_pixel_mask')
    assert run('--boxes', 'boxes', '--inclusive')['regions']['regions'] > 0
    dataset = VideoDataset(data_root='.', ann_file='testing.json', need_frames=False)
    place = dict(data_root=str(plaza), data_prefix=dict(img='testing/frames'))
    masks = 'testing/test_pixel_mask/{video}.npy'
    expected = read_regions(VideoDataset(**place, pixel_masks=masks)).regions
    np.testing.assert_array_equal(read_regions(dataset).regions.boxes, expected.boxes)
