"""Scores of a stream, frame by frame, in bounded memory and without looking ahead.

Shape letters: n objects of a frame, H x W the frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.registry import DefaultScope
from torch import Tensor

from mmvad.datasets import TubePipeline, inference_pipeline
from mmvad.evaluation.functional import ScorePolicy
from mmvad.methods.objects import measure_frame
from mmvad.models import ObjectVAD
from mmvad.proposals import BaseProposer

from .background import StreamBackground, looks_ahead
from .causal import CausalScores, causal_settings
from .inferencer import VADInferencer


@dataclass(frozen=True)
class FrameScore:
    """What is known of one frame of a stream.

    Args:
        number: Of the frame, from 0 up, over all that were pushed.
        time: Its seconds.
        score: After smoothing; None where there is none yet.
        looked: Whether its objects were looked for; else the score is that of the frame before.
        boxes: (n, 4) float32 xyxy, pixels, of the objects.
        scores: (n,) of the objects, before smoothing.
        smoothed: (n,) along their tracks.
        tracks: (n,); None without tracking.
        measured: Name to (n, ...), what was measured on them.
    """

    number: int
    time: float
    score: float | None
    looked: bool = False
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    scores: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    smoothed: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    tracks: np.ndarray | None = None
    measured: Mapping[str, Tensor] = field(default_factory=dict)


class StreamScorer:
    """Scores frames as they come: a score with every frame, by it and those before it.

    Raw scores of objects are those of :class:`VADInferencer`; where that smooths with a Gaussian,
    half of it is taken, which looks back. What a stream keeps does not grow: the frames of a tube,
    the objects that smoothing reaches back to, and for proposers that look at a whole video first
    some frames of the last minutes (see :class:`~mmvad.apis.background.StreamBackground`).

    Args:
        model: A complete model file, a model with its config as ``cfg``, or an inferencer.
        proposer: What finds the objects, or its config; by default that of the model's config.
        device: Where the model runs.
        background: Frames that a proposer which looks at a whole video is shown, in place of those
            of the stream.

    Raises:
        ValueError: If the model is not calibrated, or smooths in a way that no stream can.
    """

    def __init__(
        self,
        model: str | Path | ObjectVAD | VADInferencer,
        proposer: BaseProposer | Mapping[str, Any] | None = None,
        device: str | None = None,
        background: Sequence[np.ndarray] | None = None,
    ) -> None:
        if not isinstance(model, VADInferencer):
            model = VADInferencer(model, proposer, device)
        self.model, self.channel = model.model, model.channel
        self.settings = causal_settings(model.post_processing)
        self._proposer = model.proposer
        self._shown = background is not None
        if self._shown:
            self._proposer.fit([background])
            self._proposer.start(background)
        with DefaultScope.overwrite_default_scope('mmvad'):
            self._pipeline = TubePipeline(
                self.model.tube.steps, inference_pipeline(self.model.tube), 'stream'
            )
        self._background: StreamBackground | None = None
        self._number = -1
        self.reset()

    @property
    def policy(self) -> ScorePolicy:
        """What is done to scores after the model."""
        return self._causal.policy

    @property
    def floor(self) -> float:
        """The score of a frame without objects."""
        return self.model.scorer.floors[self.channel]

    def reset(self) -> None:
        """Begin anew, as at a cut: what was seen before is no past of what comes. Frames are
        counted on."""
        self.close()
        self._window: deque[np.ndarray] = deque(maxlen=self._pipeline.depth)
        self._since = 0
        self._causal = CausalScores(self.settings, self.floor)
        if not self._shown and looks_ahead(self._proposer):
            self._background = StreamBackground(self._proposer)

    def forget_window(self) -> None:
        """Frames were lost: those before are not what the next one follows. Tubes begin anew."""
        self._window.clear()
        self._since = 0

    def skip(self) -> None:
        """The next frame shows nothing: it is counted, and is no past of later ones."""
        self._number += 1
        self.forget_window()

    @torch.no_grad()
    def push(self, frame: np.ndarray, time: float, look: bool = True) -> FrameScore:
        """Score the next frame.

        Args:
            frame: (H, W, 3) uint8 BGR, of the size of those before; it must not be changed later.
            time: Its seconds, ascending.
            look: False: it is only the past of later ones, for whom there is no time to lose.

        Raises:
            ValueError: If it is no such frame, or of another size.
        """
        self._check(frame)
        self._number += 1
        self._window.append(frame)
        self._since += 1
        proposer = self._proposer
        if self._background is not None:
            proposer = self._background.look(frame, time)
        if not look or proposer is None or self._since <= self.model.tube.first_scored:
            return FrameScore(self._number, time, self._causal.hold())
        boxes, objects = proposer.propose(frame)
        scores, measured = np.zeros(0, np.float32), {}
        if len(boxes):
            # Before the start of a video its first frame stands in.
            imgs = [self._window[0]] * (self._pipeline.depth - len(self._window))
            imgs += self._window
            with DefaultScope.overwrite_default_scope('mmvad'):
                measured = measure_frame(
                    self.model, self._pipeline, self._number, imgs, boxes, objects
                )
            scores = self.model.score(measured)[self.channel].cpu().numpy()
        score, smoothed, tracks = self._causal.step(self._number, objects, scores)
        return FrameScore(
            self._number, time, score, True, objects, scores, smoothed, tracks, measured
        )

    def _check(self, frame: np.ndarray) -> None:
        is_frame = frame.ndim == 3 and frame.shape[2] == 3 and frame.dtype == np.uint8
        if not is_frame:
            raise ValueError(
                f'frame: expected (H, W, 3) uint8 BGR, got {frame.shape} {frame.dtype}'
            )
        if self._window and frame.shape != self._window[0].shape:
            raise ValueError(
                f'frame: has size (H, W) {frame.shape[:2]}, those before have '
                f'{self._window[0].shape[:2]}; reset() begins anew'
            )

    def close(self) -> None:
        """End what runs beside it."""
        if self._background is not None:
            self._background.close()
            self._background = None
