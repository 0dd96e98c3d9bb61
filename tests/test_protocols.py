"""The named protocols against the arithmetic of the peers' published code, written out here.

Each oracle does what the named file of the peer does, in its order, in plain loops; only areas
under curves are scikit-learn's, as they are there.
"""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import auc, roc_auc_score, roc_curve
from test_evaluate import tool  # noqa: F401 (a fixture)

from mmvad import cli
from mmvad.datasets import VideoDataset
from mmvad.datasets.annotations import VideoAnnotation, intervals_of, write_annotations
from mmvad.evaluation.functional import PROTOCOLS, build_smoother, frame_auc, gaussian_smooth
from mmvad.evaluation.report import evaluate

NAMES = ['01', '02', '03', '04']


@pytest.fixture(params=range(3))
def case(request):
    """Scores, some below 0, and labels; one video is normal and one abnormal throughout."""
    rng = np.random.default_rng(request.param)
    lengths = (60, 41, 25, 33)
    labels = {
        name: (np.arange(n) >= n // 2).astype(np.uint8)
        for name, n in zip(NAMES, lengths, strict=True)
    }
    labels['03'][:], labels['04'][:] = 0, 1
    scores = {name: rng.normal(size=len(y)).cumsum() / 3 + y for name, y in labels.items()}
    return scores, labels


def mirrored(index, length):
    """Where a place before 0 or behind the end is in a signal that is mirrored with its ends."""
    index %= 2 * length
    return index if index < length else 2 * length - 1 - index


def gaussian(values, sigma):
    """A Gaussian of 4 sigma each way over a mirrored signal, sum by sum."""
    reach = int(4 * sigma + 0.5)
    weights = [math.exp(-0.5 * (k / sigma) ** 2) for k in range(-reach, reach + 1)]
    total = sum(weights)
    return np.array(
        [
            sum(
                w / total * values[mirrored(i + k, len(values))]
                for k, w in zip(range(-reach, reach + 1), weights, strict=True)
            )
            for i in range(len(values))
        ]
    )


def ai_vad(scores, labels, sigma):
    smooth = {v: gaussian(scores[v], sigma) for v in scores}
    micro = roc_auc_score(joined(labels), joined(smooth))
    areas = [roc_auc_score([0, *labels[v], 1], [0, *smooth[v], sys.float_info.max]) for v in scores]
    return dict(micro=micro, macro=sum(areas) / len(areas))


def stg_nf(scores, labels, sigma=7):
    """There scores are of normality, and those of frames without anybody infinite."""
    normality = {v: -values for v, values in scores.items()}
    normal = {v: 1 - y for v, y in labels.items()}
    values = joined(normality)
    high, low = values[values != np.inf].max(), values[values != -np.inf].min()
    for v, array in normality.items():
        array = np.where(array == np.inf, high, np.where(array == -np.inf, low, array))
        for width in range(1, sigma):
            array = gaussian(array, width)
        normality[v] = array
    return dict(micro=roc_auc_score(joined(normal), joined(normality)))


def hf2_vad(scores, labels):
    truth, found = {}, {}
    for v in scores:
        values = np.concatenate([np.zeros(8), scores[v][4:], np.zeros(8)])
        found[v] = np.array([sorted(values[i : i + 17])[8] for i in range(len(values) - 16)])
        truth[v] = labels[v][4:]
    fpr, tpr, _ = roc_curve(joined(truth), joined(found), pos_label=1)
    return dict(micro=auc(fpr, tpr))


def mnad(errors, labels, distances=None, alpha=0.6):
    regularity, truth = {}, {}
    for v in errors:
        psnr = [10 * math.log10(1 / error) for error in errors[v][4:]]
        score = [(p - min(psnr)) / (max(psnr) - min(psnr)) for p in psnr]
        if distances is not None:
            d = distances[v][4:]
            near = [1 - (x - min(d)) / (max(d) - min(d)) for x in d]
            score = [alpha * a + (1 - alpha) * b for a, b in zip(score, near, strict=True)]
        regularity[v], truth[v] = np.array(score), 1 - labels[v][4:].astype(int)
    return dict(micro=roc_auc_score(joined(truth), joined(regularity)))


def joined(parts):
    return np.concatenate([parts[v] for v in NAMES])


def figures(scores, labels, name):
    report = evaluate(scores, labels, **PROTOCOLS[name])
    assert report['raw'] != report['processed']
    return {k: report['processed'][f'auc/{k}'] / 100 for k in ('micro', 'macro')}


@pytest.mark.parametrize(('name', 'sigma'), [('ai-vad', 3), ('ai-vad-shanghaitech', 7)])
def test_ai_vad(case, name, sigma):
    expected = ai_vad(*case, sigma)
    assert figures(*case, name) == pytest.approx(expected, abs=1e-6)
    # The zero that pads is not the lowest: padding as elsewhere gives another figure.
    other = evaluate(*case, **dict(PROTOCOLS[name], pad_scores=None))['processed']
    assert other['auc/micro'] == pytest.approx(100 * expected['micro'])
    assert abs(other['auc/macro'] / 100 - expected['macro']) > 1e-3


def test_stg_nf(case):
    scores, labels = case
    assert figures(scores, labels, 'stg-nf')['micro'] == pytest.approx(
        stg_nf(scores, labels)['micro'], abs=1e-6
    )
    scores['01'][3:9] = -np.inf
    scores['02'][20] = np.inf
    assert figures(scores, labels, 'stg-nf')['micro'] == pytest.approx(
        stg_nf(scores, labels)['micro'], abs=1e-6
    )
    with pytest.raises(ValueError, match="'01': 6 of 60 scores are not finite"):
        evaluate(scores, labels)
    scores['02'][20] = np.nan
    with pytest.raises(ValueError, match="'02': 1 of 41 scores are not finite, .* nan in frame 20"):
        evaluate(scores, labels, clip_infinite=True)
    with pytest.raises(ValueError, match='no score of the test set is finite'):
        evaluate(
            {v: np.full(len(y), np.inf) for v, y in labels.items()}, labels, clip_infinite=True
        )


def test_hf2_vad(case):
    scores, labels = case
    # What is cut may be anything.
    scores['01'][:4] = np.nan
    assert figures(scores, labels, 'hf2-vad')['micro'] == pytest.approx(
        hf2_vad(scores, labels)['micro'], abs=1e-6
    )
    scores['01'][4] = np.nan
    with pytest.raises(ValueError, match="'01': 1 of 60 scores are not finite, .* nan in frame 4"):
        figures(scores, labels, 'hf2-vad')
    with pytest.raises(ValueError, match="'03': 25 frames, of which the first 25 are cut: none"):
        evaluate(case[0], labels, cut_leading=25)


def test_mnad_of_errors(case):
    scores, labels = case
    errors = {v: 1e-3 * np.exp(values) for v, values in scores.items()}
    assert figures(errors, labels, 'mnad')['micro'] == pytest.approx(
        mnad(errors, labels)['micro'], abs=1e-6
    )
    errors['02'][9] = 0
    with pytest.raises(ValueError, match="'02', from frame 4: the error of frame 5 is 0.0, expect"):
        figures(errors, labels, 'mnad')


def write_set(folder, labels, frames=None):
    videos = [
        VideoAnnotation(name, f'frames/{name}', len(y), intervals_of(y))
        for name, y in labels.items()
    ]
    meta = dict(dataset='made', split='testing', ground_truth='by hand')
    write_annotations(folder / 'testing.json', meta, videos)


@pytest.fixture
def run(tool, tmp_path, monkeypatch, capsys):  # noqa: F811
    """Runs the tool in a folder without any frame; its error line or its report."""
    monkeypatch.chdir(tmp_path)

    def run(*args):
        monkeypatch.setattr(
            sys, 'argv', ['x', *args, '--dataset', 'testing.json', '--out', 'r.json']
        )
        try:
            tool.main(tool.make_parser().parse_args())
        except (ValueError, OSError) as error:
            return cli.describe(error)
        return json.loads(Path('r.json').read_text())

    return run


@pytest.mark.parametrize('case', [0], indirect=True)
def test_the_tool_by_name(case, run, tmp_path):
    scores, labels = case
    write_set(tmp_path, labels)
    np.savez('s.npz', **scores)
    for name, expected in (
        ('ai-vad', ai_vad(scores, labels, 3)),
        ('ai-vad-shanghaitech', ai_vad(scores, labels, 7)),
        ('stg-nf', stg_nf(scores, labels)),
        ('hf2-vad', hf2_vad(scores, labels)),
    ):
        found = run('s.npz', '--protocol', name)['score_sets']['s']['processed']
        for figure, value in expected.items():
            assert found[f'auc/{figure}'] == pytest.approx(100 * value, abs=1e-6), (name, figure)
    # The same by single options, where there are any.
    args = '--smooth', ','.join(f'gaussian:{s}' for s in range(1, 7)), '--border', 'reflect'
    found = run('s.npz', *args)['score_sets']['s']['processed']
    assert found['auc/micro'] == pytest.approx(100 * stg_nf(scores, labels)['micro'], abs=1e-6)
    args = '--cut-leading', '4', '--smooth', 'median:17', '--border', 'zero'
    found = run('s.npz', *args)['score_sets']['s']['processed']
    assert found['auc/micro'] == pytest.approx(100 * hf2_vad(scores, labels)['micro'], abs=1e-6)


@pytest.mark.parametrize('case', [0], indirect=True)
def test_the_tool_with_both_scores_of_mnad(case, run, tmp_path):
    scores, labels = case
    write_set(tmp_path, labels)
    rng = np.random.default_rng(9)
    errors = {v: 1e-3 * np.exp(values) for v, values in scores.items()}
    distances = {v: rng.random(len(y)) + y for v, y in labels.items()}
    np.savez('mse.npz', **errors)
    np.savez('distance.npz', **distances)
    sets = run('mse.npz', 'distance.npz', '--protocol', 'mnad')['score_sets']
    expected = {
        'mse': mnad(errors, labels),
        'distance': mnad(errors, labels, distances, alpha=0),
        'fused': mnad(errors, labels, distances),
    }
    for name, value in expected.items():
        part = sets[name]['processed'] or sets[name]['raw']
        assert part['auc/micro'] == pytest.approx(100 * value['micro'], abs=1e-6), name
    weights = '--fuse', 'mse=0.3', 'distance=0.7'
    found = run('mse.npz', 'distance.npz', '--protocol', 'mnad', *weights)['score_sets']['fused']
    expected = mnad(errors, labels, distances, alpha=0.3)
    assert found['raw']['auc/micro'] == pytest.approx(100 * expected['micro'], abs=1e-6)
    found = run('any=mse.npz', '--protocol', 'mnad')['score_sets']['any']['processed']
    assert found['auc/micro'] == pytest.approx(100 * mnad(errors, labels)['micro'], abs=1e-6)
    words = '--protocol: mnad takes one set, of mean squared errors, or mse=PATH and distance=PATH'
    assert run('a=mse.npz', 'b=distance.npz', '--protocol', 'mnad').startswith(words)


@pytest.mark.parametrize('case', [0], indirect=True)
def test_what_is_off_is_told(case, run, tmp_path):
    scores, labels = case
    write_set(tmp_path, labels)
    np.savez('s.npz', **scores)
    for args, words in (
        (['--protocol', 'x'], "--protocol: expected one of ai-vad, ai-vad-shang.*, got 'x'"),
        (
            ['--protocol', 'mnad', '--min-max', '--cut-leading', '3'],
            '--protocol: mnad says all of that itself, expected no --min-max, --cut-leading',
        ),
        (['--border', 'zero'], '--border: of --smooth, expected that too'),
        (['--border', 'wrap', '--smooth', 'median:3'], '--border: expected one of nearest, refl'),
        (['--border', 'zero', '--smooth', 'causal:3'], '--smooth: smoothing: expected the keys ty'),
        (['--smooth', 'gaussian:1,,median:3'], "--smooth: expected gaussian:SIGMA, .*got ''"),
        (['--cut-leading', '-1'], "--cut-leading: expected a whole number of frames .*'-1'"),
        (['--cut-leading', '25'], "s.npz: video '03': 25 frames, of which the first 25 are cut"),
        (['--pad', 'some'], "--pad: expected one of one-class, all, skip, got 'some'"),
        (['--tracks', '.'], '--tracks: of the regions for --boxes, expected these too'),
        (['--inclusive'], '--inclusive: of the regions for --boxes, expected these too'),
    ):
        found = run('s.npz', *args)
        assert isinstance(found, str), args
        assert re.match(words, found), found


@pytest.mark.parametrize('case', [0], indirect=True)
def test_padding(case):
    scores, labels = case
    areas = {v: roc_auc_score(labels[v], scores[v]) for v in ('01', '02')}
    both = {
        v: roc_auc_score([*labels[v], 0, 1], [*scores[v], scores[v].min(), scores[v].max()])
        for v in NAMES
    }
    for pad, expected, padded in (
        ('skip', areas, ()),
        ('one-class', both | areas, ('03', '04')),
        ('all', both, tuple(NAMES)),
    ):
        found = frame_auc(scores, labels, pad)
        assert found.macro == pytest.approx(np.mean([*expected.values()]))
        assert found.macro_skipped == pytest.approx(np.mean([*areas.values()]))
        assert found.padded == padded
    with pytest.raises(ValueError, match="pad: expected one of .*, got 'some'"):
        frame_auc(scores, labels, 'some')
    alone = {v: scores[v] for v in ('03', '04')}
    found = evaluate(alone, {v: labels[v] for v in alone}, pad='skip')
    assert 'auc/macro' not in found['raw'] and 'auc/micro' in found['raw']


@pytest.mark.parametrize('kind', ['gaussian', 'median'])
@pytest.mark.parametrize('frames', [1, 2, 5, 40])
@pytest.mark.parametrize(
    ('border', 'places'),
    [
        ('nearest', lambda i, n: min(max(i, 0), n - 1)),
        ('reflect', mirrored),
        ('zero', lambda i, n: i if 0 <= i < n else None),
    ],
)
def test_borders(kind, frames, border, places):
    values = np.random.default_rng(frames).normal(size=frames)

    def at(i):
        place = places(i, frames)
        return 0.0 if place is None else values[place]

    if kind == 'median':
        expected = [np.median([at(i + k) for k in range(-4, 5)]) for i in range(frames)]
        smoothing = dict(type='median', size=9, border=border)
    else:
        weights = {k: math.exp(-0.5 * (k / 2.5) ** 2) for k in range(-10, 11)}
        total = sum(weights.values())
        expected = [sum(w / total * at(i + k) for k, w in weights.items()) for i in range(frames)]
        smoothing = dict(type='gaussian', sigma=2.5, border=border)
    np.testing.assert_allclose(build_smoother(smoothing)(values), expected, atol=1e-12)


def test_a_chain_is_done_in_turn():
    values = np.random.default_rng(0).normal(size=30)
    chain = [dict(type='gaussian', sigma=2), dict(type='gaussian', sigma=3, border='zero')]
    expected = gaussian_smooth(gaussian_smooth(values, 2), 3, 'zero')
    np.testing.assert_array_equal(build_smoother(chain)(values), expected)
    np.testing.assert_array_equal(build_smoother([])(values), values)
    for smoothing, words in (
        ([dict(type='median', size=3), dict(type='median', size=4)], r'smoothing\[1\].size'),
        ([dict(type='median', size=3, border='wrap')], r"smoothing\[0\].border: .*'wrap'"),
        (['median'], r"smoothing\[0\]: expected a dict, got 'median'"),
        ('median:3', "smoothing: expected a dict or a list of them, got 'median:3'"),
        (dict(type='causal', sigma=3, border='zero'), 'smoothing: expected the keys type and sig'),
    ):
        with pytest.raises(ValueError, match=words):
            build_smoother(smoothing)


def test_metainfo(tmp_path):
    labels = {'01': np.array([0, 1, 1]), '02': np.zeros(2, int)}
    write_set(tmp_path, labels)
    place = dict(data_root=str(tmp_path), ann_file='testing.json', need_frames=False)
    meta = VideoDataset(**place).metainfo
    assert meta['videos'] == {'01': 3, '02': 2}
    assert meta['labels']['01'].tolist() == [0, 1, 1]
    assert (meta['dataset'], meta['split'], meta['ground_truth']) == ('made', 'testing', 'by hand')
    lazy = VideoDataset(**place, metainfo=dict(dataset='other', first_scored=5), lazy_init=True)
    assert (lazy.metainfo['dataset'], lazy.metainfo['first_scored']) == ('other', 5)
    with pytest.raises(FileNotFoundError, match='frames/01: no such frames'):
        VideoDataset(data_root=str(tmp_path), ann_file='testing.json')
