"""The evaluator: report, subsets, score files, and the tool on plaza's and Ped2's ground truth."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from conftest import REPO
from sklearn.metrics import average_precision_score, roc_auc_score

from mmvad import cli
from mmvad.datasets import VideoDataset
from mmvad.datasets.annotations import VideoAnnotation, intervals_of, write_annotations
from mmvad.datasets.ground_truth.labels import read_labels
from mmvad.datasets.ground_truth.pixel_masks import read_pixel_masks
from mmvad.datasets.ground_truth.regions import read_regions
from mmvad.evaluation.functional import (
    SUBSETS,
    Detections,
    Regions,
    kept_frames,
    median_smooth,
    min_max,
    regions_from_masks,
)
from mmvad.evaluation.report import check_scores, evaluate, fuse, postprocess
from mmvad.evaluation.score_files import read_boxes, read_scores


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    labels = {v: (rng.random(n) < p).astype(np.uint8) for v, n, p in CASES}
    labels['c'][:] = 0
    scores = {v: rng.normal(size=len(label)) + label for v, label in labels.items()}
    return scores, labels


CASES = (('a', 60, 0.5), ('b', 80, 0.2), ('c', 30, 0.0))


class TestReport:
    def test_figures_are_those_of_scikit_learn(self, case):
        scores, labels = case
        report = evaluate(scores, labels, smoothing=dict(type='gaussian', sigma=2))
        x, y = (np.concatenate([part[v] for v in labels]) for part in (scores, labels))
        assert report['raw']['auc/micro'] == pytest.approx(100 * roc_auc_score(y, x))
        assert report['raw']['ap/step'] == pytest.approx(100 * average_precision_score(y, x))
        smooth = postprocess(scores, dict(type='gaussian', sigma=2))
        z = np.concatenate([smooth[v] for v in labels])
        assert report['processed']['auc/micro'] == pytest.approx(100 * roc_auc_score(y, z))
        assert report['protocol'] == dict(
            videos=3,
            frames=170,
            abnormal_frames=int(y.sum()),
            subset=None,
            cut_leading=0,
            errors=False,
            clip_infinite=False,
            smoothing=dict(type='gaussian', sigma=2),
            per_video_min_max=False,
            pad='one-class',
            pad_scores=None,
        )
        assert report['videos'][0]['auc'] == pytest.approx(
            100 * roc_auc_score(labels['a'], smooth['a'])
        )
        assert report['videos'][2]['auc'] is None
        assert evaluate(scores, labels)['processed'] is None

    def test_min_max_and_the_median_are_per_video(self, case):
        done = postprocess(case[0], dict(type='median', size=3), per_video_min_max=True)
        for video, scores in done.items():
            assert (scores.min(), scores.max()) == (0, 1)
            middle = np.median(case[0][video][9:12])
            low, high = (
                f(postprocess(case[0], dict(type='median', size=3))[video])
                for f in (np.min, np.max)
            )
            assert scores[10] == pytest.approx((middle - low) / (high - low))
        np.testing.assert_array_equal(min_max(np.full(4, 3.0)), np.zeros(4))

    def test_scenes_put_videos_together(self, case):
        scores, labels = case
        rows = evaluate(scores, labels, scenes=dict(a='x', b='y', c='x'))['scenes']
        both = [np.concatenate([part['a'], part['c']]) for part in (labels, scores)]
        assert [(row['name'], row['frames']) for row in rows] == [('x', 90), ('y', 80)]
        assert rows[0]['auc'] == pytest.approx(100 * roc_auc_score(*both))

    def test_region_figures_of_perfect_boxes(self, case):
        scores, labels = case
        frames = [np.flatnonzero(label) for label in labels.values()]
        videos = np.concatenate([np.full(len(f), n) for n, f in enumerate(frames)])
        frames = np.concatenate(frames)
        boxes = np.tile([10.0, 10, 30, 30], (len(frames), 1))
        regions = Regions(videos, frames, boxes, np.zeros(len(frames), np.int64))
        found = Detections(videos, frames, boxes + 1, np.ones(len(frames)))
        report = evaluate(scores, labels, regions=regions, detections=found)
        assert report['regions'] == dict(rbdc=100, tbdc=100)
        late = Detections(np.array([0]), np.array([60]), boxes[:1], np.ones(1))
        with pytest.raises(ValueError, match='a box in frame 60, but it has 60'):
            evaluate(scores, labels, regions=regions, detections=late)

    @pytest.mark.parametrize(
        ('change', 'words'),
        [
            (lambda s: s.pop('b'), r"no scores of 1 of 3 videos: \['b'\]"),
            (lambda s: s.update(d=s['a']), r"scores of 1 videos without labels: \['d'\]"),
            (lambda s: s.update(a=s['a'][:-1]), r"'a': expected 60 scores.*\(59,\)"),
            (lambda s: s.update(a=s['a'][:, None]), r"'a': .*\(60, 1\)"),
            (lambda s: s['b'].put(7, np.nan), r"'b': 1 of 80 .* nan in frame 7"),
            (lambda s: s['b'].put([3, 9], np.inf), r"'b': 2 of 80 .* inf in frame 3"),
            (lambda s: s.update(a=np.array(['x'] * 60)), "'a': expected numbers"),
        ],
    )
    def test_scores_that_do_not_fit_are_named(self, case, change, words):
        scores = {video: array.copy() for video, array in case[0].items()}
        change(scores)
        with pytest.raises(ValueError, match=words):
            check_scores(scores, case[1])

    def test_fusion_is_a_weighted_sum(self, case):
        one, two = case[0], {video: array**2 for video, array in case[0].items()}
        fused = fuse(dict(one=one, two=two, three=one), dict(one=2.0, two=0.5))
        np.testing.assert_allclose(fused['b'], 2 * one['b'] + 0.5 * two['b'])
        with pytest.raises(ValueError, match=r"no score sets named \['four'\]"):
            fuse(dict(one=one), dict(four=1.0))
        with pytest.raises(ValueError, match="'a' has 60 scores in one and 59 in two"):
            fuse(dict(one=one, two=dict(two, a=two['a'][1:])), dict(one=1.0, two=1.0))

    def test_ten_million_frames_take_seconds(self):
        rng = np.random.default_rng(0)
        labels = {f'{n:04d}': (rng.random(10_000) < 0.3).astype(np.uint8) for n in range(1000)}
        scores = {video: rng.normal(size=10_000) + label for video, label in labels.items()}
        start = time.monotonic()
        report = evaluate(scores, labels)
        assert time.monotonic() - start < 60  # 14 on two cores
        assert report['protocol']['frames'] == 10_000_000
        assert report['raw']['auc/micro'] == pytest.approx(76.02, abs=0.1)


class TestSubsets:
    def test_avenue_frames(self):
        lengths = {f'{n:02d}': 1439 for n in range(1, 22)}
        kept = kept_frames('hr_avenue', lengths)
        assert len(kept) == 21 and kept['04'].all()
        assert not kept['01'][75:121].any() and kept['01'][74] and kept['01'][121]
        gone = sum(int((~keep).sum()) for keep in kept.values())
        ranges = [r for part in SUBSETS['hr_avenue'].values() for r in part]
        assert gone == sum(last - first + 1 for first, last in ranges)

    def test_shanghaitech_keeps_38697_frames(self, shared):
        folder = shared / 'annotations/shanghaitech/test_frame_mask'
        lengths = {p.stem: len(np.load(p, allow_pickle=False)) for p in folder.glob('*.npy')}
        labels = read_labels('frame_masks', folder, dict(sorted(lengths.items())))
        kept = kept_frames('hr_shanghaitech', lengths)
        assert (len(kept), sum(map(len, kept.values()))) == (101, 38697)
        scores = {video: label + 0.0 for video, label in labels.items()}
        report = evaluate(scores, labels, subset='hr_shanghaitech')
        assert report['protocol']['frames'] == 38697
        assert report['raw']['auc/micro'] == 100

    def test_a_subset_that_does_not_fit_is_named(self):
        with pytest.raises(ValueError, match="subset: expected one of .*'hr_ped2'"):
            kept_frames('hr_ped2', {})
        with pytest.raises(ValueError, match="hr_avenue: .*'01'.* 2 videos"):
            kept_frames('hr_avenue', {'1': 9, '2': 9})
        with pytest.raises(ValueError, match="frames 390 to 436 of video '01', which has 400"):
            kept_frames('hr_avenue', {f'{n:02d}': 400 for n in range(1, 22)})


class TestScoreFiles:
    def write_all(self, folder, scores):
        (folder / 'npy').mkdir()
        for video, array in scores.items():
            np.save(folder / 'npy' / f'{video}.npy', array)
        np.savez(folder / 'all.npz', **scores)
        lists = {video: array.tolist() for video, array in scores.items()}
        (folder / 'all.json').write_text(json.dumps(lists))
        with open(folder / 'all.csv', 'w', newline='') as file:
            writer = csv.writer(file)
            writer.writerow(['score', 'video', 'frame'])
            for video, array in scores.items():
                order = np.random.default_rng(0).permutation(len(array))
                writer.writerows((repr(float(array[i])), video, i) for i in order)

    def test_every_format_gives_the_same(self, tmp_path, case):
        self.write_all(tmp_path, case[0])
        for name in ('npy', 'all.npz', 'all.json', 'all.csv'):
            found = read_scores(tmp_path / name)
            assert set(found) == {'a', 'b', 'c'}, name
            for video, array in case[0].items():
                np.testing.assert_array_equal(found[video], array)

    @pytest.mark.parametrize(
        ('name', 'text', 'words'),
        [
            ('s.json', '[1, 2]', 's.json: expected an object'),
            ('s.json', '{"a": [1, "2"]}', "s.json: video 'a', frame 1: .* got '2'"),
            ('s.json', '{"a": ', 's.json: not JSON'),
            ('s.csv', 'video,score\na,1', r"expected the columns .* missing \['frame'\]"),
            ('s.csv', 'video,frame,score\na,0,1\na,2,1', "video 'a': 2 scores .* none of frame 1"),
            (
                's.csv',
                'video,frame,score\na,0,1\na,0,1',
                "line 3: frame 0 of video 'a' comes twice",
            ),
            ('s.csv', 'video,frame,score\na,-1,1', "line 2: frame: .*'-1'"),
            ('s.csv', 'video,frame,score\na,0,high', "line 2: score: .*'high'"),
            ('s.npz', 'PK no', 's.npz: not a plain numpy file'),
            ('s.txt', '1', 's.txt: expected a folder of .npy'),
        ],
    )
    def test_bad_files_are_named(self, tmp_path, name, text, words):
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match=words):
            read_scores(tmp_path / name)

    def test_pickles_are_refused(self, tmp_path):
        np.savez(tmp_path / 's.npz', a=np.array([None]))
        with pytest.raises(ValueError, match="s.npz: array 'a'"):
            read_scores(tmp_path / 's.npz')
        with pytest.raises(FileNotFoundError, match='nowhere'):
            read_scores(tmp_path / 'nowhere')

    def test_boxes_from_both_formats(self, tmp_path):
        (tmp_path / 'boxes').mkdir()
        frames, boxes = np.array([2, 5]), np.array([[0, 0, 4, 5], [1, 1, 3, 9.5]])
        np.savez(tmp_path / 'boxes/b.npz', frames=frames, boxes=boxes, all=np.array([0.5, 2]))
        lines = ['video,frame,x1,y1,x2,y2,score', 'b,2,0,0,4,5,0.5', 'b,5,1,1,3,9.5,2']
        (tmp_path / 'boxes.csv').write_text('\n'.join(lines))
        for found in (
            read_boxes(tmp_path / 'boxes', ['a', 'b'], 'all'),
            read_boxes(tmp_path / 'boxes.csv', ['a', 'b']),
        ):
            assert found.videos.tolist() == [1, 1] and found.frames.tolist() == [2, 5]
            np.testing.assert_array_equal(found.boxes, boxes)
            np.testing.assert_array_equal(found.scores, [0.5, 2])
        with pytest.raises(ValueError, match="b.npz: no array named 'score'"):
            read_boxes(tmp_path / 'boxes', ['a', 'b'])
        with pytest.raises(ValueError, match=r"not in the test set: \['b.npz'\]"):
            read_boxes(tmp_path / 'boxes', ['a'])
        with pytest.raises(ValueError, match="line 2: video 'b' is not in the test set"):
            read_boxes(tmp_path / 'boxes.csv', ['a'])


def run_tool(*args) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, REPO / 'tools/evaluate.py', *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
    )


def annotate_plaza(plaza, folder):
    """Annotation file of the tiny plaza's test split, beside links to its data."""
    (folder / 'testing').symlink_to(plaza / 'testing')
    videos = []
    for video in ('00', '01'):
        labels = np.load(plaza / f'testing/test_frame_mask/{video}.npy')
        videos.append(
            VideoAnnotation(
                video,
                f'testing/frames/{video}',
                len(labels),
                intervals_of(labels),
                scene='plaza',
                pixel_masks=f'testing/test_pixel_mask/{video}.npy',
            )
        )
    meta = dict(dataset='plaza', split='testing', ground_truth='frame masks of the generator')
    write_annotations(folder / 'testing.json', meta, videos)
    return {video.video: video.labels for video in videos}


def test_the_tool_on_plaza(plaza, tmp_path):
    labels = annotate_plaza(plaza, tmp_path)
    rng = np.random.default_rng(0)
    ours = {video: rng.normal(size=len(label)) + label for video, label in labels.items()}
    theirs = {video: rng.normal(size=len(label)) for video, label in labels.items()}
    np.savez(tmp_path / 'ours.npz', **ours)
    np.savez(tmp_path / 'theirs.npz', **theirs)
    (tmp_path / 'boxes').mkdir()
    for video in labels:
        masks = read_pixel_masks(plaza / f'testing/test_pixel_mask/{video}.npy')
        found = regions_from_masks(masks)
        np.savez(
            tmp_path / f'boxes/{video}.npz',
            frames=found.frames,
            boxes=found.boxes,
            score=np.ones(len(found.frames)),
        )
    done = run_tool(
        tmp_path / 'ours.npz', f'b={tmp_path}/theirs.npz', '--dataset', tmp_path / 'testing.json',
        '--smooth', 'gaussian:2', '--fuse', 'ours=1', 'b=0.5', '--per-video',
        '--out', tmp_path / 'report.json',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert 'ground truth: frame masks of the generator' in done.stdout
    report = json.loads((tmp_path / 'report.json').read_text())
    assert list(report['score_sets']) == sorted(['ours', 'b', 'fused'])
    fused = fuse(dict(ours=ours, b=theirs), dict(ours=1, b=0.5))
    expected = evaluate(fused, labels, smoothing=dict(type='gaussian', sigma=2.0))
    assert report['score_sets']['fused']['processed'] == pytest.approx(expected['processed'])
    done = run_tool(
        tmp_path / 'ours.npz', '--dataset', tmp_path / 'testing.json', '--boxes', tmp_path / 'boxes'
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split('rbdc (boxes)')[1].split()[0]) == 100
    assert float(done.stdout.split('tbdc (boxes)')[1].split()[0]) == 100


def test_masks_of_another_size_are_named(plaza, tmp_path):
    masks = np.load(plaza / 'testing/test_pixel_mask/01.npy')
    for change, words in ((masks[:, 1:], r'\(40, 119, 160\)'), (masks[1:], r'\(39, 120, 160\)')):
        np.save(tmp_path / '01.npy', change)
        dataset = VideoDataset(
            data_root=str(plaza),
            data_prefix=dict(img='testing/frames'),
            pixel_masks=str(tmp_path / '{video}.npy'),
        )
        (tmp_path / '00.npy').unlink(missing_ok=True)
        (tmp_path / '00.npy').symlink_to(plaza / 'testing/test_pixel_mask/00.npy')
        with pytest.raises(ValueError, match=f"01.npy: masks .* {words}.*'01' are .40, 120, 160."):
            read_regions(dataset)


def write_masks(plaza, folder):
    """Masks of a tiny plaza's two videos: a region of 16 pixels in frames 3 and 6 of the first, a
    speck of 9 in frames 5 and 6, and nothing in the second."""
    masks = np.zeros((40, 120, 160), bool)
    masks[[3, 6], 40:44, 30:34] = True
    masks[5:7, 80:83, 90:93] = True
    np.save(folder / '00.npy', masks)
    np.save(folder / '01.npy', np.zeros_like(masks))


@pytest.mark.parametrize(
    ('least', 'numbers'),
    [
        # Frame 5 holds nothing but a speck; tracks go on over gaps of two frames.
        (10, dict(regions=2, tracks=1, specks=2, speck_frames=1)),
        (9, dict(regions=4, tracks=2, specks=0, speck_frames=0)),
        (0, dict(regions=4, tracks=2, specks=0, speck_frames=0)),
        (17, dict(regions=0, tracks=0, specks=4, speck_frames=3)),
    ],
)
def test_specks_are_counted(plaza, tmp_path, least, numbers):
    write_masks(plaza, tmp_path)
    place = dict(data_root=str(plaza), data_prefix=dict(img='testing/frames'))
    dataset = VideoDataset(**place, pixel_masks=str(tmp_path / '{video}.npy'))
    found = read_regions(dataset, least)
    assert found.protocol == dict(numbers, min_region_area=least)
    assert (found.regions is None) == (least == 17)
    assert read_regions(VideoDataset(**place)) is None


def test_the_tool_names_what_is_off(plaza, tmp_path):
    """In one line of an own process, or with its traceback."""
    labels = annotate_plaza(plaza, tmp_path)
    np.savez(tmp_path / 's.npz', **{v: np.zeros(len(label) - 1) for v, label in labels.items()})
    args = tmp_path / 's.npz', '--dataset', tmp_path / 'testing.json'
    words = "array '00': expected 40 scores, one a frame, got an array of shape (39,)"
    done = run_tool(*args)
    assert done.returncode == 1
    assert done.stderr == f'error: {tmp_path}/s.npz: {words}\n'
    done = run_tool(*args, '--debug')
    assert done.returncode == 1
    assert done.stderr.startswith('Traceback') and words in done.stderr


@pytest.fixture(scope='module')
def tool():
    """The tool as a module: starting a process for each case takes seconds."""
    spec = importlib.util.spec_from_file_location('evaluate_tool', REPO / 'tools/evaluate.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestTool:
    """What the tool is given by mistake is told in one line, before anything is printed."""

    @pytest.fixture
    def run(self, tool, plaza, tmp_path, monkeypatch, capsys):
        """Runs the tool beside ``s.npz``, good scores, and ``testing.json``; its error line, which
        is empty when all went well."""
        self.labels = annotate_plaza(plaza, tmp_path)
        rng = np.random.default_rng(0)
        self.scores = {v: rng.normal(size=len(label)) + label for v, label in self.labels.items()}
        np.savez(tmp_path / 's.npz', **self.scores)
        monkeypatch.chdir(tmp_path)

        def run(*args: str, scores=('s.npz',), dataset='testing.json') -> str:
            monkeypatch.setattr(sys, 'argv', ['evaluate', *scores, '--dataset', dataset, *args])
            with warnings.catch_warnings():
                warnings.simplefilter('error', RuntimeWarning)
                try:
                    tool.main(tool.make_parser().parse_args())
                except (ValueError, OSError) as error:
                    assert capsys.readouterr() == ('', '')
                    return cli.describe(error)
            self.out = capsys.readouterr().out
            return ''

        return run

    @pytest.mark.parametrize(
        ('smooth', 'words'),
        [
            ('gaussian:1e9', '--smooth: smoothing.sigma: .*from 0 up to 10000, got 1000000000.0'),
            ('causal:1e9', '--smooth: smoothing.sigma: .*from 0 up to 10000, got 1000000000.0'),
            (
                'gaussian:41',
                '--smooth: gaussian:41, expected at most 40, the frames of the longest',
            ),
            ('gaussian:nan', '--smooth: smoothing.sigma: .*got nan'),
            ('gaussian:inf', '--smooth: smoothing.sigma: .*got inf'),
            ('gaussian:-3', '--smooth: smoothing.sigma: .*got -3.0'),
            ('median:0', '--smooth: smoothing.size: expected an odd number of frames.*got 0'),
            ('median:4', '--smooth: smoothing.size: expected an odd number of frames.*got 4'),
            ('median:-3', '--smooth: smoothing.size: expected an odd number of frames.*got -3'),
            ('median:41', '--smooth: median:41, expected at most 40'),
            ('median:1000000001', '--smooth: smoothing.size: .*up to 10000, got 1000000001'),
            (
                'median:1e3',
                r"--smooth: expected .*median:SIZE \(a whole number\), got 'median:1e3'",
            ),
            ('median:' + '9' * 5000, '--smooth: expected .*median:SIZE'),
            ('mean:3', r"--smooth: smoothing.type: expected one of \['causal'.*got 'mean'"),
            ('gaussian', "--smooth: expected gaussian:SIGMA, .*got 'gaussian'"),
            ('', "--smooth: expected gaussian:SIGMA, .*got ''"),
        ],
    )
    def test_smoothing(self, run, smooth, words):
        assert re.match(words, run('--smooth', smooth))

    @pytest.mark.parametrize('smooth', ['gaussian:0', 'causal:0', 'median:1'])
    def test_smoothing_over_nothing_changes_nothing(self, run, smooth):
        assert run('--smooth', smooth, '--out', 'r.json') == ''
        report = json.loads(Path('r.json').read_text())['score_sets']['s']
        assert report['processed'] == report['raw']

    @pytest.mark.parametrize(
        ('fuse', 'words'),
        [
            (['s=0'], '--fuse: s=0, expected a finite weight that is not 0'),
            (['s=0', 't=0'], '--fuse: s=0, expected a finite weight'),
            (['s=1', 't=-0.0'], '--fuse: t=-0.0, expected a finite weight'),
            (['s=nan'], '--fuse: s=nan, expected a finite weight'),
            (['s=inf'], '--fuse: s=inf, expected a finite weight'),
            (['s=1', 'u=1'], r"--fuse: no score set named 'u', expected one of \['s', 't'\]"),
            (['s=1', 's=2'], "--fuse: 's' comes twice, expected each once"),
            (['s'], "--fuse: expected NAME=WEIGHT, got 's'"),
            (['s='], "--fuse: expected NAME=WEIGHT, got 's='"),
            (['=1'], "--fuse: no score set named ''"),
            (['s=1e308', 't=1e308'], "--fuse: video '00': .* not finite, the first is inf"),
        ],
    )
    def test_fusion(self, run, fuse, words):
        high = {video: np.full(40, 1e300) for video in self.labels}
        np.savez('t.npz', **high)
        assert re.match(words, run('--fuse', *fuse, scores=('s.npz', 't.npz')))

    def test_no_set_is_replaced_by_the_sum(self, run):
        words = "--fuse: the sum is named 'fused', expected another name for that set"
        assert run('--fuse', 'fused=1', scores=('fused=s.npz',)) == words

    @pytest.mark.parametrize(
        ('given', 'path', 'name'),
        [
            ('a=b.npz', 'a=b.npz', 'a=b'),
            ('x=a=b.npz', 'a=b.npz', 'x'),
            ('lr=0.1/s.npz', 'lr=0.1/s.npz', 's'),
            ('a, b.1.npz', 'a, b.1.npz', 'a, b.1'),
            ('x y=s.npz', 's.npz', 'x y'),
            ('=s.npz', 's.npz', 's'),
            ('A', 'A/', 'A'),
            ('A.attributes', 'A.attributes/', 'A.attributes'),
            ('A.attributes/', 'A.attributes/', 'A.attributes'),
            ('.', '00.npy', None),
        ],
    )
    def test_names_of_sets(self, run, tmp_path, given, path, name):
        Path(path).parent.mkdir(exist_ok=True)
        if path.endswith('/'):
            Path(path).mkdir()
        for folder in (path, '.') if name is None else (path,):
            for video, scores in self.scores.items():
                if Path(folder).is_dir():
                    np.save(Path(folder) / f'{video}.npy', scores)
        if path.endswith('.npz'):
            np.savez(path, **self.scores)
        name = name or tmp_path.name
        assert run('--fuse', f'{name}=2', '--out', 'r.json', scores=(given,)) == ''
        assert set(json.loads(Path('r.json').read_text())['score_sets']) == {name, 'fused'}

    def test_folders_that_differ_behind_a_dot_are_two_sets(self, run):
        for folder in ('A', 'A.attributes'):
            Path(folder).mkdir()
            for video, scores in self.scores.items():
                np.save(f'{folder}/{video}.npy', scores)
        assert run(scores=('A', 'A.attributes')) == ''
        assert self.out.splitlines()[2].split() == ['per', 'cent', 'A', 'A.attributes']
        words = "./A: a second score set named 'A', expected NAME=PATH"
        assert run(scores=('A', './A')) == words
        words = 'x=A=: no such file or folder of scores'
        assert run(scores=('x=A=',)) == words

    @pytest.mark.parametrize(
        ('name', 'text', 'words'),
        [
            ('none.json', None, 'none.json: no such file, expected an annotation file or a config'),
            ('.', None, '.: a folder, expected an annotation file (.json) or a config (.py)'),
            ('d.txt', '', 'd.txt: another file, expected an annotation file (.json) or a config'),
            ('d.json', '{', 'd.json: not JSON: Expecting property name'),
            ('d.json', '[' * 100_000, 'd.json: not JSON: '),
            ('d.json', '[]', 'd.json: expected an object with metainfo and data_list'),
            (
                'd.py',
                'x = (',
                "d.py: cannot be read as a config: SyntaxError: '(' was never closed",
            ),
            (
                'd.py',
                '1 / 0',
                'd.py: cannot be read as a config: ZeroDivisionError: division by zero',
            ),
            ('d.py', 'import nowhere_at_all', 'd.py: '),
            (
                'd.py',
                'raise RuntimeError("one\\ntwo")',
                'd.py: cannot be read as a config: RuntimeError: one two',
            ),
            ('d.py', "_base_ = 'none.py'", 'd.py: cannot be read as a config: FileNotFoundError: '),
            ('d.py', 'x = 1', 'd.py: names no dataset, expected a dict test_dataset'),
            ('d.py', 'test_dataset = 3', 'd.py: names no dataset, expected a dict test_dataset'),
            (
                'd.py',
                "test_dataset = dict(type='No')",
                'd.py: test_dataset: No is not in the mmvad',
            ),
            (
                'd.py',
                "test_dataset = dict(type='VideoDataset')",
                'd.py: test_dataset: ',
            ),
            (
                'd.py',
                "test_dataset = dict(type='VideoDataset', data_root='x')",
                'd.py: test_dataset: data_prefix: expected',
            ),
            (
                'd.py',
                "test_dataset = dict(type='VideoDataset', data_root='.', ann_file='none.json')",
                'none.json: no such annotation file',
            ),
            (
                'd.py',
                "test_dataset = dict(type='mmengine.ConcatDataset', datasets=[dict("
                "type='VideoDataset', data_root='testing', data_prefix=dict(img='frames'))])",
                'd.py: test_dataset: a ConcatDataset, expected a VideoDataset',
            ),
            (
                'd.py',
                "test_dataset = dict(type='VideoDataset', data_root='testing', "
                "data_prefix=dict(img='frames'))",
                'd.py: has no labels to evaluate against',
            ),
        ],
    )
    def test_datasets(self, run, name, text, words):
        if text is not None:
            Path(name).write_text(text)
        assert run(dataset=name).startswith(words)

    @pytest.mark.parametrize(
        ('out', 'words'),
        [
            ('none/r.json', '--out: none/r.json: no such folder, expected one that exists'),
            ('s.npz/r.json', '--out: s.npz/r.json: no such folder, expected one that exists'),
            ('testing', '--out: testing: a folder or device, expected the name of a file'),
            ('/dev/null', '--out: /dev/null: a folder or device, expected the name of a file'),
            ('link', '--out: link: a link, expected the name of a file'),
            ('/proc/r.json', '--out: /proc/r.json: .*, expected a folder that can be written to'),
        ],
    )
    def test_a_place_where_no_report_can_be_is_told_first(self, run, tool, monkeypatch, out, words):
        monkeypatch.setattr(tool, 'build_dataset', None)
        Path('link').symlink_to('nowhere.json')
        before = sorted(Path().rglob('*'))
        assert re.match(words, run('--out', out))
        assert sorted(Path().rglob('*')) == before

    def test_nothing_is_left_half_written(self, run, tool, monkeypatch):
        Path('r.json').write_text('old')
        before = sorted(Path().iterdir())
        assert run('--out', 'r.json', scores=('none.npz',)) == (
            'none.npz: no such file or folder of scores'
        )
        assert Path('r.json').read_text() == 'old'
        assert sorted(Path().iterdir()) == before
        assert run('--out', 'r.json') == ''
        assert set(json.loads(Path('r.json').read_text())['score_sets']) == {'s'}
        assert sorted(Path().iterdir()) == before

    @pytest.mark.parametrize('text', ['-1', '2.5', '1_0', '\u0661', '', 'ten', '9' * 5000])
    def test_areas_that_are_none(self, run, text):
        words = '--min-region-area: expected a whole number of pixels from 0 up, got '
        assert run('--boxes', 'b.csv', f'--min-region-area={text}').startswith(words)

    def test_specks_are_no_regions(self, run, plaza, tmp_path):
        words = '--min-region-area: of the regions for --boxes, expected these too'
        assert run('--min-region-area', '5') == words
        write_masks(plaza, tmp_path)
        content = json.loads(Path('testing.json').read_text())
        for row in content['data_list']:
            row['pixel_masks'] = f'{row["video"]}.npy'
        Path('testing.json').write_text(json.dumps(content))
        rows = [f'00,{frame},30,40,34,44,1\n' for frame in (3, 6)]
        Path('b.csv').write_text('video,frame,x1,y1,x2,y2,score\n' + ''.join(rows))
        # Both regions of the one track; with the specks half of the regions and of the tracks.
        for args, least, figure in (((), 10, 100), (('--min-region-area', '0'), 0, 50)):
            assert run('--boxes', 'b.csv', '--out', 'r.json', *args) == ''
            report = json.loads(Path('r.json').read_text())
            assert report['score_sets']['s']['regions'] == dict(rbdc=figure, tbdc=figure)
            assert report['regions']['min_region_area'] == least
            assert report['regions']['specks'] == (2 if least else 0)
            assert f'min_region_area {least}, regions {4 - report["regions"]["specks"]}' in self.out
        assert run('--out', 'r.json') == ''
        assert 'regions' not in json.loads(Path('r.json').read_text())
        words = '--boxes: the dataset names no pixel masks that hold a region of at least 17 pixels'
        assert run('--boxes', 'b.csv', '--min-region-area', '17') == words

    def test_videos_that_a_test_left_out(self, run):
        Path('d.py').write_text(
            "test_dataset = dict(type='VideoDataset', data_root='.', ann_file='testing.json', "
            "on_error='skip')"
        )
        Path('w/scores').mkdir(parents=True)
        np.save('w/scores/00.npy', self.scores['00'])
        words = "w/scores: no scores of 1 of 2 videos: ['01']"
        assert run(scores=('w/scores',), dataset='d.py') == words
        Path('w/metrics.json').write_text('{"protocol": {"left_out": {"01": "does not decode"}}}')
        assert run('--out', 'r.json', scores=('w/scores',), dataset='d.py') == ''
        assert 'left out: 01: does not decode' in self.out
        assert json.loads(Path('r.json').read_text())['left_out'] == {'01': 'does not decode'}
        # Where nobody asked for it, a video that is missing is an error.
        assert run(scores=('w/scores',)) == words

    def test_files_that_are_off_are_named(self, run):
        """One of each kind: the others are tested with the readers."""
        Path('b.csv').write_text('video,frame,x1,y1,x2,y2,score\n00,40,0,0,1,1,1\n')
        words = "b.csv, line 2: frame 40 of video '00': the video has 40 frames, expected 0 to 39"
        assert run('--boxes', 'b.csv') == words
        np.savez('t.npz', **{'00': self.scores['00']})
        assert run(scores=('s.npz', 't.npz')) == "t.npz: no scores of 1 of 2 videos: ['01']"
        np.savez('t.npz', **self.scores, other=np.zeros(3))
        words = "t.npz: scores of 1 videos that are not in the test set: ['other']"
        assert run(scores=('t.npz',)) == words
        self.scores['01'][7] = np.nan
        np.savez('t.npz', **self.scores)
        words = "t.npz: video '01': 1 of 40 scores are not finite, the first is nan in frame 7"
        assert run(scores=('t.npz',)) == words
        assert run('--subset', 'hr_avenue').startswith('--subset: subset hr_avenue: ')
        assert run('--boxes', 'b.csv', scores=('s.npz', 't.npz')).startswith('--boxes: they belong')

    def test_other_errors_are_not_hidden(self, run, tool, monkeypatch):
        def faulty(name):
            raise KeyError(name)

        monkeypatch.setattr(tool, 'build_dataset', faulty)
        with pytest.raises(KeyError):
            run()

    def test_the_systems_errors_name_the_file(self, run, tool, monkeypatch):
        def unreadable(name):
            raise PermissionError(13, 'Permission denied', name)

        monkeypatch.setattr(tool, 'build_dataset', unreadable)
        assert run() == 'testing.json: Permission denied'


@pytest.mark.parametrize('frames', [1, 2, 7, 40])
@pytest.mark.parametrize('size', [1, 3, 9, 9_999])
def test_the_median_is_that_of_the_window_however_short_the_video(frames, size):
    scores = np.random.default_rng(frames).normal(size=frames)
    half = size // 2
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(scores, half, mode='edge'), size)
    np.testing.assert_array_equal(median_smooth(scores, size), np.median(windows, axis=1))
    assert len(median_smooth(scores[:0], size)) == 0
