"""The dataset doctor: clean on healthy data, and each planted fault is found and named."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from mmvad.datasets import VideoDataset
from mmvad.datasets.annotations import VideoAnnotation, intervals_of, write_annotations
from mmvad.datasets.ground_truth.labels import read_labels
from mmvad.preparation import published
from mmvad.preparation.doctor import CannotExamine, examine
from mmvad.preparation.doctor.findings import Seen
from mmvad.preparation.doctor.frames import examine_frames
from mmvad.preparation.doctor.listing import Entry
from mmvad.visualization import write_video

TOOL = Path(__file__).parents[1] / 'tools' / 'dataset_doctor.py'
SIZE = (24, 32)
META = dict(dataset='yard', split='testing', ground_truth='by hand')


def image(rng, size=SIZE):
    # Plain patches: what is written as JPEG or MJPG stays small.
    return cv2.resize(rng.integers(0, 255, (3, 4, 3), dtype=np.uint8), size[::-1])


def write_clip(path, rng, count, fps=10.0, size=SIZE):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), fps, size[::-1])
    for _ in range(count):
        writer.write(image(rng, size))
    writer.release()


def write_list(root, changes=None):
    """The healthy list of the testing split; ``changes`` go over the lines of single videos."""
    rows = [
        dict(
            video='a', path='test/a', num_frames=12, intervals=[[3, 7]],
            pixel_masks='masks/a.npy',
        ),
        dict(
            video='b', path='test/b', num_frames=10, intervals=[[2, 5]],
            pixel_masks='masks/b_gt',
        ),
        dict(
            video='c', path='test/c.avi', num_frames=9, intervals=[[0, 2], [8, 9]],
            pixel_masks='masks/c.mat', tracks='masks/c_tracks.txt',
        ),
        dict(video='d', path='test/d.avi', num_frames=8),
    ]  # fmt: skip
    for row in rows:
        row.update((changes or {}).get(row['video'], {}))
    (root / 'test.json').write_text(json.dumps(dict(metainfo=META, data_list=rows)))


@pytest.fixture(scope='module')
def healthy(tmp_path_factory):
    """Folders of images and video files, masks in all three formats, and tracks."""
    root = tmp_path_factory.mktemp('healthy')
    rng = np.random.default_rng(0)
    for name, count in (('test/a', 12), ('test/b', 10), ('train/n', 6)):
        (root / name).mkdir(parents=True)
        for i in range(count):
            cv2.imwrite(str(root / name / f'{i:03d}.jpg'), image(rng))
    write_clip(root / 'test/c.avi', rng, 9)
    write_clip(root / 'test/d.avi', rng, 8)
    write_list(root)
    labels = {'a': np.zeros(12, bool), 'b': np.zeros(10, bool), 'c': np.zeros(9, bool)}
    for name, start, end in (('a', 3, 7), ('b', 2, 5), ('c', 0, 2), ('c', 8, 9)):
        labels[name][start:end] = True
    masks = {name: np.zeros((len(label), *SIZE), np.uint8) for name, label in labels.items()}
    for name, label in labels.items():
        masks[name][label, 4:8, 5:9] = 1
    (root / 'masks/b_gt').mkdir(parents=True)
    np.save(root / 'masks/a.npy', masks['a'])
    for i, mask in enumerate(masks['b']):
        cv2.imwrite(str(root / f'masks/b_gt/{i + 1:03d}.bmp'), mask * 255)
    cells = np.empty((1, 9), object)
    cells[0] = list(masks['c'])
    savemat(root / 'masks/c.mat', dict(volLabel=cells))
    (root / 'masks/c_tracks.txt').write_text('1,0,1\n2,8,8\n')
    normal = [VideoAnnotation('n', 'train/n', 6)]
    write_annotations(root / 'train.json', META | dict(split='training'), normal)
    return root


@pytest.fixture
def tree(healthy, tmp_path):
    return Path(shutil.copytree(healthy, tmp_path / 'tree'))


def state(root):
    """Content and time of change of every file."""
    files = sorted(path for path in root.rglob('*'))
    return [
        (path, path.stat().st_mtime_ns, path.is_file() and hashlib.md5(path.read_bytes()).digest())
        for path in files
    ]


def grave(report):
    return [finding for finding in report.findings if finding.severity != 'info']


@pytest.mark.parametrize('fast', [False, True])
def test_a_healthy_tree_is_clean_and_unchanged(healthy, fast):
    before = state(healthy)
    report = examine(healthy / 'test.json', fast=fast, other=healthy / 'train.json')
    assert list(report.findings) == [] and report.exit_code == 0
    assert state(healthy) == before
    summary = report.summary
    assert summary['annotated'] == dict(videos=4, frames=39, abnormal=10)
    assert summary['found'] == dict(videos=4, frames=39, abnormal=10)
    assert (summary['sizes'], summary['rates']) == ({'24 x 32': 4}, {'10': 2})
    assert examine(healthy / 'train.json').exit_code == 0


def relist(**changes):
    return lambda root: write_list(root, changes)


def reframe(name, change):
    """Write an image of video a anew."""

    def plant(root):
        file = root / 'test/a' / name
        cv2.imwrite(str(file), change(cv2.imread(str(file))))

    return plant


def speck(*places):
    """Put single pixels into masks, at (frame, row, column) or (row, column)."""

    def change(masks):
        masks = masks.copy()
        for place in places:
            masks[place] = 1
        return masks

    return change


def remask(change):
    """Write the masks of video a anew."""

    def plant(root):
        np.save(root / 'masks/a.npy', change(np.load(root / 'masks/a.npy')))

    return plant


def cut(name, keep):
    def plant(root):
        data = (root / name).read_bytes()
        (root / name).write_bytes(data[: int(len(data) * keep)])

    return plant


def copy(source, target):
    def plant(root):
        whole = shutil.copytree if (root / source).is_dir() else shutil.copy
        whole(root / source, root / target)

    return plant


def write(name, text):
    return lambda root: (root / name).write_text(text)


def one_after_another(*plants):
    return lambda root: [plant(root) for plant in plants]


def meta(**changes):
    def plant(root):
        content = json.loads((root / 'test.json').read_text())
        content['metainfo'] = META | changes
        (root / 'test.json').write_text(json.dumps(content))

    return plant


def small_clip(fps, size):
    return lambda root: write_clip(root / 'test/d.avi', np.random.default_rng(1), 8, fps, size)


SHIFTED = relist(a=dict(intervals=[[4, 8]]))


def test_deep_images_are_judged_as_a_run_sees_them(tmp_path):
    """A thermal scene takes up little of 16 bits, and nothing of it is left in 8."""
    for number in range(6):
        image = np.random.default_rng(number).normal(7500, 40, (60, 80)).astype(np.uint16)
        cv2.imwrite(str(tmp_path / f'{number}.png'), image)
    notes = []
    entry, seen = Entry('a', '.'), Seen('a')
    examine_frames(entry, tmp_path, False, seen, lambda *note, **_: notes.append(note))
    flat = [
        text for severity, check, text in notes if (severity, check) == ('error', 'flat frames')
    ]
    assert flat == [
        '6 of 6 of a single colour, where values 0 to 65535 become 0 to 255 (value_range)'
    ]


# What is done to the tree, then what must be found: severity, check, video, words.
FAULTS = {
    'a frame is gone': (
        lambda root: (root / 'test/a/005.jpg').unlink(),
        [
            ('error', 'frame count', 'a', '12 annotated, 11 there'),
            ('warning', 'numbers', 'a', '1 numbers missing of 0 to 11: 5'),
        ],
    ),
    'a number is there twice': (
        copy('test/a/001.jpg', 'test/a/1.jpg'),
        [
            ('error', 'numbers', 'a', '1 numbers twice: 001.jpg = 1.jpg'),
            ('error', 'frame count', 'a', '12 annotated, 13 there'),
            ('info', 'frozen frames', 'a', '1 of 13 equal to the one before'),
        ],
    ),
    'suffixes are mixed': (
        one_after_another(
            lambda root: cv2.imwrite(str(root / 'test/b/009.png'), np.zeros((*SIZE, 3), np.uint8)),
            lambda root: (root / 'test/b/009.jpg').unlink(),
        ),
        [
            ('warning', 'suffixes', 'b', '9 .jpg, 1 .png'),
            ('info', 'flat frames', 'b', '1 of 10 of a single colour'),
        ],
    ),
    'numbers in steps': (
        lambda root: [p.rename(p.with_stem(f'{int(p.stem) * 5}')) for p in listed(root / 'test/b')],
        [('info', 'numbers', 'b', 'every 5th number, 0 to 45')],
    ),
    'hidden files': (
        one_after_another(write('test/a/._003.jpg', 'x'), write('masks/b_gt/._001.bmp', 'x')),
        [
            ('info', 'hidden files', 'a', '1 that are not read: ._003.jpg'),
            ('info', 'hidden files', 'b', 'masks: 1 that are not read: ._001.bmp'),
        ],
    ),
    'no numbers': (
        copy('test/a/001.jpg', 'test/a/cover.jpg'),
        [
            ('warning', 'numbers', 'a', '1 images without a number in their names: cover.jpg'),
            ('error', 'frame count', 'a', '12 annotated, 13 there'),
        ],
    ),
    'a broken image': (
        write('test/a/004.jpg', 'no picture'),
        [('error', 'decoding', 'a', '1 of 12 images: 004.jpg does not decode')],
    ),
    'an empty image file': (
        write('test/a/004.jpg', ''),
        [('error', 'decoding', 'a', '1 of 12 images: 004.jpg does not decode')],
    ),
    'an image cut short': (
        cut('test/a/004.jpg', 0.8),
        [('error', 'decoding', 'a', '1 of 12 images: 004.jpg is cut short')],
    ),
    'an image of another size': (
        reframe('006.jpg', lambda frame: frame[:10, :20]),
        [('error', 'frame size', 'a', '24 x 32 in 11 (first 000.jpg), 10 x 20 in 1 (first 006')],
    ),
    'an empty folder': (
        lambda root: [path.unlink() for path in listed(root / 'test/b')],
        [('error', 'empty', 'b', 'b: a folder without images')],
    ),
    'no frames at all': (
        relist(b=dict(path='test/nowhere')),
        [('error', 'missing', 'b', 'test/nowhere: no such folder')],
    ),
    'a video file cut short': (
        cut('test/d.avi', 0.8),
        [
            ('error', 'frame count', 'd', '8 annotated, 4 there'),
            ('warning', 'frame count', 'd', 'the container says 8, it holds 4'),
        ],
    ),
    'no video file': (
        write('test/d.avi', 'no video'),
        [('error', 'decoding', 'd', 'd.avi: does not decode as a video')],
    ),
    'another frame rate': (
        small_clip(25, SIZE),
        [('warning', 'frame rate', '', 'fps: 10 in 1 (c), 25 in 1 (d)')],
    ),
    'another size in one video': (
        small_clip(10, (32, 48)),
        [('warning', 'frame size', '', '24 x 32 in 3 (a, b, c), 32 x 48 in 1 (d)')],
    ),
    'an interval outside': (
        relist(a=dict(intervals=[[3, 13]])),
        [('error', 'intervals', 'a', 'within 0 to 12, got [[3, 13]]')],
    ),
    'an interval beyond the frames there are': (
        relist(d=dict(num_frames=20, intervals=[[15, 20]])),
        [
            ('error', 'frame count', 'd', '20 annotated, 8 there'),
            ('error', 'intervals', 'd', 'reach to frame 20, but 8 are there'),
        ],
    ),
    'several fields off in one line': (
        relist(a=dict(path='../a', intervals='x', tracks=3, fps=25), b=dict(num_frames='10')),
        [
            ('error', 'path', 'a', "path: expected a path below the dataset's folder"),
            ('error', 'intervals', 'a', 'intervals: expected pairs'),
            ('error', 'path', 'a', 'tracks: '),
            ('error', 'annotation', 'a', "unknown fields ['fps']"),
            ('error', 'annotation', 'b', "num_frames: expected a number above 0, got '10'"),
        ],
    ),
    'metainfo is not whole': (
        lambda root: (root / 'test.json').write_text(
            (root / 'test.json').read_text().replace('"ground_truth"', '"origin"')
        ),
        [('error', 'annotation', '', "metainfo: missing ['ground_truth']")],
    ),
    'too few masks': (
        remask(lambda masks: masks[:-1]),
        [('error', 'mask count', 'a', '11 masks for 12 frames')],
    ),
    'masks of another size': (
        remask(lambda masks: masks[:, :12]),
        [('error', 'mask size', 'a', 'frames are 24 x 32 (H x W), but 12 x 32 in 12 masks')],
    ),
    'masks of another shape': (
        remask(lambda masks: masks[..., None]),
        [('error', 'masks', 'a', 'expected masks (F, H, W), got shape (12, 24, 32, 1)')],
    ),
    'specks in an array': (
        remask(speck((3, 20, 20), (6, 10, 30))),
        [('info', 'specks', 'a', '2 in the masks of fewer than 10 pixels (1 in frame 3, 1 in ')],
    ),
    'nothing but a speck': (
        remask(lambda masks: speck((4, 5, 6))(masks * (np.arange(12) != 4)[:, None, None])),
        [('info', 'specks', 'a', '(1 in frame 4): no regions of RBDC and TBDC, by default;')],
    ),
    'a speck in an image': (
        lambda root: cv2.imwrite(
            str(root / 'masks/b_gt/003.bmp'), speck((9, 9))(np.zeros(SIZE, np.uint8))
        ),
        [('info', 'specks', 'b', '1 in the masks of fewer than 10 pixels (1 in frame 2)')],
    ),
    'labels a frame late': (
        SHIFTED,
        [
            ('error', 'masks', 'a', '1 frames with a mask outside the intervals (3)'),
            ('error', 'masks', 'a', '1 frames without a mask inside (7)'),
            ('error', 'masks', 'a', 'agree when the intervals are moved by -1'),
        ],
    ),
    'cells disagree': (
        relist(c=dict(intervals=[[0, 2]])),
        [('error', 'masks', 'c', '1 frames with a mask outside the intervals (8)')],
    ),
    'a mask image is broken': (
        write('masks/b_gt/003.bmp', 'no mask'),
        [('error', 'decoding', 'b', '1 of 10 masks: 003.bmp does not decode')],
    ),
    'a file of masks is no such file': (
        write('masks/c.mat', 'no matrix'),
        [('error', 'masks', 'c', 'could not be examined: ')],
    ),
    'no masks at all': (
        relist(a=dict(pixel_masks='masks/z.npy')),
        [('error', 'masks', 'a', 'masks/z.npy: no such file or folder')],
    ),
    'no tracks': (
        lambda root: (root / 'masks/c_tracks.txt').unlink(),
        [('error', 'tracks', 'c', 'masks/c_tracks.txt: no such file')],
    ),
    'a track outside': (
        write('masks/c_tracks.txt', '1,0,1\n2,8,9\n\nx\n'),
        [
            ('error', 'tracks', 'c', '1 tracks outside the frames 0 to 8: 2,8,9'),
            ('warning', 'tracks', 'c', '1 lines that are not id,start,end: 4'),
        ],
    ),
    'one video under two names': (
        relist(d=dict(path='test/../test/c.avi', num_frames=9)),
        [('error', 'listed twice', 'd', 'the same path as c')],
    ),
    'two videos of one name': (
        relist(d=dict(video='c')),
        [('error', 'listed twice', 'c', '2 videos have this name')],
    ),
    'a copied video': (
        one_after_another(
            copy('test/c.avi', 'test/e.avi'), relist(d=dict(path='test/e.avi', num_frames=9))
        ),
        [('warning', 'copies', 'd', 'first and last frame as c')],
    ),
    'a copied folder': (
        one_after_another(
            copy('test/a', 'test/e'), relist(d=dict(path='test/e', num_frames=12))
        ),
        [('warning', 'copies', 'd', 'first and last frame as a')],
    ),
    'a training video, by path': (
        relist(d=dict(path='train/n', num_frames=6)),
        [('error', 'splits', 'd', 'train.json, as n: the same path')],
    ),
    'a training video, by content': (
        one_after_another(
            copy('train/n', 'test/n'), relist(d=dict(path='test/n', num_frames=6))
        ),
        [('error', 'splits', 'd', 'train.json, as n: files of the same size')],
    ),
    'all frames abnormal': (
        relist(d=dict(intervals=[[0, 8]])),
        [('info', 'labels', 'd', 'all 8 frames are abnormal')],
    ),
    'abnormal training': (
        one_after_another(relist(d=dict(category='Abuse')), meta(split='train')),
        [
            *(('error', 'labels', v, 'training videos must be normal') for v in 'abc'),
            ('warning', 'labels', 'd', "category 'Abuse' but no intervals"),
        ],
    ),
    'no label at all': (
        relist(**{video: dict(intervals=[], pixel_masks=None) for video in 'abc'}),
        [('warning', 'labels', '', 'no abnormal frame in 4 videos')],
    ),
    'another split name': (
        meta(split='all'),
        [('info', 'labels', '', "split 'all': neither training nor testing")],
    ),
    'a scene that is no text': (
        relist(a=dict(scene=3)),
        [('error', 'annotation', 'a', 'scene: expected a text, got 3')],
    ),
    'counts of a dataset whose name is written in another way': (
        meta(dataset='UCF-Crime'),
        [('warning', 'counts', '', '4 videos, published are 290')],
    ),
    'counts unlike the published': (
        meta(dataset='avenue'),
        [
            ('warning', 'counts', '', '4 videos, published are 21'),
            ('warning', 'counts', '', '39 frames, published are 15,324'),
            ('warning', 'counts', '', '3,712 by the pixel masks and 3,867 by another labelling'),
        ],
    ),
}  # fmt: skip


def listed(folder):
    # The last first: so they can be numbered anew without two of one name.
    return sorted(folder.iterdir(), reverse=True)


@pytest.mark.parametrize('kind', ['black', 'frozen'])
@pytest.mark.parametrize('where', ['folder', 'file'])
def test_a_video_that_shows_nothing(tree, where, kind):
    picture = np.full((*SIZE, 3), 20, np.uint8)
    if kind == 'frozen':
        picture[4:9, 5:20] = 220
    if where == 'folder':
        for path in (tree / 'test/a').iterdir():
            cv2.imwrite(str(path), picture)
    else:
        clip = cv2.VideoWriter(
            str(tree / 'test/d.avi'), cv2.VideoWriter_fourcc(*'MJPG'), 10, SIZE[::-1]
        )
        for _ in range(20):
            clip.write(picture)
        clip.release()
    video = dict(folder='a', file='d')[where]
    report = examine(tree / 'test.json')
    found = [f for f in report.findings if f.severity == 'error' and f.video == video]
    words = dict(black='of a single colour', frozen='equal to the one before')[kind]
    assert any(words in finding.message for finding in found) and report.exit_code == 1


def fits(finding, expectation):
    return finding[:3] == expectation[:3] and expectation[3] in finding[3]


@pytest.mark.parametrize('fault', FAULTS)
def test_planted_faults_are_found(tree, fault):
    plant, expected = FAULTS[fault]
    plant(tree)
    before = state(tree)
    report = examine(tree / 'test.json', other=tree / 'train.json')
    found = [(f.severity, f.check, f.video, f.message) for f in report.findings]
    for expectation in expected:
        assert any(fits(finding, expectation) for finding in found), found
    for finding in found:
        assert any(fits(finding, expectation) for expectation in expected), finding
    assert report.exit_code == any(severity == 'error' for severity, *_ in expected)
    assert state(tree) == before
    shown, told = report.text(), json.loads(report.json())
    assert all(f.check in shown for f in report.findings)
    assert [f['message'] for f in told['findings']] == [f.message for f in report.findings]


def test_numbers_are_told_to_scripts(tree):
    (tree / 'test/a/005.jpg').unlink()
    found = {(f.video, f.check): f.numbers for f in examine(tree / 'test.json').findings}
    assert found['a', 'frame count'] == dict(annotated=12, found=11)
    assert found['a', 'numbers'] == dict(missing=1, gaps=[(5, 5)])
    SHIFTED(tree)
    found = {(f.video, f.check): f.numbers for f in examine(tree / 'test.json').findings}
    assert found['a', 'masks'] == dict(masks_only=[3], intervals_only=[7])


def test_specks_are_told_to_scripts(tree):
    # 9 pixels are a speck and 10 a region.
    cells = np.empty((1, 9), object)
    for frame in range(9):
        cells[0, frame] = np.zeros(SIZE, np.uint8)
    cells[0, 0][2:5, 2:5] = 1
    cells[0, 1][2:4, 2:7] = 1
    cells[0, 8][[0, 10, 10], [0, 10, 11]] = 1
    savemat(tree / 'masks/c.mat', dict(volLabel=cells))
    (finding,) = examine(tree / 'test.json').findings
    assert (finding.check, finding.video) == ('specks', 'c')
    specks = [dict(frame=0, area=9), dict(frame=8, area=1), dict(frame=8, area=2)]
    assert finding.numbers == dict(min_region_area=10, specks=specks)


def test_fast_looks_at_three_images(tree):
    write('test/a/001.jpg', 'no picture')(tree)
    assert examine(tree / 'test.json', fast=True).exit_code == 0
    write('test/a/006.jpg', 'no picture')(tree)
    (finding,) = examine(tree / 'test.json', fast=True).findings
    assert finding.message == '1 of 3 images: 006.jpg does not decode as an image'


def test_the_other_labelling_of_avenue_may_disagree_with_the_masks(tree, monkeypatch):
    known = published.Published(4, 39, 10, abnormal_elsewhere=9)
    monkeypatch.setitem(published.PUBLISHED, ('avenue', 'testing'), known)
    relist(c=dict(intervals=[[0, 2]]))(tree)
    meta(dataset='avenue')(tree)
    report = examine(tree / 'test.json')
    assert [(f.severity, f.check) for f in report.findings] == [
        ('warning', 'masks'),
        ('info', 'counts'),
    ]
    assert '9 abnormal frames are one published labelling' in report.findings[1].message


def test_an_exception_becomes_a_finding_of_its_video(tree, monkeypatch):
    from mmvad.preparation.doctor import frames

    real = frames.list_images

    def fails(folder):
        if folder.name == 'a':
            raise RuntimeError('the disk is on fire')
        return real(folder)

    monkeypatch.setattr(frames, 'list_images', fails)
    (finding,) = grave(examine(tree / 'test.json'))
    assert (finding.severity, finding.video) == ('error', 'a')
    assert finding.message == 'could not be examined: RuntimeError: the disk is on fire'


@pytest.mark.parametrize(
    'line',
    [
        {},
        3,
        None,
        dict(video=['a'], path={}, num_frames=None),
        dict(video='x\0', path='x\0y', num_frames=10**30, intervals=[[0, 10**29]]),
        dict(video='\ud800', path='\ud800', num_frames=-1, pixel_masks='', tracks=''),
        dict(video='x', path='p' * 5000, num_frames=1e400, intervals=[[float('nan'), 2]]),
        dict(video='x', path='.', num_frames=3, intervals=[None], pixel_masks='masks/b_gt'),
    ],
)
def test_no_line_crashes_the_doctor(tree, line):
    content = json.loads((tree / 'test.json').read_text())
    content['data_list'].append(line)
    (tree / 'test.json').write_text(json.dumps(content))
    report = examine(tree / 'test.json', other=tree / 'test.json')
    assert report.exit_code == 1
    json.loads(report.json())
    assert 'errors:' in report.text()


def test_long_lists_are_cut(tree):
    rows = [dict(video=f'v{i}', path=f'none/{i}', num_frames=5) for i in range(40)]
    rows.append(dict(video='z', path='test/d.avi', num_frames=5))
    (tree / 'test.json').write_text(json.dumps(dict(metainfo=META, data_list=rows)))
    report = examine(tree / 'test.json')
    text = report.text()
    assert '... and 32 more' in text and 'v7' in text and 'v8' not in text
    assert '5 annotated, 8 there' in text
    assert len(json.loads(report.json())['findings']) == len(report.findings) == 42


def test_a_byte_order_mark_is_no_fault(tree):
    file = tree / 'test.json'
    before = examine(file)
    file.write_text(file.read_text(), encoding='utf-8-sig')
    assert examine(file) == before


def test_what_cannot_be_examined_is_said(tree):
    for text in ('no json', '[]', '{"metainfo": {}, "data_list": []}', '[' * 10**5):
        (tree / 'bad.json').write_text(text)
        with pytest.raises(CannotExamine, match='bad.json'):
            examine(tree / 'bad.json')
    for options in (dict(root=tree / 'nowhere'), dict(other=tree / 'nowhere.json')):
        with pytest.raises(CannotExamine, match='nowhere'):
            examine(tree / 'test.json', **options)
    twice = (tree / 'test.json').read_text().replace('"metainfo"', '"data_list": [], "metainfo"')
    (tree / 'twice.json').write_text(twice)
    with pytest.raises(CannotExamine, match="twice.json: not JSON: key 'data_list' comes 2 times"):
        examine(tree / 'twice.json')
    with pytest.raises(CannotExamine, match='none.json: no such annotation file'):
        examine(tree / 'none.json')
    (tree / 'empty').mkdir()
    with pytest.raises(CannotExamine, match='empty: holds no images, no videos and no folders'):
        examine(tree / 'empty')
    with pytest.raises(CannotExamine, match='root goes with an annotation file'):
        examine(tree, root=tree)


def test_plain_folders(tmp_path):
    """As a recorder leaves them: no list, no labels, a folder a day; a folder of frames beside."""

    def film(name, count, size=(48, 64), fps=25, seed=0):
        rng = np.random.default_rng(seed)
        pictures = (rng.integers(0, 255, (*size, 3), np.uint8) for _ in range(count))
        write_video(pictures, tmp_path / name, fps)

    film('monday/a.mp4', 8)
    film('monday/b.mp4', 9, fps=15, seed=1)
    film('tuesday/a.mp4', 7, size=(60, 80), seed=2)
    (tmp_path / 'frames/c').mkdir(parents=True)
    for number in (1, 2, 4):
        picture = np.full((48, 64, 3), 60 * number, np.uint8)
        picture[:9] = 9
        cv2.imwrite(str(tmp_path / f'frames/c/{number}.png'), picture)
    report = examine(tmp_path)
    assert [one.video for one in report.seen] == ['frames/c', 'monday/a', 'monday/b', 'tuesday/a']
    assert [one.frames for one in report.seen] == [3, 8, 9, 7]
    assert report.summary['sizes'] == {'48 x 64': 3, '60 x 80': 1}
    found = {(f.severity, f.check, f.video) for f in report.findings}
    assert found == {
        ('warning', 'frame size', ''), ('warning', 'frame rate', ''),
        ('warning', 'numbers', 'frames/c'),
    }  # fmt: skip
    assert report.exit_code == 0 and f'{tmp_path.name}, without annotations' in report.text()
    # Damage, a copy, and a video that is in another split as well.
    cut = (tmp_path / 'monday/b.mp4').read_bytes()
    (tmp_path / 'monday/b.mp4').write_bytes(cut[: len(cut) // 3])
    shutil.copy(tmp_path / 'monday/a.mp4', tmp_path / 'monday/copy.mp4')
    found = {(f.severity, f.check, f.video) for f in examine(tmp_path).findings}
    assert ('error', 'decoding', 'monday/b') in found
    assert ('warning', 'copies', 'monday/copy') in found
    other = examine(tmp_path / 'tuesday', other=tmp_path)
    assert ('error', 'splits', 'a') in {(f.severity, f.check, f.video) for f in other.findings}
    done = subprocess.run(
        [sys.executable, TOOL, tmp_path / 'tuesday'], capture_output=True, text=True, check=True
    )
    assert '0 errors, 0 warnings, 0 info' in done.stdout


def test_the_tool_answers_persons_and_scripts(tree):
    def run(*args):
        return subprocess.run([sys.executable, TOOL, *args], capture_output=True, text=True)

    done = run(tree / 'test.json')
    assert (done.returncode, done.stderr) == (0, '')
    assert '0 errors, 0 warnings, 0 info' in done.stdout
    cut('test/a/004.jpg', 0.8)(tree)
    (tree / 'elsewhere').mkdir()
    (tree / 'test.json').rename(tree / 'elsewhere/test.json')
    done = run(tree / 'elsewhere/test.json', '--root', tree, '--json')
    assert done.returncode == json.loads(done.stdout)['exit_code'] == 1
    done = run(tree / 'nothing.json', '--json')
    assert done.returncode == json.loads(done.stdout)['exit_code'] == 2
    assert 'cannot be examined' in done.stderr


def test_ped2_is_clean(shared, tmp_path):
    root = shared / 'ped2'
    videos = VideoDataset(data_root=str(root), data_prefix=dict(img='testing/frames'))
    labels = read_labels('interval_mat', root / 'ped2.mat', videos.lengths)
    annotations = [
        VideoAnnotation(
            video, f'testing/frames/{video}', frames, intervals_of(labels[video]),
            pixel_masks=f'testing/Test{int(video):03d}_gt',
        )
        for video, frames in videos.lengths.items()
    ]  # fmt: skip
    meta = dict(dataset='ucsd_ped2', split='testing', ground_truth='ped2.mat')
    write_annotations(tmp_path / 'test.json', meta, annotations)
    report = examine(tmp_path / 'test.json', root)
    assert grave(report) == [] and report.exit_code == 0
    # Four videos are abnormal from end to end, and one mask has a pixel by itself, which is worth
    # knowing and no fault.
    found = [(f.check, f.video) for f in report.findings]
    assert found == [('specks', '09'), *(('labels', video) for video in ('08', '09', '10', '11'))]
    assert report.findings[0].numbers['specks'] == [dict(frame=54, area=1)]
    counts = dict(videos=12, frames=2010, abnormal=1648)
    assert [report.summary[k] for k in ('annotated', 'found', 'published')] == [counts] * 3
    assert report.summary['sizes'] == {'240 x 360': 12}
