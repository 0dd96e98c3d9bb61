"""A trained model as an object that takes video and gives scores.

Shape letters: F frames of a video, H x W a frame, n objects of a video.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.registry import DefaultScope

from mmvad.datasets import (
    FrameLimits,
    FrameSource,
    TubePipeline,
    inference_pipeline,
    sweep,
)
from mmvad.datasets.frames import ASSUMED_RATE
from mmvad.engine import EvaluationStage, build_stages, resolve_references
from mmvad.engine.components import component_class
from mmvad.engine.progress import progress
from mmvad.engine.score_files import write_score_files
from mmvad.engine.stage import plain
from mmvad.evaluation.functional import ScorePolicy, VideoScores, score_video
from mmvad.evaluation.samples import chosen_channel
from mmvad.methods.objects import (
    build_model,
    find_and_measure,
    measure_frame,
    read_model_file,
    trained_model,
)
from mmvad.models import ObjectVAD
from mmvad.proposals import BaseProposer
from mmvad.proposals.geometry import tube_boxes
from mmvad.registry import PROPOSERS
from mmvad.structures import ObjectTubes
from mmvad.structures.onnx_graph import check_runtime

from .inputs import Video, checked_frames, videos_of


def init_model(
    source: str | Path | Config, device: str | None = None, runtime: str | None = None
) -> ObjectVAD:
    """A model that scores objects, ready for inference.

    Args:
        source: A complete model file, such as ``localvad.pth``, whose config is inside; or a config
            or its file, of which the model is built without weights.
        device: Where it runs; by default a GPU if there is one.
        runtime: What computes the networks, the model's and the detectors' that its config names:
            ``'torch'``, or ``'onnx'``, ONNX Runtime (``pip install 'mmvad[onnx]'``), which gives
            the same to float noise. By default torch for the model, and what the config says for
            detectors.

    Returns:
        The model in evaluation mode, with its config as ``cfg``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no model file with a config, or of another version, or the
            runtime is unknown, not installed or cannot run the model.
    """
    if runtime is not None:
        check_runtime(runtime)
    # Bare type names in the config are mmvad's.
    with DefaultScope.overwrite_default_scope('mmvad'):
        if isinstance(source, Config) or Path(source).suffix == '.py':
            cfg = source if isinstance(source, Config) else Config.fromfile(source)
            resolve_references(cfg)
            cfg = _by_runtime(cfg, runtime)
            model = build_model(cfg)
        else:
            cfg, content = read_model_file(source)
            cfg = _by_runtime(cfg, runtime)
            model = trained_model(cfg, content, source)
    model.cfg = cfg
    return model.to(device or get_device()).eval().optimize_for_inference(runtime)


def _by_runtime(cfg: Config, runtime: str | None) -> Config:
    """A config whose proposer and transforms, as far as they take a runtime, take this one."""
    if runtime is None:
        return cfg

    def changed(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return type(value)(changed(item) for item in value)
        if not isinstance(value, dict):
            return value
        found = {key: changed(item) for key, item in value.items()}
        cls = component_class(value['type']) if 'type' in value else None
        # Only where the results are the same.
        return (
            dict(found, runtime=runtime) if 'runtime' in getattr(cls, 'speed_only', ()) else found
        )

    parts = {key: changed(plain(cfg[key])) for key in ('proposer', 'model') if cfg.get(key)}
    return Config({**cfg.to_dict(), **parts})


@dataclass(frozen=True)
class VideoResult:
    """The scores of one video.

    Args:
        video: Its name.
        scores: (F,) float32: the final score of every frame, higher is more abnormal.
        channel: The channel that these are of.
        details: All channels, step by step, and the table of objects; see
            :class:`~mmvad.evaluation.functional.VideoScores`.
    """

    video: str
    scores: np.ndarray
    channel: str
    details: VideoScores

    @property
    def objects(self) -> dict[str, np.ndarray]:
        """The objects: ``frames`` (n,) ascending, ``boxes`` (n, 4) xyxy pixels, ``scores`` (n,)
        and, where objects are tracked, ``tracks`` (n,)."""
        table = self.details.objects
        kept = {key: table[key] for key in ('frames', 'boxes', 'tracks') if key in table}
        return dict(kept, scores=table[self.channel])


class VADInferencer:
    """Scores videos as ``tools/test.py`` does, with the same code.

    Args:
        model: A complete model file, or a model with its config as ``cfg``, as :func:`init_model`
            gives it.
        proposer: What finds the objects, or its config; by default that of the model's config.
        device: Where the model runs; by default where it is, or on a GPU if there is one. A
            detector runs where its config says.
        batch_size: Tubes in one forward pass, at least.
        runtime: Of a model file: see :func:`init_model`. A model and a proposer have theirs.

    Raises:
        ValueError: If the model is not calibrated, or its config names no proposer.
    """

    def __init__(
        self,
        model: str | Path | ObjectVAD,
        proposer: BaseProposer | Mapping[str, Any] | None = None,
        device: str | None = None,
        batch_size: int = 64,
        runtime: str | None = None,
    ) -> None:
        self._of_file: Callable[[], AbstractContextManager] = nullcontext
        if not isinstance(model, ObjectVAD):
            self._of_file = partial(_named, model)
            model = init_model(model, device, runtime)
        elif runtime is not None:
            raise ValueError('runtime: of a model file only; init_model(..., runtime=...) sets it')
        elif device is not None:
            model = model.to(device).optimize_for_inference()
        self.model = model
        self.batch_size = batch_size
        #: Videos that the last call left out, and why.
        self.skipped: dict[str, str] = {}
        with self._of_file():
            self._configure()
        # What the caller gives is no fault of the file.
        with self._of_file() if proposer is None else nullcontext():
            self.proposer = _built(self.model.cfg.get('proposer') if proposer is None else proposer)

    def _configure(self) -> None:
        """Set up what the model's config says, besides model and proposer."""
        if self.model.scorer is None or not self.model.scorer.fitted:
            raise ValueError(
                'model: not calibrated; expected a complete model file, which training leaves at '
                'the top of its work dir'
            )
        cfg = self.model.cfg
        with DefaultScope.overwrite_default_scope('mmvad'):
            finals = [s for s in build_stages(cfg) if isinstance(s, EvaluationStage)]
        evaluator = finals[0].evaluator if finals else {}
        names = ('smoothing', 'tracking', 'per_video_min_max')
        #: What a test does to scores after the model, as its config says.
        self.post_processing = {key: evaluator[key] for key in names if key in evaluator}
        self.policy = ScorePolicy(**self.post_processing)
        # Images of more than 8 bits must become what they were in training.
        read = cfg.get('test_dataset') or cfg.get('train_dataset') or {}
        self._open = partial(
            FrameSource,
            value_range=read.get('value_range'),
            limits=FrameLimits.of(read.get('limits')),
            frame_rate=read.get('frame_rate', ASSUMED_RATE),
        )
        self.channel = chosen_channel(
            evaluator.get('score'), tuple(evaluator.get('channels') or self.model.scorer.channels)
        )

    def __call__(
        self,
        inputs: Video | Sequence[Video],
        show_progress: bool = True,
        out_dir: str | Path | None = None,
        on_error: str = 'raise',
    ) -> list[VideoResult]:
        """Score videos.

        Args:
            inputs: A video file, a folder of images or of videos, however deep, frames as an array
                (F, H, W, 3) uint8 BGR or a list of (H, W, 3), or a list of such videos.
            show_progress: Whether to show a bar.
            out_dir: Where to write the score files that a test writes; None: nowhere. Those of
                other videos stay there, the figures of an earlier test do not.
            on_error: ``'raise'``, or ``'skip'`` to leave out videos that cannot be read or are too
                short, which :attr:`skipped` then lists.

        Returns:
            A result a video, in their order.

        Raises:
            FileNotFoundError: If a path does not exist.
            ValueError: If a video cannot be read, is too short, or two share a name.
        """
        results = [
            result
            for result, _ in self.results(inputs, show_progress=show_progress, on_error=on_error)
        ]
        if out_dir is not None and results:
            write_score_files(out_dir, {r.video: r.details for r in results}, self.channel)
        return results

    def results(
        self,
        inputs: Video | Sequence[Video],
        show_progress: bool = True,
        on_error: str = 'raise',
    ) -> Iterator[tuple[VideoResult, Sequence[np.ndarray]]]:
        """Score videos one after the other; see :meth:`__call__`.

        Yields:
            The result of a video, and its frames by number.
        """
        if on_error not in ('raise', 'skip'):
            raise ValueError(f"on_error: expected 'raise' or 'skip', got {on_error!r}")
        self.skipped = {}
        skip = on_error == 'skip'
        videos = {}
        for video, item in videos_of(inputs):
            with self._leaving_out(video, skip):
                frames = self._frames(video, item)
                if skip and isinstance(frames, FrameSource):
                    # Before the proposer looks at all of them, for a background of all.
                    frames.examine()
                videos[video] = frames
        if not videos and not self.skipped:
            raise ValueError('inputs: expected at least one video, found none')
        yield from self._score(videos, show_progress, skip)

    def measure(
        self, frames: Sequence[np.ndarray], number: int, objects: np.ndarray
    ) -> dict[str, torch.Tensor]:
        """What is measured on objects of one frame.

        Args:
            frames: Of the video, by number.
            number: Of the frame.
            objects: (n, 4) xyxy, pixels, n at least 1.

        Returns:
            Name to (n, ...), as in a sweep over the whole video.
        """
        tube = self.model.tube
        with DefaultScope.overwrite_default_scope('mmvad'):
            pipeline = TubePipeline(tube.steps, inference_pipeline(tube), 'video')
            ((_, imgs),) = sweep(frames, [number], pipeline.depth)
            boxes = tube_boxes(objects, imgs[-1].shape[:2], self.proposer.scale)
            boxes = boxes.astype(np.float32)
            return measure_frame(self.model, pipeline, number, imgs, boxes, objects)

    @contextmanager
    def _leaving_out(self, video: str, skip: bool) -> Iterator[None]:
        try:
            yield
        except (ValueError, OSError) as error:
            if not skip:
                raise
            self.skipped[video] = str(error)
            print_log(f'{video}: left out: {error}', 'current', logging.WARNING)

    def _frames(self, video: str, item: Path | Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        """The frames of a video, enough of them."""
        frames = self._open(item) if isinstance(item, Path) else checked_frames(item, video)
        least = self.model.tube.first_scored + 1
        if len(frames) < least:
            raise ValueError(
                f'{video}: has {len(frames)} frames, expected at least {least}, those of one tube'
            )
        if isinstance(frames, FrameSource):
            for remark in frames.remarks:
                print_log(f'{video}: {remark}', 'current', logging.WARNING)
        return frames

    def _score(
        self, videos: Mapping[str, Sequence[np.ndarray]], show_progress: bool, skip: bool
    ) -> Iterator[tuple[VideoResult, Sequence[np.ndarray]]]:
        bar = progress('videos', 'frames', sum(map(len, videos.values())), not show_progress)
        with bar, DefaultScope.overwrite_default_scope('mmvad'), torch.no_grad():
            # Of all videos, as in a test: a background may be one for all of a camera's.
            if videos:
                self.proposer.fit(list(videos.values()))
            for video, frames in videos.items():
                if (result := self._score_video(video, frames, skip)) is not None:
                    yield result, frames
                bar.update(len(frames))

    def _score_video(
        self, video: str, frames: Sequence[np.ndarray], skip: bool
    ) -> VideoResult | None:
        """None where the video is left out, for what shows when it is read; other faults are of
        the program or the model, and would leave out every video."""
        model = self.model
        parts: list[ObjectTubes] = []
        scores: dict[str, list[torch.Tensor]] = {channel: [] for channel in model.scorer.channels}
        with closing(self._measured(video, frames, skip)) as measured_parts:
            for tubes, measured in measured_parts:
                with self._of_file():
                    found = model.score(measured)
                parts.append(tubes)
                for channel, values in found.items():
                    scores[channel].append(values.cpu())
        if video in self.skipped:
            return None
        objects = np.concatenate([np.zeros((0, 4), np.float32), *(part.objects for part in parts)])
        details = score_video(
            np.concatenate([np.zeros(0, np.int32), *(part.frames for part in parts)]),
            {channel: torch.cat([torch.zeros(0), *v]).numpy() for channel, v in scores.items()},
            len(frames),
            model.scorer.floors,
            model.tube.first_scored,
            boxes=objects,
            tubes=np.arange(len(objects)),
            policy=self.policy,
        )
        return VideoResult(video, details.final[self.channel], self.channel, details)

    def _measured(
        self, video: str, frames: Sequence[np.ndarray], skip: bool
    ) -> Iterator[tuple[ObjectTubes, dict[str, torch.Tensor]]]:
        # What is raised where this is iterated does not come by here.
        with self._leaving_out(video, skip):
            yield from find_and_measure(
                frames,
                self.proposer,
                self.model,
                video,
                self.batch_size,
                note=lambda text: print_log(f'{video}: {text}', 'current', logging.WARNING),
            )


def _built(proposer: BaseProposer | Mapping[str, Any] | None) -> BaseProposer:
    if proposer is None:
        raise ValueError(
            'proposer: the config in the model file names none (its boxes were given as files); '
            'expected a proposer or its config'
        )
    if isinstance(proposer, Mapping):
        with DefaultScope.overwrite_default_scope('mmvad'):
            proposer = PROPOSERS.build(proposer)
    if not isinstance(proposer, BaseProposer):
        raise ValueError(f'proposer: expected one or its config, got {proposer!r:.100}')
    return proposer


@contextmanager
def _named(path: str | Path) -> Iterator[None]:
    """Names a model file in whatever comes of a config or weights that are not as they were."""
    try:
        yield
    # These name a file that the config names, or are none of the file's.
    except (OSError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise ValueError(f'{path}: {" ".join(str(error).split())[:500]}') from error
