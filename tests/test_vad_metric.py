import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import BaseDataElement, InstanceData
from scipy.ndimage import gaussian_filter1d
from sklearn.metrics import roc_auc_score

from mmvad.evaluation import VADMetric
from mmvad.evaluation.functional import link_objects, smooth_along_tracks

WINDOW = 5
VIDEOS = {'01': 40, '02': 30, 'Scene1/03': 20}
FLOOR = {'smm': -1.0, 'spatial': -2.0, 'both': -3.0}


def make_labels():
    labels = {video: np.zeros(length, dtype=np.uint8) for video, length in VIDEOS.items()}
    labels['01'][20:30] = 1
    labels['02'][12:] = 1
    return labels


def make_samples(seed=0):
    """One sample a frame that has objects, as the model gives them."""
    rng = np.random.default_rng(seed)
    labels, samples = make_labels(), []
    for video, length in VIDEOS.items():
        for frame in range(WINDOW, length):
            count = int(rng.integers(0, 4))
            if count == 0:
                continue
            shift = labels[video][frame]
            scores = {name: rng.normal(size=count) + shift for name in FLOOR}
            instances = InstanceData(
                bboxes=torch.from_numpy(rng.uniform(0, 99, (count, 4))).float(),
                **{name: torch.from_numpy(values).float() for name, values in scores.items()},
            )
            sample = BaseDataElement(
                metainfo=dict(video=video, frame=frame, floor=FLOOR), pred_instances=instances
            )
            samples.append(sample)
    return samples


def run(samples, labels=None, batch=7, videos=VIDEOS, **kwargs):
    evaluator = Evaluator([dict(type='mmvad.VADMetric', **kwargs)])
    evaluator.dataset_meta = dict(videos=videos, window=WINDOW, labels=labels or {})
    for start in range(0, len(samples), batch):
        evaluator.process(samples[start : start + batch])
    # The dataset's own length may be smaller than the number of frames: videos, for one.
    return evaluator.evaluate(len(videos))


def expected_raw(samples, channel):
    """Frame scores by plain loops."""
    raw = {video: [FLOOR[channel]] * length for video, length in VIDEOS.items()}
    for sample in samples:
        raw[sample.video][sample.frame] = float(sample.pred_instances[channel].max())
    return {
        video: np.array([values[WINDOW]] * WINDOW + values[WINDOW:], dtype=np.float32)
        for video, values in raw.items()
    }


def percent_micro(scores, labels):
    return 100 * roc_auc_score(np.concatenate([*labels.values()]), np.concatenate([*scores]))


def test_figures_match_plain_loops():
    samples, labels = make_samples(), make_labels()
    metrics = run(samples, labels, score='spatial', smoothing=dict(type='gaussian', sigma=2))

    for channel in FLOOR:
        raw = expected_raw(samples, channel)
        smooth = {v: gaussian_filter1d(s, 2, mode='nearest') for v, s in raw.items()}
        micro_raw = percent_micro(raw.values(), labels)
        micro = percent_micro(smooth.values(), labels)
        assert metrics[f'auc_{channel}/micro_raw'] == pytest.approx(micro_raw)
        assert metrics[f'auc_{channel}/micro'] == pytest.approx(micro, abs=0.01)
    raw = expected_raw(samples, 'spatial')
    both_classes = [100 * roc_auc_score(labels[v], raw[v]) for v in ('01', '02')]
    top = np.append(raw['Scene1/03'], [raw['Scene1/03'].min(), raw['Scene1/03'].max()])
    padded = 100 * roc_auc_score([0] * 21 + [1], top)
    assert metrics['auc/macro_raw'] == pytest.approx(np.mean([*both_classes, padded]))
    assert metrics['auc/micro'] == metrics['auc_spatial/micro']
    assert metrics['auc/micro_raw'] == metrics['auc_spatial/micro_raw']
    assert metrics['auc/micro'] != metrics['auc/micro_raw']
    assert metrics['auc/macro'] != metrics['auc/macro_skipped']
    assert 0 < metrics['auc/eer'] < 50
    assert metrics['frames'] == 90
    assert metrics['abnormal_frames'] == 28
    assert metrics['videos'] == 3
    assert metrics['videos_padded'] == 1
    assert metrics['videos_without_objects'] == 0


def test_files_hold_the_scores_behind_the_figures(tmp_path):
    samples, labels = make_samples(1), make_labels()
    metrics = run(samples, labels, out_dir=tmp_path, smoothing=dict(type='causal', sigma=3))

    raw = expected_raw(samples, 'both')
    final = {}
    for video, length in VIDEOS.items():
        stored = np.load(tmp_path / f'scores/raw/{video}.npy', allow_pickle=False)
        np.testing.assert_array_equal(stored, raw[video])
        final[video] = np.load(tmp_path / f'scores/{video}.npy', allow_pickle=False)
        assert final[video].dtype == stored.dtype == np.float32
        assert final[video].shape == (length,)
    assert percent_micro(final.values(), labels) == pytest.approx(metrics['auc/micro'])

    for video in VIDEOS:
        with np.load(tmp_path / f'objects/{video}.npz', allow_pickle=False) as stored:
            assert sorted(stored) == ['both', 'boxes', 'frames', 'smm', 'spatial']
            frames, boxes, smm = stored['frames'], stored['boxes'], stored['smm']
        own = [sample for sample in samples if sample.video == video]
        assert (np.diff(frames) >= 0).all()
        assert len(frames) == sum(len(sample.pred_instances) for sample in own)
        for sample in own:
            instances = sample.pred_instances
            order = np.lexsort(boxes[frames == sample.frame].T[::-1])
            expected = instances.bboxes.numpy()
            expected_order = np.lexsort(expected.T[::-1])
            here = frames == sample.frame
            np.testing.assert_array_equal(boxes[here][order], expected[expected_order])
            np.testing.assert_array_equal(smm[here][order], instances.smm.numpy()[expected_order])
    assert not [path for path in tmp_path.rglob('*') if 'tmp' in path.name]


def test_split_and_repeated_frames_change_nothing(tmp_path):
    samples, labels = make_samples(2), make_labels()
    whole = run(samples, labels, out_dir=tmp_path / 'whole')
    pieces = []
    for sample in samples:
        for index in range(len(sample.pred_instances)):
            piece = sample.clone()
            piece.pred_instances = sample.pred_instances[index : index + 1]
            pieces.append(piece)
    assert run(pieces + pieces[:9], labels, out_dir=tmp_path / 'pieces') == whole
    for video in VIDEOS:
        with (
            np.load(tmp_path / f'whole/objects/{video}.npz') as first,
            np.load(tmp_path / f'pieces/objects/{video}.npz') as second,
        ):
            for name in first:
                np.testing.assert_array_equal(first[name], second[name])


def make_walkers(seed=7):
    """As :func:`make_samples`, with two objects that drift slowly and are missed now and then."""
    rng = np.random.default_rng(seed)
    labels, samples = make_labels(), []
    for video, length in VIDEOS.items():
        for frame in range(WINDOW, length):
            seen = np.flatnonzero(rng.random(2) < 0.8)
            left = np.array([frame, 80 - frame])[seen]
            top = np.array([0, 50])[seen]
            shift = labels[video][frame]
            scores = {name: rng.normal(size=len(seen)) + shift for name in FLOOR}
            instances = InstanceData(
                bboxes=torch.from_numpy(np.stack([left, top, left + 9, top + 20], axis=1)).float(),
                **{name: torch.from_numpy(values).float() for name, values in scores.items()},
            )
            samples.append(
                BaseDataElement(
                    metainfo=dict(video=video, frame=frame, floor=FLOOR), pred_instances=instances
                )
            )
    return samples


@pytest.mark.parametrize('smoothing', [None, dict(type='gaussian', sigma=2)])
def test_tracking_smooths_objects_before_frames(tmp_path, smoothing):
    samples, labels = make_walkers(), make_labels()
    plain = run(samples, labels, smoothing=smoothing, out_dir=tmp_path / 'plain')
    tracking = dict(sigma=3.0, max_gap=4, causal=True)
    metrics = run(
        samples, labels, smoothing=smoothing, tracking=tracking, out_dir=tmp_path / 'tracked'
    )

    tracked = {channel: {} for channel in FLOOR}
    for video, length in VIDEOS.items():
        with (
            np.load(tmp_path / f'plain/objects/{video}.npz') as first,
            np.load(tmp_path / f'tracked/objects/{video}.npz') as second,
        ):
            assert sorted(second) == sorted([*first, 'tracks'])
            for name in first:
                np.testing.assert_array_equal(first[name], second[name])
            frames, tracks = second['frames'], second['tracks']
            assert tracks.dtype == np.int32
            np.testing.assert_array_equal(tracks, link_objects(frames, second['boxes'], max_gap=4))
            assert len(np.unique(tracks)) < len(tracks) / 5
            for channel in FLOOR:
                scores = smooth_along_tracks(frames, tracks, second[channel], 3.0, causal=True)
                peaks = [
                    max(scores[frames == frame], default=FLOOR[channel])
                    for frame in range(WINDOW, length)
                ]
                tracked[channel][video] = np.array([peaks[0]] * WINDOW + peaks)
        raw = [np.load(tmp_path / f'{out}/scores/raw/{video}.npy') for out in ('plain', 'tracked')]
        np.testing.assert_array_equal(*raw)
        final = tracked['both'][video]
        if smoothing:
            final = gaussian_filter1d(final, 2, mode='nearest')
        stored = np.load(tmp_path / f'tracked/scores/{video}.npy')
        np.testing.assert_allclose(stored, final, atol=1e-6)

    expected = percent_micro(tracked['both'].values(), labels)
    assert metrics['auc/micro_tracked'] == pytest.approx(expected)
    for channel in FLOOR:
        values = tracked[channel].values()
        if smoothing:
            values = [gaussian_filter1d(value, 2, mode='nearest') for value in values]
        expected = percent_micro(values, labels)
        assert metrics[f'auc_{channel}/micro'] == pytest.approx(expected, abs=0.01)
    assert (metrics['auc/micro'] == metrics['auc/micro_tracked']) is (smoothing is None)
    assert set(metrics) == {*plain, 'auc/micro_tracked'}
    for name in plain:
        if name.endswith('_raw') or not name.startswith(('auc', 'ap')):
            assert metrics[name] == plain[name]


def test_repeated_frames_start_no_tracks(tmp_path):
    """Nor do they when another batch has rounded their scores in another way."""
    samples, labels = make_walkers(), make_labels()
    repeated = [sample.clone() for sample in samples[:9]]
    for sample in repeated:
        sample.pred_instances.both = sample.pred_instances.both - 1e-6
    kwargs = dict(labels=labels, tracking=dict(sigma=2))
    whole = run(samples, out_dir=tmp_path / 'whole', **kwargs)
    assert run(repeated + samples, out_dir=tmp_path / 'repeated', **kwargs) == whole
    with (
        np.load(tmp_path / 'whole/objects/01.npz') as first,
        np.load(tmp_path / 'repeated/objects/01.npz') as second,
    ):
        for name in first:
            np.testing.assert_array_equal(first[name], second[name])


def test_tracking_without_files_or_objects(tmp_path):
    samples, labels = [s for s in make_walkers() if s.video != '02'], make_labels()
    metrics = run(samples, labels, tracking=dict(sigma=2))
    assert metrics['videos_without_objects'] == 1
    assert run(samples, labels, tracking=dict(sigma=2), out_dir=tmp_path) == metrics
    with np.load(tmp_path / 'objects/02.npz') as objects:
        assert objects['tracks'].shape == (0,)
    np.testing.assert_array_equal(np.load(tmp_path / 'scores/02.npy'), np.full(30, -3.0))


def test_sigma_0_tracks_without_smoothing():
    samples, labels = make_walkers(), make_labels()
    metrics = run(samples, labels, tracking=dict(sigma=0))
    assert metrics.pop('auc/micro_tracked') == metrics['auc/micro_raw']
    assert metrics == run(samples, labels)


def test_frames_without_objects_are_no_objects():
    samples = make_walkers()
    for sample in samples:
        if sample.video == '02':
            sample.pred_instances = sample.pred_instances[:0]
    assert run(samples, make_labels())['videos_without_objects'] == 1


def test_boxes_that_cannot_be_tracked_are_named():
    samples = make_walkers()
    samples[40].pred_instances.bboxes[0] = torch.tensor([9.0, 0, 1, 5])
    with pytest.raises(ValueError, match="video '02': boxes: .*x1 <= x2"):
        run(samples, tracking=dict(sigma=2))


def test_results_of_several_processes_are_joined():
    samples, labels = make_samples(3), make_labels()
    parts = []
    for part in (samples[:20], samples[20:]):
        metric = VADMetric()
        metric.process(None, [sample.to_dict() for sample in part])
        parts.append(metric.results)
    metric.dataset_meta = dict(videos=VIDEOS, window=WINDOW, labels=labels)
    assert metric.compute_metrics(parts) == run(samples, labels)


def test_metric_is_ready_for_the_next_epoch():
    evaluator = Evaluator([VADMetric()])
    evaluator.dataset_meta = dict(videos=VIDEOS, window=WINDOW, labels=make_labels())
    figures = []
    for seed in (4, 5, 4):
        evaluator.process(make_samples(seed))
        figures.append(evaluator.evaluate(1))
    assert figures[0] == figures[2] != figures[1]


def test_without_labels_there_are_files_and_counts_only(tmp_path):
    metrics = run(make_samples(), out_dir=tmp_path, prefix='plaza')
    assert metrics == {'plaza/frames': 90, 'plaza/videos': 3, 'plaza/videos_without_objects': 0}
    assert (tmp_path / 'scores/01.npy').is_file()


def test_labels_of_one_class_give_no_auc():
    labels = {video: np.zeros(length, dtype=np.uint8) for video, length in VIDEOS.items()}
    metrics = run(make_samples(), labels)
    assert metrics['abnormal_frames'] == 0
    assert not [name for name in metrics if name.startswith('auc')]


def test_video_without_objects_takes_the_floor(tmp_path):
    samples = [sample for sample in make_samples() if sample.video != '02']
    metrics = run(samples, make_labels(), out_dir=tmp_path)
    assert metrics['videos_without_objects'] == 1
    np.testing.assert_array_equal(np.load(tmp_path / 'scores/02.npy'), np.full(30, -3.0))
    with np.load(tmp_path / 'objects/02.npz') as objects:
        assert objects['boxes'].shape == (0, 4)
        assert objects['both'].shape == objects['frames'].shape == (0,)


def test_no_samples_at_all():
    with pytest.raises(ValueError, match='no data samples'):
        run([], make_labels())


def edited(change):
    """Samples as dicts, the third changed."""
    samples = [sample.to_dict() for sample in make_samples()]
    change(samples[2])
    return samples


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda s: s.update(video='99'), 'does not list: 99'),
        (lambda s: s.update(frame=2), "video '01'.*frame 2, expected frames 5 to 39"),
        (lambda s: s.update(frame=40), "video '01'.*frame 40"),
        (lambda s: s.update(floor=dict(FLOOR, smm=7.0)), 'floor: expected the same.*7.0'),
        (lambda s: s.update(floor=dict(smm=1.0)), "video '01', frame .*'spatial'"),
        (lambda s: s['pred_instances'].pop('both'), "video '01', frame .*'both'"),
        (lambda s: s['pred_instances']['smm'].fill_(float('nan')), "video '01', frame .*nan"),
        (lambda s: s['pred_instances'].update(smm=torch.zeros(9)), r"video '01', frame .*\(9,\)"),
    ],
)
def test_bad_samples_are_named(change, words):
    with pytest.raises(ValueError, match=words):
        run(edited(change), make_labels())


def test_bad_labels_are_named():
    labels = make_labels()
    labels['02'] = labels['02'][:-1]
    with pytest.raises(ValueError, match=r"video '02'.*\(30,\).*\(29,\)"):
        run(make_samples(), labels)
    del labels['02']
    with pytest.raises(ValueError, match='no labels of 02'):
        run(make_samples(), labels)


def test_bad_arguments():
    with pytest.raises(ValueError, match="score: .*'smm'.*'motion'"):
        VADMetric(score='motion')
    with pytest.raises(ValueError, match='smoothing.type'):
        VADMetric(smoothing=dict(type='box', sigma=1))
    with pytest.raises(ValueError, match='tracking: .*key sigma'):
        VADMetric(tracking=dict(min_iou=0.3))
    with pytest.raises(ValueError, match="tracking: .*'gap'"):
        VADMetric(tracking=dict(sigma=2, gap=3))
    with pytest.raises(ValueError, match='tracking.sigma: .*-1'):
        VADMetric(tracking=dict(sigma=-1))
    with pytest.raises(ValueError, match='tracking.min_iou: .*30'):
        VADMetric(tracking=dict(sigma=2, min_iou=30))
    with pytest.raises(ValueError, match='dataset_meta: missing videos'):
        metric = VADMetric()
        metric.process(None, [make_samples()[0].to_dict()])
        metric.evaluate(1)
