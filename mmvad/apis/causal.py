"""From object scores to frame scores one frame after the other: the same as
:func:`~mmvad.evaluation.functional.score_video` gives with causal smoothing, in bounded memory.

Shape letters: n objects of a frame.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from mmvad.evaluation.functional import ScorePolicy, link_objects

# Where a Gaussian ends, in standard deviations.
_REACH = 4.0
_LINKING = ('min_iou', 'max_gap')


def causal_settings(evaluator: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a test's post-processing, with what a stream can compute in place of what
    needs later frames: a Gaussian becomes its half that looks back.

    Args:
        evaluator: ``smoothing``, ``tracking`` and ``per_video_min_max``, as far as they are set.

    Returns:
        Arguments of :class:`~mmvad.evaluation.functional.ScorePolicy`.

    Raises:
        ValueError: If there is no such thing of a setting.
    """
    if evaluator.get('per_video_min_max'):
        raise ValueError(
            'per_video_min_max: brings a video to 0 to 1 by all of its scores, which a stream '
            'does not know'
        )
    smoothing, tracking = evaluator.get('smoothing'), evaluator.get('tracking')
    if smoothing is not None:
        if not isinstance(smoothing, Mapping) or smoothing.get('type') not in (
            'gaussian',
            'causal',
        ):
            raise ValueError(
                f'smoothing: expected one of type gaussian or causal for a stream, got {smoothing}'
            )
        smoothing = dict(type='causal', sigma=smoothing['sigma'])
    if tracking is not None:
        tracking = dict(tracking, causal=True)
    return dict(smoothing=smoothing, tracking=tracking)


class CausalScores:
    """The post-processing of one stream.

    Args:
        settings: As :func:`causal_settings` gives them.
        floor: Score of a frame without objects.
    """

    def __init__(self, settings: Mapping[str, Any], floor: float) -> None:
        self.floor = floor
        self.policy = ScorePolicy(**settings)
        tracking, smoothing = settings['tracking'] or {}, settings['smoothing'] or {}
        self._linking = {key: tracking[key] for key in _LINKING if key in tracking}
        self._gap = self._linking.pop('max_gap', 3)
        self._held_for = math.ceil(_REACH * tracking.get('sigma', 0))
        frames = math.ceil(_REACH * smoothing.get('sigma', 0)) + 1
        #: The frames' scores that smoothing looks back to.
        self._frames: deque[np.float32] = deque(maxlen=frames)
        # The objects that smoothing along tracks looks back to: frame, tracks and scores.
        self._objects: deque[tuple[int, np.ndarray, np.ndarray]] = deque()
        # The last object of each track that may go on: frame, box and track.
        self._live: list[tuple[int, np.ndarray, int]] = []
        self._tracks = 0

    def step(
        self, frame: int, boxes: np.ndarray, scores: np.ndarray
    ) -> tuple[float, np.ndarray, np.ndarray | None]:
        """The next frame.

        Args:
            frame: Its number, above those before.
            boxes: (n, 4) xyxy, pixels.
            scores: (n,) of its objects.

        Returns:
            The frame's final score, the objects' scores (n,) smoothed along their tracks, and
            their tracks (n,); None without tracking.
        """
        tracks, smoothed = None, np.asarray(scores, np.float32)
        if self.policy.tracking:
            tracks = self._link(frame, np.asarray(boxes, np.float32))
            smoothed = self._along_tracks(frame, tracks, smoothed)
        # Rounded as a test's are.
        self._frames.append(np.float32(smoothed.max() if len(smoothed) else self.floor))
        return self._final(), smoothed, tracks

    def hold(self) -> float | None:
        """A frame that is not looked at: it has the score of the one before it. None before the
        first."""
        if not self._frames:
            return None
        self._frames.append(self._frames[-1])
        return self._final()

    def _final(self) -> float:
        return float(np.float32(self.policy.smooth(np.array(self._frames))[-1]))

    def _link(self, frame: int, boxes: np.ndarray) -> np.ndarray:
        """Tracks of the boxes, as :func:`link_objects` numbers them."""
        live = [item for item in self._live if frame - item[0] <= self._gap]
        # Those that live count as of one frame, so that they are not linked with each other.
        before = np.array([box for _, box, _ in live], np.float32).reshape(-1, 4)
        found = link_objects(
            np.repeat([0, 1], [len(before), len(boxes)]),
            np.concatenate([before, boxes]),
            **self._linking,
            max_gap=1,
        )[len(before) :]
        tracks = np.empty(len(boxes), np.int64)
        for row, number in enumerate(found):
            if number < len(live):
                tracks[row] = live[number][2]
            else:
                tracks[row] = self._tracks
                self._tracks += 1
        gone_on = set(tracks.tolist())
        self._live = [item for item in live if item[2] not in gone_on]
        self._live += [(frame, box, int(t)) for box, t in zip(boxes, tracks, strict=True)]
        return tracks

    def _along_tracks(self, frame: int, tracks: np.ndarray, scores: np.ndarray) -> np.ndarray:
        while self._objects and frame - self._objects[0][0] > self._held_for:
            self._objects.popleft()
        self._objects.append((frame, tracks, scores))
        frames = np.repeat([f for f, _, _ in self._objects], [len(t) for _, t, _ in self._objects])
        smoothed = self.policy.smooth_tracks(
            frames,
            np.concatenate([t for _, t, _ in self._objects]),
            np.concatenate([s for _, _, s in self._objects]),
        )
        return smoothed[len(smoothed) - len(scores) :]
