import copy

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import BaseDataElement, InstanceData
from scipy.ndimage import gaussian_filter1d
from sklearn.metrics import roc_auc_score

from mmvad.evaluation import VADMetric
from mmvad.evaluation.functional import Regions, link_objects, smooth_along_tracks

FIRST = 5
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
        for frame in range(FIRST, length):
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
                metainfo=dict(video=video, frame=frame), pred_instances=instances
            )
            samples.append(sample)
    return samples


def evaluated(samples, labels=None, batch=7, videos=VIDEOS, **kwargs):
    """Figures, and the metric that holds what they were computed from."""
    kwargs = dict(dict(score='both', channels=tuple(FLOOR), floors=FLOOR), **kwargs)
    evaluator = Evaluator([dict(type='mmvad.VADMetric', **kwargs)])
    evaluator.dataset_meta = dict(videos=videos, first_scored=FIRST, labels=labels or {})
    for start in range(0, len(samples), batch):
        evaluator.process(samples[start : start + batch])
    # The dataset's own length may be smaller than the number of frames: videos, for one.
    return evaluator.evaluate(len(videos)), evaluator.metrics[0]


def run(samples, labels=None, **kwargs):
    return evaluated(samples, labels, **kwargs)[0]


def assert_same_objects(first, second, but=()):
    """Two metrics hold the same object tables."""
    for video in VIDEOS:
        one, two = (metric.scored[video].objects for metric in (first, second))
        assert set(one) == set(two) - set(but)
        for name in one:
            np.testing.assert_array_equal(one[name], two[name])


def expected_raw(samples, channel):
    """Frame scores by plain loops."""
    raw = {video: [FLOOR[channel]] * length for video, length in VIDEOS.items()}
    for sample in samples:
        raw[sample.video][sample.frame] = float(sample.pred_instances[channel].max())
    return {
        video: np.array([values[FIRST]] * FIRST + values[FIRST:], dtype=np.float32)
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


def test_the_metric_keeps_the_scores_behind_the_figures():
    samples, labels = make_samples(1), make_labels()
    metrics, metric = evaluated(samples, labels, smoothing=dict(type='causal', sigma=3))

    assert metric.final_channel == 'both'
    assert list(metric.scored) == list(VIDEOS)
    raw = expected_raw(samples, 'both')
    final = {}
    for video, length in VIDEOS.items():
        scores = metric.scored[video]
        np.testing.assert_array_equal(scores.raw['both'], raw[video])
        final[video] = scores.final['both']
        assert final[video].dtype == scores.raw['both'].dtype == np.float32
        assert final[video].shape == (length,)
    assert percent_micro(final.values(), labels) == pytest.approx(metrics['auc/micro'])

    for video in VIDEOS:
        stored = metric.scored[video].objects
        assert sorted(stored) == ['both', 'boxes', 'frames', 'smm', 'spatial']
        frames, boxes, smm = stored['frames'], stored['boxes'], stored['smm']
        assert (frames.dtype, boxes.dtype, smm.dtype) == (np.int32, np.float32, np.float32)
        own = [sample for sample in samples if sample.video == video]
        assert (np.diff(frames) >= 0).all()
        assert len(frames) == sum(len(sample.pred_instances) for sample in own)
        for sample in own:
            instances = sample.pred_instances
            here = frames == sample.frame
            order = np.lexsort(boxes[here].T[::-1])
            expected = instances.bboxes.numpy()
            expected_order = np.lexsort(expected.T[::-1])
            np.testing.assert_array_equal(boxes[here][order], expected[expected_order])
            np.testing.assert_array_equal(smm[here][order], instances.smm.numpy()[expected_order])

    for row, (video, label) in zip(metric.video_rows, labels.items(), strict=True):
        assert (row['name'], row['frames'], row['abnormal_frames']) == (
            video, len(label), label.sum(),
        )  # fmt: skip
        for key, scores in (('auc', final), ('auc_raw', raw)):
            one_class = video == 'Scene1/03'
            expected = None if one_class else 100 * roc_auc_score(label, scores[video])
            assert row[key] == (expected if one_class else pytest.approx(expected))


def in_pieces(samples):
    """Each object in a sample of its own."""
    for sample in samples:
        for index in range(len(sample.pred_instances)):
            piece = sample.clone()
            piece.pred_instances = sample.pred_instances[index : index + 1]
            yield piece


def test_split_and_repeated_frames_change_nothing():
    samples, labels = make_samples(2), make_labels()
    whole, metric = evaluated(samples, labels)
    pieces = list(in_pieces(samples))
    split, other = evaluated(pieces + pieces[:9], labels)
    assert split == whole
    assert_same_objects(metric, other)


def test_tubes_tell_objects_apart_and_order_them():
    """Two objects of one box are two; a repeated one is one, however its box was rounded."""
    samples, labels = make_samples(2), make_labels()
    counts = dict.fromkeys(VIDEOS, 0)
    for sample in samples:
        n = len(sample.pred_instances)
        # The tubes of a frame in falling order, which the table turns around.
        sample.pred_instances.tubes = counts[sample.video] + torch.arange(n).flip(0)
        counts[sample.video] += n
        sample.pred_instances.bboxes[:] = torch.tensor([1.0, 2, 3, 4])
    pieces = list(in_pieces(samples))
    repeated = copy.deepcopy(pieces[:9])
    for piece in repeated:
        piece.pred_instances.bboxes = piece.pred_instances.bboxes + 1e-3
    whole, metric = evaluated(samples, labels)
    split, other = evaluated(pieces[::-1] + repeated, labels)
    assert split == whole
    assert_same_objects(metric, other)
    for video, count in counts.items():
        table = metric.scored[video].objects
        assert table['tubes'].dtype == np.int32
        np.testing.assert_array_equal(table['tubes'], np.arange(count))
        own = [s.pred_instances for s in samples if s.video == video]
        expected = np.concatenate([instances.smm.flip(0).numpy() for instances in own])
        np.testing.assert_array_equal(table['smm'], expected)


def test_boxes_are_optional():
    samples, labels = make_samples(2), make_labels()
    whole, metric = evaluated(samples, labels)
    for sample in samples:
        del sample.pred_instances.bboxes
    bare, other = evaluated(samples, labels)
    assert bare == whole
    for video in VIDEOS:
        table = other.scored[video].objects
        assert sorted(table) == ['both', 'frames', 'smm', 'spatial']
        np.testing.assert_array_equal(table['frames'], metric.scored[video].objects['frames'])


def test_what_needs_boxes_refuses_to_do_without():
    samples = make_samples()
    for sample in samples:
        del sample.pred_instances.bboxes
    regions = Regions(np.array([0]), np.array([20]), np.array([[0, 0, 9, 9]]), np.array([0]))
    words = "expected pred_instances.bboxes, but video '01', frame"
    with pytest.raises(ValueError, match=f'tracking: {words}'):
        run(samples, tracking=dict(sigma=2))
    with pytest.raises(ValueError, match=f'regions: {words}'):
        run(samples, regions=regions)
    with pytest.raises(ValueError, match='tracking and regions: '):
        run(samples, regions=regions, tracking=dict(sigma=2))
    frames = [dict(video='01', frame=7, pred_scores=dict(s=1.0))]
    with pytest.raises(ValueError, match=f'tracking: {words} 7'):
        run(frames, tracking=dict(sigma=2), score=None, channels=None, floors=None)


def test_perfect_boxes_have_perfect_region_figures():
    labels = make_labels()
    places = [(n, f) for n, label in enumerate(labels.values()) for f in np.flatnonzero(label)]
    videos, frames = np.array(places).T
    boxes = np.tile([10.0, 10, 30, 30], (len(frames), 1))
    regions = Regions(videos, frames, boxes, np.zeros(len(frames), np.int64))
    names = list(VIDEOS)
    samples = [
        dict(
            video=names[video],
            frame=int(frame),
            pred_instances=dict(bboxes=boxes[:1], s=torch.ones(1)),
        )
        for video, frame in places
    ]
    kwargs = dict(regions=regions, score=None, channels=None, floors=dict(s=0))
    metrics = run(samples, labels, **kwargs)
    assert [metrics[name] for name in ('rbdc', 'tbdc', 'rbdc_raw', 'tbdc_raw')] == [100.0] * 4
    assert metrics['auc/micro'] == 100
    quiet = run([], labels, **kwargs)
    assert quiet['rbdc'] == quiet['tbdc'] == 0


def make_walkers(seed=7):
    """As :func:`make_samples`, with two objects that drift slowly and are missed now and then."""
    rng = np.random.default_rng(seed)
    labels, samples = make_labels(), []
    for video, length in VIDEOS.items():
        for frame in range(FIRST, length):
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
                BaseDataElement(metainfo=dict(video=video, frame=frame), pred_instances=instances)
            )
    return samples


@pytest.mark.parametrize('smoothing', [None, dict(type='gaussian', sigma=2)])
def test_tracking_smooths_objects_before_frames(smoothing):
    samples, labels = make_walkers(), make_labels()
    plain, untracked = evaluated(samples, labels, smoothing=smoothing)
    tracking = dict(sigma=3.0, max_gap=4, causal=True)
    metrics, metric = evaluated(samples, labels, smoothing=smoothing, tracking=tracking)

    assert_same_objects(untracked, metric, but=['tracks'])
    tracked = {channel: {} for channel in FLOOR}
    for video, length in VIDEOS.items():
        scores = metric.scored[video]
        table = scores.objects
        frames, tracks = table['frames'], table['tracks']
        assert tracks.dtype == np.int32
        np.testing.assert_array_equal(tracks, link_objects(frames, table['boxes'], max_gap=4))
        assert len(np.unique(tracks)) < len(tracks) / 5
        for channel in FLOOR:
            smooth = smooth_along_tracks(frames, tracks, table[channel], 3.0, causal=True)
            np.testing.assert_array_equal(scores.smoothed[channel], smooth)
            peaks = [
                max(smooth[frames == frame], default=FLOOR[channel])
                for frame in range(FIRST, length)
            ]
            tracked[channel][video] = np.array([peaks[0]] * FIRST + peaks)
            np.testing.assert_array_equal(scores.raw[channel], untracked.scored[video].raw[channel])
        final = tracked['both'][video]
        np.testing.assert_allclose(scores.tracked['both'], final, atol=1e-6)
        if smoothing:
            final = gaussian_filter1d(final, 2, mode='nearest')
        np.testing.assert_allclose(scores.final['both'], final, atol=1e-6)

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


def test_repeated_frames_start_no_tracks():
    """Nor do they when another batch has rounded their scores in another way."""
    samples, labels = make_walkers(), make_labels()
    # A clone would share its instances.
    repeated = copy.deepcopy(samples[:9])
    for sample in repeated:
        sample.pred_instances.both = sample.pred_instances.both - 1e-6
    kwargs = dict(labels=labels, tracking=dict(sigma=2))
    whole, metric = evaluated(samples, **kwargs)
    again, other = evaluated(repeated + samples, **kwargs)
    assert again == whole
    assert_same_objects(metric, other)


def test_tracking_of_a_video_without_objects():
    samples, labels = [s for s in make_walkers() if s.video != '02'], make_labels()
    metrics, metric = evaluated(samples, labels, tracking=dict(sigma=2))
    assert metrics['videos_without_objects'] == 1
    assert metric.scored['02'].objects['tracks'].shape == (0,)
    np.testing.assert_array_equal(metric.scored['02'].final['both'], np.full(30, -3.0))


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
        metric = VADMetric(score='both', floors=FLOOR)
        metric.process(None, [sample.to_dict() for sample in part])
        parts.append(metric.results)
    metric.dataset_meta = dict(videos=VIDEOS, first_scored=FIRST, labels=labels)
    assert metric.compute_metrics(parts) == run(samples, labels)


def test_metric_is_ready_for_the_next_epoch():
    evaluator = Evaluator([VADMetric(score='both')])
    evaluator.dataset_meta = dict(videos=VIDEOS, first_scored=FIRST, labels=make_labels())
    figures = []
    for seed in (4, 5, 4):
        evaluator.process(make_samples(seed))
        figures.append(evaluator.evaluate(1))
    assert figures[0] == figures[2] != figures[1]


def test_without_labels_there_are_scores_and_counts_only():
    metrics, metric = evaluated(make_samples(), prefix='plaza')
    assert metrics == {'plaza/frames': 90, 'plaza/videos': 3, 'plaza/videos_without_objects': 0}
    assert metric.scored['01'].final['both'].shape == (40,)
    assert metric.video_rows == []


@pytest.mark.parametrize('more', [{}, dict(labels={}), dict(labels=None, first_scored=0)])
def test_labels_and_first_scored_may_be_missing(more):
    metric = VADMetric()
    metric.dataset_meta = dict(videos={'a': 3}, **more)
    metric.process(None, [dict(video='a', frame=0, pred_scores=dict(s=1.0))])
    assert metric.evaluate(1) == {'frames': 3, 'videos': 1, 'videos_without_objects': 0}


def test_labels_of_one_class_give_no_auc():
    labels = {video: np.zeros(length, dtype=np.uint8) for video, length in VIDEOS.items()}
    metrics = run(make_samples(), labels)
    assert metrics['abnormal_frames'] == 0
    assert not [name for name in metrics if name.startswith('auc')]


def test_video_without_objects_takes_the_floor():
    samples = [sample for sample in make_samples() if sample.video != '02']
    metrics, metric = evaluated(samples, make_labels())
    assert metrics['videos_without_objects'] == 1
    scores = metric.scored['02']
    np.testing.assert_array_equal(scores.final['both'], np.full(30, -3.0))
    assert scores.objects['boxes'].shape == (0, 4)
    assert scores.objects['both'].shape == scores.objects['frames'].shape == (0,)


def test_without_floors_the_lowest_score_of_the_set_stands_in():
    samples = [sample for sample in make_samples() if sample.video != '02']
    metrics, metric = evaluated(samples, make_labels(), floors=None)
    for channel in FLOOR:
        lowest = min(float(s.pred_instances[channel].min()) for s in samples)
        np.testing.assert_array_equal(metric.scored['02'].final[channel], np.full(30, lowest))
    floors = {name: float(s[0]) for name, s in metric.scored['02'].final.items()}
    assert run(samples, make_labels(), floors=floors) == metrics
    # Not those of a subset only.
    assert evaluated(samples[:5], floors=None)[1].scored['02'].final['smm'][0] != floors['smm']


def test_floors_may_come_after_the_metric_is_built():
    samples = make_samples()
    evaluator = Evaluator([VADMetric(score='both')])
    evaluator.dataset_meta = dict(videos=VIDEOS, first_scored=FIRST, labels=make_labels())
    evaluator.process(samples)
    evaluator.metrics[0].floors = FLOOR
    assert evaluator.evaluate(1) == run(samples, make_labels())


def test_no_samples_at_all():
    with pytest.raises(ValueError, match='no data samples'):
        run([], make_labels(), floors=None)
    samples = make_samples()
    for sample in samples:
        sample.pred_instances = sample.pred_instances[:0]
    with pytest.raises(ValueError, match='no data samples with scores'):
        run(samples, make_labels(), floors=None)


@pytest.mark.parametrize('tracking', [None, dict(sigma=2)])
@pytest.mark.parametrize('channels', [None, tuple(FLOOR)])
def test_a_quiet_night_is_a_result(tracking, channels):
    """Every frame takes its floor, and the AUC is that of constant scores."""
    metrics, metric = evaluated([], make_labels(), tracking=tracking, channels=channels)
    assert metrics['videos_without_objects'] == metrics['videos'] == 3
    assert metrics['auc/micro'] == metrics['auc_smm/micro_raw'] == metrics['auc/eer'] == 50
    for video, length in VIDEOS.items():
        scores = metric.scored[video]
        for channel, floor in FLOOR.items():
            np.testing.assert_array_equal(scores.final[channel], np.full(length, floor))
        assert scores.objects['boxes'].shape == (0, 4)
        assert scores.objects['tubes'].shape == (0,)
        assert ('tracks' in scores.objects) is (tracking is not None)


def make_frame_scores(seed=0, seen=0.7):
    """A sample a frame, as a method gives them that scores whole frames; some are missing."""
    rng = np.random.default_rng(seed)
    return [
        dict(video=video, frame=frame, pred_scores=dict(s=float(rng.normal() + label[frame])))
        for video, label in make_labels().items()
        for frame in range(FIRST, len(label))
        if rng.random() < seen
    ]


@pytest.mark.parametrize('floors', [None, dict(s=-9.0)])
def test_scores_of_whole_frames(floors):
    samples, labels = make_frame_scores(), make_labels()
    kwargs = dict(score=None, channels=None, floors=floors)
    metrics, metric = evaluated(samples, labels, **kwargs)
    floor = floors['s'] if floors else min(sample['pred_scores']['s'] for sample in samples)
    raw = {video: np.full(length, floor, np.float32) for video, length in VIDEOS.items()}
    for sample in samples:
        raw[sample['video']][sample['frame']] = sample['pred_scores']['s']
    for video, scores in raw.items():
        scores[:FIRST] = scores[FIRST]
        found = metric.scored[video]
        np.testing.assert_array_equal(found.raw['s'], scores)
        np.testing.assert_array_equal(found.tracked['s'], found.raw['s'])
        assert found.objects is None and found.smoothed is None
    assert metrics['auc/micro'] == pytest.approx(percent_micro(raw.values(), labels))
    assert metrics['videos_without_objects'] == 0
    # Numbers come as tensors or arrays, too, and in data elements.
    for kind in (torch.tensor, np.float32, lambda value: torch.tensor([value])):
        elements = []
        for sample in samples:
            element = BaseDataElement(metainfo=dict(video=sample['video'], frame=sample['frame']))
            element.pred_scores = dict(s=kind(sample['pred_scores']['s']))
            elements.append(element)
        assert run(elements, labels, **kwargs) == metrics


def test_channels_are_those_of_the_first_sample():
    samples, labels = make_samples(), make_labels()
    for sample in samples:
        sample.pred_instances.labels = torch.zeros(len(sample.pred_instances), dtype=torch.long)
        sample.pred_instances.all = sample.pred_instances.spatial
    metrics, metric = evaluated(samples, labels, score=None, channels=None, floors=None)
    assert metric.final_channel == 'all'
    assert list(metric.scored['01'].raw) == ['all', 'both', 'smm', 'spatial']
    named = run(samples, labels, score='all', channels=(*FLOOR, 'all'), floors=None)
    assert metrics == named
    one = run(samples, labels, score=None, channels=('smm',), floors=None)
    assert one['auc/micro'] == metrics['auc_smm/micro']
    for sample in samples:
        del sample.pred_instances.all
    words = "score: expected the name of a channel, .*'both', 'smm', 'spatial'"
    with pytest.raises(ValueError, match=words):
        run(samples, labels, score=None, channels=None)
    with pytest.raises(ValueError, match="score: .*'smm'.*'motion'"):
        run(samples, labels, score='motion', channels=None)


def edited(change):
    """Samples as dicts, one of several objects changed."""
    samples = [sample.to_dict() for sample in make_samples()]
    change(next(s for s in samples[1:] if len(s['pred_instances']['smm']) > 1))
    return samples


def as_objects(sample):
    """The scores of a whole frame as those of one object."""
    scores = sample.pop('pred_scores')
    sample['pred_instances'] = {name: torch.tensor([score]) for name, score in scores.items()}


def with_tubes(sample, number):
    """All objects of the sample with the same tube number."""
    instances = sample['pred_instances']
    instances['tubes'] = torch.full((len(instances['smm']),), number)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda s: s.update(video='99'), 'does not list: 99'),
        (lambda s: s.update(frame=2), "video '01'.*frame 2, expected frames 5 to 39"),
        (lambda s: s.update(frame=40), "video '01'.*frame 40"),
        (lambda s: s.update(frame=7.5), "video '01': frame: expected a whole number, got 7.5"),
        (lambda s: s.pop('frame'), 'data sample: no frame, found .*video'),
        (lambda s: s.pop('pred_instances'), "video '01', frame .*found neither"),
        (lambda s: s.update(pred_scores=dict(smm=1.0)), "video '01', frame .*pred_scores'"),
        (lambda s: s['pred_instances'].pop('bboxes'), "bboxes: .* video '01', frame .* not in vid"),
        (lambda s: s['pred_instances'].pop('both'), "video '01', frame .*'both'"),
        (lambda s: s['pred_instances']['smm'].fill_(np.nan), "video '01', frame .*'smm'.*nan"),
        (lambda s: s['pred_instances']['smm'].fill_(np.inf), "video '01', frame .*'smm'.*inf"),
        (lambda s: s['pred_instances'].update(smm=torch.zeros(9)), r"video '01', frame .*\(9,\)"),
        (lambda s: s['pred_instances'].update(smm=torch.zeros(())), "video '01', frame .*'smm'"),
        (lambda s: s['pred_instances'].update(tubes=torch.zeros(9)), r"frame .*'tubes': \(9,\)"),
        (lambda s: with_tubes(s, 0.5), "video '01', frame .*tubes: expected whole .*0.5"),
        (lambda s: with_tubes(s, 3), r"video '01', frame .*tubes: .*each once, got \[3, 3"),
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


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda s: s.update(pred_scores=dict(s=np.nan)), "'01', frame .*channel 's': .*nan"),
        (lambda s: s.update(pred_scores=dict(s=-np.inf)), "'01', frame .*channel 's': .*inf"),
        (lambda s: s.update(pred_scores=dict(s=1e300)), "'01', frame .*channel 's': .*inf"),
        (lambda s: s.update(pred_scores=dict(s=[1, 2])), r"'01', frame .*one number each.*\(2,\)"),
        (lambda s: s.update(pred_scores=dict(t=1)), "'01', frame .*no channel 's'.*found .'t'"),
        (lambda s: s.update(frame=2), "video '01'.*frame 2, expected frames 5 to 39"),
        (as_objects, "pred_instances: expected in all .* video '01', frame .* not in video '01'"),
    ],
)
def test_bad_scores_of_frames_are_named(change, words):
    samples = make_frame_scores()
    change(samples[2])
    with pytest.raises(ValueError, match=words):
        run(samples, make_labels(), score=None, channels=None, floors=None)


@pytest.mark.parametrize(
    ('meta', 'words'),
    [
        (None, r'dataset_meta: missing videos, found \[\]'),
        (dict(labels={}), r"missing videos, found \['labels'\]"),
        (dict(videos=['01']), r"dataset_meta.videos: expected name .* got \['01'\]"),
        (dict(videos=VIDEOS, first_scored=-1), 'dataset_meta.first_scored: .*-1'),
        (dict(videos=VIDEOS, first_scored=2.5), 'dataset_meta.first_scored: .*2.5'),
    ],
)
def test_bad_metainfo_is_named(meta, words):
    metric = VADMetric(score='both')
    metric.process(None, [make_samples()[0].to_dict()])
    metric.dataset_meta = meta
    with pytest.raises(ValueError, match=words):
        metric.evaluate(1)


def test_processes_that_found_other_channels_are_refused():
    parts = []
    for channel in ('s', 't'):
        metric = VADMetric()
        metric.process(None, [dict(video='01', frame=9, pred_scores={channel: 1.0})])
        parts.append(metric.results)
    metric.dataset_meta = dict(videos=VIDEOS)
    with pytest.raises(ValueError, match="channel 's': expected in all data samples"):
        metric.compute_metrics(parts)


def test_bad_arguments():
    with pytest.raises(ValueError, match="score: .*'smm'.*'motion'"):
        VADMetric(score='motion', channels=('smm', 'both'))
    with pytest.raises(ValueError, match="score: expected the name .*'smm', 'both'"):
        VADMetric(channels=('smm', 'both'))
    with pytest.raises(ValueError, match="floors: .*'smm'.*nan"):
        VADMetric(floors=dict(both=0, smm=np.nan))
    with pytest.raises(ValueError, match="floors: .*channel 'spatial'.*'smm': 1"):
        run(make_samples(), floors=dict(smm=1))
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
