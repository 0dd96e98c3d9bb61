"""Stage ``captions``: four sentences of every training tube (paper, section 3.2)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np

from mmvad.captions import BaseCaptioner
from mmvad.datasets import VideoDataset, sweep
from mmvad.engine import BaseStage, Job
from mmvad.engine.processes import Processes
from mmvad.engine.progress import progress
from mmvad.methods.objects.tubes import load_tubes, tube_fields
from mmvad.registry import CAPTIONERS, STAGES
from mmvad.structures import (
    FrameObjects,
    ObjectTubes,
    StageFolder,
    TubeSpec,
    captions_path,
    read_captions,
    write_captions,
    write_json,
)


@STAGES.register_module()
class CaptionsStage(BaseStage):
    """Describe every training tube, as it is and fast-forwarded: ``<video>.jsonl``,
    ``stride_<s>/<video>.jsonl``, and ``captioner.json``, what the captioner fitted.

    The files may be edited by hand. With ``captioner=None`` in the config they are the user's own.

    Args:
        name: Of the stage.
        fit_frames: Frames, spread evenly over the split, on which the captioner is fitted, at each
            stride.
    """

    needs = ('tubes/training',)
    leaves = ('**/*.jsonl', 'captioner.json')
    config = ('captioner', 'model.tube.window', 'model.tube.horizon', 'model.tube.strides')
    optional = config[1:]
    reads_frames = 'training'
    editable = True
    shared = True

    def __init__(self, name: str, fit_frames: int = 200) -> None:
        super().__init__(name)
        self.fit_frames = fit_frames
        self._captioner: BaseCaptioner | None = None

    def prepare(self, config: Mapping[str, Any]) -> None:
        self._captioner = CAPTIONERS.build(config['captioner'])

    def given(self, config: Mapping[str, Any]) -> bool:
        return config['captioner'] is None

    def check_given(self, job: Job) -> None:
        tubes = load_tubes(job, 'tubes/training', 'training')
        for stride, video in product(TubeSpec.of(tube_fields(job.config)).strides, tubes):
            read_captions(captions_path(job.path, video, stride), tubes[video])

    def run(self, job: Job) -> None:
        # Built once, and not kept longer than needed: a CLIP takes seconds, and memory.
        captioner, self._captioner = self._captioner, None
        generate_captions(
            job.videos('training'),
            captioner or CAPTIONERS.build(job.config['captioner']),
            load_tubes(job, 'tubes/training', 'training'),
            job.folder,
            TubeSpec.of(tube_fields(job.config)),
            self.fit_frames,
            job.processes,
        )


def generate_captions(
    videos: VideoDataset,
    captioner: BaseCaptioner,
    tubes: Mapping[str, ObjectTubes],
    folder: StageFolder,
    spec: TubeSpec,
    fit_frames: int,
    processes: Processes | None = None,
) -> None:
    """Describe every training tube, as it is and fast-forwarded.

    Args:
        videos: The training split.
        captioner: Describes objects.
        tubes: Of every video.
        folder: Where the files go.
        spec: What a tube is; a captioner may look at as many frames.
        fit_frames: See :class:`CaptionsStage`.
        processes: Among which the videos are shared out.
    """
    processes = processes or Processes()
    with processes.main_first():
        _fit(videos, captioner, tubes, folder, spec, fit_frames)
    total = len(spec.strides) * sum(map(len, tubes.values()))
    with progress('captions', 'tubes', total) as bar:
        for stride, video in processes.share_out(list(product(spec.strides, tubes))):
            video_tubes = tubes[video]
            path = captions_path(folder.path, video, stride)
            if path.exists():
                bar.update(len(video_tubes))
                continue
            captions = []
            samples = _frame_objects(videos, video, video_tubes, spec.steps, stride)
            for described in captioner.captions(samples):
                captions += described
                bar.update(len(described))
            write_captions(path, video_tubes, captions)
            folder.checkpoint()


def _fit(
    videos: VideoDataset,
    captioner: BaseCaptioner,
    tubes: Mapping[str, ObjectTubes],
    folder: StageFolder,
    spec: TubeSpec,
    fit_frames: int,
) -> None:
    """Fit a captioner, or take what an earlier fit left; see :func:`generate_captions`."""
    state = folder.path / 'captioner.json'
    if state.exists():
        try:
            captioner.load_state(json.loads(state.read_text()))
        except (ValueError, RecursionError) as error:
            raise ValueError(f'{state}: {error}; remove it to fit the captioner again') from error
    else:
        total = sum(len(np.unique(t.frames)) for t in tubes.values())
        every = max(1, total // fit_frames)
        captioner.fit(
            sample
            for stride in spec.strides
            for video in tubes
            for sample in _frame_objects(videos, video, tubes[video], spec.steps, stride, every)
        )
        write_json(state, captioner.state())


def _frame_objects(
    videos: VideoDataset,
    video: str,
    tubes: ObjectTubes,
    depth: int,
    stride: int = 1,
    every: int = 1,
) -> Iterator[FrameObjects]:
    wanted = np.unique(tubes.frames)[::every]
    for frame, frames in sweep(videos.source(video), wanted, depth, stride):
        rows = tubes.at(frame)
        yield FrameObjects(frames, tubes.boxes[rows], tubes.objects[rows], video, int(frame))
