import numpy as np
import pytest
from scipy.optimize import brentq
from sklearn.metrics import roc_auc_score, roc_curve

from mmvad.evaluation.functional import equal_error_rate, frame_auc


def eer(scores, labels):
    return equal_error_rate(*roc_curve(labels, scores)[:2])


def random_videos(seed, tied, count=6):
    """Scores and labels of videos that hold both classes; tied scores take five values."""
    rng = np.random.default_rng(seed)
    scores, labels = {}, {}
    for index in range(count):
        frames = int(rng.integers(20, 60))
        labels[f'v{index}'] = np.r_[0, 1, rng.integers(0, 2, frames - 2)]
        values = rng.normal(size=frames) + 0.7 * labels[f'v{index}']
        scores[f'v{index}'] = np.round(values) if tied else values
    return scores, labels


@pytest.mark.parametrize('tied', [False, True])
@pytest.mark.parametrize('seed', range(3))
def test_micro_and_macro_match_sklearn(seed, tied):
    scores, labels = random_videos(seed, tied)
    # The order of the two mappings must not matter.
    result = frame_auc(scores, dict(reversed(labels.items())))

    names = list(scores)
    micro = roc_auc_score(
        np.concatenate([labels[n] for n in names]), np.concatenate([scores[n] for n in names])
    )
    macro = np.mean([roc_auc_score(labels[n], scores[n]) for n in names])
    assert result.micro == pytest.approx(micro)
    assert result.macro == result.macro_skipped == pytest.approx(macro)
    assert result.padded == ()


def test_area_is_the_chance_of_ranking_a_pair_right():
    scores, labels = random_videos(7, tied=True)
    values, truth = np.concatenate([*scores.values()]), np.concatenate([*labels.values()])
    positive, negative = values[truth == 1][:, None], values[truth == 0]
    pairs = (positive > negative).mean() + 0.5 * (positive == negative).mean()
    assert frame_auc(scores, labels).micro == pytest.approx(pairs)


def test_one_class_videos_are_padded_by_hand():
    scores = {
        'mixed': np.array([0.1, 0.9, 0.5, 0.3]),
        'normal': np.array([0.2, 0.4, 0.3]),
        'abnormal': np.array([5.0, 4.0]),
    }
    labels = {
        'mixed': np.array([0, 1, 0, 1]),
        'normal': np.array([0, 0, 0]),
        'abnormal': np.array([1, 1]),
    }
    result = frame_auc(scores, labels)
    # mixed: pairs .9>.1, .9>.5, .3>.1 of four.
    mixed = 3 / 4
    # normal: abnormal .4 against normal .2 .4 .3 .2: three won, one tied.
    normal = 3.5 / 4
    # abnormal: abnormal 5 4 5 against normal 4: two won, one tied.
    abnormal = 2.5 / 3
    assert result.macro == pytest.approx((mixed + normal + abnormal) / 3)
    assert result.macro_skipped == pytest.approx(mixed)
    assert result.padded == ('normal', 'abnormal')


def test_macro_without_any_video_of_both_classes():
    result = frame_auc({'a': [1.0, 2.0], 'b': [3.0]}, {'a': [0, 0], 'b': [1]})
    assert result.micro == 1.0
    assert np.isnan(result.macro_skipped)
    assert result.padded == ('a', 'b')


@pytest.mark.parametrize('tied', [False, True])
@pytest.mark.parametrize('seed', range(3))
def test_eer_matches_root_search(seed, tied):
    scores, labels = random_videos(seed, tied)
    values, truth = np.concatenate([*scores.values()]), np.concatenate([*labels.values()])
    fpr, tpr, _ = roc_curve(truth, values, drop_intermediate=False)
    length = np.arange(len(fpr), dtype=float)

    def at(position):
        return np.interp(position, length, fpr), np.interp(position, length, tpr)

    position = brentq(lambda p: sum(at(p)) - 1, 0, len(fpr) - 1, xtol=1e-12)
    expected, hits = at(position)
    assert eer(values, truth) == pytest.approx(expected, abs=1e-9)
    assert frame_auc(scores, labels).eer == pytest.approx(1 - hits, abs=1e-9)


def test_eer_by_hand():
    # Points of the curve: (0, 1/2) (1/2, 1/2) (1/2, 1) (1, 1); FPR + TPR = 1 at the second.
    assert eer(np.array([4, 3, 2, 1]), np.array([1, 0, 1, 0])) == pytest.approx(0.5)
    # All tied: the diagonal.
    assert eer(np.ones(4), np.array([1, 0, 1, 0])) == pytest.approx(0.5)
    assert eer(np.array([4, 3, 2, 1]), np.array([1, 1, 0, 0])) == 0


@pytest.mark.parametrize(
    ('scores', 'labels', 'words'),
    [
        ({'07': [0.1, 0.2]}, {'07': [0, 1, 1]}, ["'07'", '(2,)', '(3,)']),
        ({'07': [0.1, np.nan]}, {'07': [0, 1]}, ["'07'", 'frame 1', 'nan']),
        ({'07': [0.1, np.inf]}, {'07': [0, 1]}, ["'07'", 'frame 1', 'inf']),
        ({'07': [0.1, 0.2]}, {'07': [0, 255]}, ["'07'", '255']),
        ({'07': []}, {'07': []}, ["'07'", 'no frames']),
        ({'07': [0.1, 0.2], '08': [1]}, {'07': [0, 1]}, ['08', 'without labels']),
        ({'07': [0.1, 0.2]}, {'07': [0, 1], '08': [1]}, ['08', 'without scores']),
        ({'07': [0.1, 0.2]}, {'07': [0, 0]}, ['2 frames', 'labelled 0']),
        ({}, {}, ['no videos']),
    ],
)
def test_errors_name_the_video(scores, labels, words):
    with pytest.raises(ValueError) as error:
        frame_auc(scores, labels)
    for word in words:
        assert word in str(error.value)
