import numpy as np
import pytest
from sklearn.metrics import auc, average_precision_score, precision_recall_curve

from mmvad.evaluation.functional import average_precision


@pytest.mark.parametrize('tied', [False, True])
@pytest.mark.parametrize('seed', range(3))
def test_pooled_videos_match_sklearn(seed, tied):
    rng = np.random.default_rng(seed)
    labels = {f'v{index}': rng.integers(0, 2, 30 + index) for index in range(4)}
    scores = {video: rng.normal(size=len(truth)) + 0.7 * truth for video, truth in labels.items()}
    if tied:
        scores = {video: np.round(values) for video, values in scores.items()}
    # The order of the two mappings must not matter.
    result = average_precision(scores, dict(reversed(labels.items())))

    values, truth = np.concatenate([*scores.values()]), np.concatenate([*labels.values()])
    precision, recall, _ = precision_recall_curve(truth, values)
    assert result.step == pytest.approx(average_precision_score(truth, values))
    assert result.trapezoid == pytest.approx(auc(recall, precision))


def test_by_hand():
    # From the top: abnormal, normal, abnormal, normal. Points (recall, precision), from the right:
    # (1, 1/2) (1, 2/3) (1/2, 1/2) (1/2, 1) and (0, 1), where no frame is found.
    result = average_precision({'a': [4, 3], 'b': [2, 1]}, {'a': [1, 0], 'b': [1, 0]})
    assert result.step == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)
    assert result.trapezoid == pytest.approx(1 / 2 * 1 + 1 / 2 * (1 / 2 + 2 / 3) / 2)


def test_tied_frames_come_in_together():
    # One point besides (0, 1): recall 1 at the share of abnormal frames.
    result = average_precision({'a': np.zeros(4)}, {'a': [1, 0, 0, 0]})
    assert result.step == pytest.approx(1 / 4)
    assert result.trapezoid == pytest.approx((1 + 1 / 4) / 2)


def test_perfect_ranking():
    result = average_precision({'a': [1.0, 2.0, 3.0]}, {'a': [0, 1, 1]})
    assert result.step == result.trapezoid == 1


@pytest.mark.parametrize(
    ('scores', 'labels', 'words'),
    [
        ({'07': [0.1, 0.2]}, {'07': [0, 1, 1]}, ["'07'", '(2,)', '(3,)']),
        ({'07': [0.1, np.nan]}, {'07': [0, 1]}, ["'07'", 'frame 1', 'nan']),
        ({'07': [0.1, -np.inf]}, {'07': [0, 1]}, ["'07'", 'frame 1', 'inf']),
        ({'07': [0.1, 0.2]}, {'07': [0, 2]}, ["'07'", '2']),
        ({'07': [0.1, 0.2], '08': [1]}, {'07': [0, 1]}, ['08', 'without labels']),
        ({'07': [0.1, 0.2]}, {'07': [0, 0]}, ['average precision', '2 frames', 'labelled 0']),
        ({'07': [0.1], '08': [0.2]}, {'07': [1], '08': [1]}, ['2 video(s)', 'labelled 1']),
        ({}, {}, ['no videos']),
    ],
)
def test_errors_name_the_video(scores, labels, words):
    with pytest.raises(ValueError) as error:
        average_precision(scores, labels)
    for word in words:
        assert word in str(error.value)
