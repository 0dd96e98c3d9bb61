"""A stream gives what the whole video gives, as far as one can know it without looking ahead."""

from __future__ import annotations

import numpy as np
import pytest

from mmvad.apis import StreamScorer, VADInferencer
from mmvad.apis.causal import CausalScores, causal_settings
from mmvad.datasets import FrameSource
from mmvad.evaluation.functional import ScorePolicy, score_video


@pytest.fixture(scope='module')
def frames(camera) -> list[np.ndarray]:
    source = FrameSource(camera.new / '00.mp4')
    return [source[number] for number in range(len(source))]


def test_a_stream_equals_the_video_within_causal_smoothing(camera, frames):
    inferencer = VADInferencer(camera.learned.model)
    (whole,) = inferencer(camera.new / '00.mp4', show_progress=False)
    # The background is all that a stream cannot know: it is given that of the video.
    stream = StreamScorer(camera.learned.model, background=frames)
    found = [stream.push(frame, number / 10) for number, frame in enumerate(frames)]
    stream.close()
    # Each frame's objects and their raw scores are the same.
    objects = whole.objects
    for score in found:
        rows = objects['frames'] == score.number
        np.testing.assert_array_equal(score.boxes, objects['boxes'][rows])
        np.testing.assert_allclose(score.scores, objects['scores'][rows], rtol=1e-4, atol=1e-4)
    assert sum(len(score.boxes) for score in found) == len(objects['frames']) > 50
    # The frame scores are those of the whole video with the smoothing that looks back.
    settings = inferencer.post_processing
    assert settings['smoothing']['type'] == 'gaussian' and settings['tracking']['sigma'] > 0
    causal = ScorePolicy(
        smoothing=dict(type='causal', sigma=settings['smoothing']['sigma']),
        tracking=dict(settings['tracking'], causal=True),
    )
    expected = score_video(
        objects['frames'],
        {'all': objects['scores']},
        len(frames),
        inferencer.model.scorer.floors,
        first := inferencer.model.tube.first_scored,
        boxes=objects['boxes'],
        tubes=whole.details.objects['tubes'],
        policy=causal,
    )
    assert [score.score for score in found[:first]] == [None] * first
    scores = np.array([score.score for score in found[first:]])
    np.testing.assert_allclose(scores, expected.final['all'][first:], rtol=1e-4, atol=1e-4)
    assert scores.std() > 0.1
    tracks = np.concatenate([score.tracks for score in found[first:]])
    np.testing.assert_array_equal(tracks, expected.objects['tracks'])


@pytest.mark.parametrize('seed', range(3))
def test_causal_scores_of_crowds_that_come_and_go(seed):
    """Against the functions of a whole video, on boxes that are lost for some frames."""
    rng = np.random.default_rng(seed)
    settings = dict(
        smoothing=dict(type='causal', sigma=2.5),
        tracking=dict(sigma=3.0, min_iou=0.2, max_gap=4, prior=2.0, causal=True),
    )
    start, speed = rng.uniform(0, 100, (8, 2)), rng.uniform(-3, 3, (8, 2))
    frames, boxes, scores, given = [], [], [], []
    for frame in range(5, 90):
        here = [k for k in range(8) if rng.random() < 0.6]
        corners = np.array([start[k] + speed[k] * frame for k in here]).reshape(-1, 2)
        given.append(
            (
                np.concatenate([corners, corners + 20], axis=1).astype(np.float32),
                rng.exponential(2, len(here)).astype(np.float32),
            )
        )
        frames += [frame] * len(here)
    boxes, scores = (np.concatenate(part) for part in zip(*given, strict=True))
    expected = score_video(
        np.array(frames), {'all': scores}, 90, {'all': 0.25}, 5, boxes=boxes,
        tubes=np.arange(len(frames)), policy=ScorePolicy(**settings),
    )  # fmt: skip
    stream, finals, tracks = CausalScores(settings, 0.25), [], []
    for frame, (here, values) in enumerate(given, start=5):
        final, _, numbers = stream.step(frame, here, values)
        finals.append(final)
        tracks.append(numbers)
    np.testing.assert_array_equal(np.concatenate(tracks), expected.objects['tracks'])
    np.testing.assert_allclose(finals, expected.final['all'][5:], rtol=1e-6)


def test_a_frame_that_is_left_out_has_the_score_before_it(camera, frames):
    stream = StreamScorer(camera.learned.model, background=frames)
    found = [
        stream.push(frame, number / 10, look=number % 3 == 0) for number, frame in enumerate(frames)
    ]
    looked = [score for score in found if score.looked]
    assert [score.number for score in looked] == list(range(6, len(frames), 3))
    # Tubes are of frames that follow each other: objects score as in a stream without gaps.
    whole = StreamScorer(camera.learned.model, background=frames)
    for number, frame in enumerate(frames):
        there = whole.push(frame, number / 10)
        if found[number].looked:
            np.testing.assert_allclose(there.scores, found[number].scores, rtol=1e-4, atol=1e-4)
    assert all(not len(score.boxes) for score in found if not score.looked)
    assert all(score.score is not None for score in found[6:])


def test_the_background_of_a_stream_comes_by_itself(camera, frames):
    stream = StreamScorer(camera.learned.model)
    found = [stream.push(frame, number / 10) for number, frame in enumerate(frames)]
    stream.close()
    first = next(score.number for score in found if score.looked)
    # A frame every 0.2 seconds, 15 of them.
    assert first == 28
    assert sum(len(score.boxes) for score in found) > 20


def test_what_a_stream_keeps_does_not_grow(camera, frames):
    def held(value, seen: set[int]) -> int:
        if id(value) in seen:
            return 0
        seen.add(id(value))
        if isinstance(value, np.ndarray):
            return value.nbytes
        if isinstance(value, (list, tuple)) or hasattr(value, 'popleft'):
            return 50 + sum(held(item, seen) for item in value)
        return 50

    def state(stream: StreamScorer) -> int:
        causal, seen = stream._causal, set()
        parts = [stream._window, causal._frames, causal._objects, causal._live]
        return sum(held(part, seen) for part in [*parts, stream._background._frames])

    stream, sizes = StreamScorer(camera.learned.model), []
    for turn in range(12):
        for number, frame in enumerate(frames[:40]):
            # Ten minutes go by in a turn.
            stream.push(frame.copy(), turn * 600 + number * 15.0, look=number % 4 == 0)
        sizes.append(state(stream))
    stream.close()
    assert max(sizes[2:]) <= 1.05 * sizes[2]


def test_frames_that_do_not_fit(camera, frames):
    stream = StreamScorer(camera.learned.model, background=frames)
    stream.push(frames[0], 0.0)
    with pytest.raises(ValueError, match=r'expected \(H, W, 3\) uint8 BGR, got \(120, 160\)'):
        stream.push(frames[0][..., 0], 0.1)
    with pytest.raises(ValueError, match=r'has size .* \(60, 160\).*reset\(\) begins anew'):
        stream.push(frames[0][::2], 0.1)
    stream.reset()
    assert stream.push(frames[0], 0.1).number == 1


def test_post_processing_that_needs_the_future():
    assert causal_settings(dict(smoothing=None)) == dict(smoothing=None, tracking=None)
    with pytest.raises(ValueError, match='per_video_min_max'):
        causal_settings(dict(per_video_min_max=True))
    for smoothing in (dict(type='median', size=5), [dict(type='gaussian', sigma=3)]):
        with pytest.raises(ValueError, match='smoothing: expected one of type gaussian or causal'):
            causal_settings(dict(smoothing=smoothing))
