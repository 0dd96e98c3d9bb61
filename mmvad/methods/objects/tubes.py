"""Stage ``tubes``: the objects of every frame, and the boxes their tubes are cropped with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmvad.datasets import VideoDataset
from mmvad.engine import BaseStage, Job
from mmvad.engine.progress import progress
from mmvad.registry import PROPOSERS, STAGES
from mmvad.structures import ObjectTubes, TubeSpec, tubes_path

from .sweeps import find_tubes


@STAGES.register_module()
class TubesStage(BaseStage):
    """Find the objects of every video: one ``<video>.npz`` each.

    With ``proposer=None`` in the config the files are the user's own.

    Args:
        name: Of the stage.
        train_stride: Keep the tubes of every so many training frames.
    """

    splits = ('training', 'testing')
    leaves = ('**/*.npz',)
    config = ('proposer', 'model.tube.window', 'model.tube.horizon')
    optional = config[1:]
    reads_frames = '{split}'
    shared = True
    folder = 'proposals'

    def __init__(self, name: str, train_stride: int = 1) -> None:
        super().__init__(name)
        if not (isinstance(train_stride, int) and train_stride >= 1):
            raise ValueError(
                f'stages.{name}.train_stride: expected a whole number >= 1, got {train_stride!r}'
            )
        self.train_stride = train_stride

    def check(self, cfg: Mapping[str, Any]) -> None:
        TubeSpec.of(cfg['model']['tube'])

    def check_videos(self, cfg: Mapping[str, Any], videos: Mapping[str, VideoDataset]) -> None:
        least = TubeSpec.of(cfg['model']['tube']).first_scored + 1
        for split in videos.values():
            for video, length in split.lengths.items():
                if length < least:
                    raise ValueError(
                        f'{split.source(video).path}: has {length} frames, expected at least '
                        f'{least} (model.tube.window and model.tube.horizon)'
                    )

    def prepare(self, config: Mapping[str, Any]) -> None:
        # What it reads is not read again: detectors are shared.
        PROPOSERS.build(config['proposer'])

    def apart(self, config: Mapping[str, Any]) -> bool:
        return PROPOSERS.build(config['proposer']).apart

    def files_of(self, folder: Path, video: str) -> list[Path]:
        return [tubes_path(folder, video)]

    def given(self, config: Mapping[str, Any]) -> bool:
        return config['proposer'] is None

    def check_given(self, job: Job) -> None:
        videos = job.videos(job.split).lengths
        missing = [video for video in videos if not tubes_path(job.path, video).is_file()]
        if missing:
            raise FileNotFoundError(
                f'{tubes_path(job.path, missing[0])}: no such proposals, and the config has no '
                f'proposer ({len(missing)} of {len(videos)} files are missing)'
            )
        load_tubes(job)

    def run(self, job: Job) -> None:
        videos, first = job.videos(job.split), TubeSpec.of(tube_fields(job.config)).first_scored
        stride = self.train_stride if job.split == 'training' else 1
        proposer = PROPOSERS.build(job.config['proposer'])
        wanted = {v: len(range(first, n, stride)) for v, n in videos.lengths.items()}
        with progress('boxes', 'frames', sum(wanted.values())) as bar:
            proposer.fit([videos.source(video) for video in videos.lengths])
            for video in job.processes.share_out(list(videos.lengths)):
                path = tubes_path(job.path, video)
                if path.exists():
                    bar.update(wanted[video])
                    continue
                source = videos.source(video)
                find_tubes(
                    source,
                    proposer,
                    first,
                    stride,
                    bar.update,
                    lambda text, path=source.path: job.logger.warning(f'{path}: {text}'),
                ).save(path)
                job.folder.checkpoint()
        job.processes.wait()
        tubes = load_tubes(job)
        count = sum(map(len, tubes.values()))
        job.logger.info(f'Stage {job.name}: {count} tubes in {len(tubes)} videos')
        if empty := [video for video, found in tubes.items() if not len(found)]:
            job.logger.warning(f'{len(empty)} videos without any object: {", ".join(empty[:10])}')
        if job.split == 'training' and not count:
            raise ValueError(
                f'{job.path}: no object in any training video; check the proposer settings'
            )


def tube_fields(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of ``model.tube`` among the parts of the config that a stage names."""
    prefix = 'model.tube.'
    return {key.removeprefix(prefix): v for key, v in config.items() if key.startswith(prefix)}


def load_tubes(
    job: Job, need: str | None = None, split: str | None = None
) -> dict[str, ObjectTubes]:
    """The stored tubes of every video of a split, checked against the frame counts.

    Args:
        job: Whose own tubes, or whose need's.
        need: Name of the need; None: the job's own.
        split: By default the job's.
    """
    folder = job.path if need is None else job.inputs[need].path
    tubes = {}
    for video, length in job.videos(split or job.split).lengths.items():
        path = tubes_path(folder, video)
        tubes[video] = ObjectTubes.load(path)
        if tubes[video].num_frames != length:
            raise ValueError(
                f'{path}: made for {tubes[video].num_frames} frames, but video {video} has {length}'
            )
    return tubes
