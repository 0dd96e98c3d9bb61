"""Stage ``features``: what the model measures on every tube."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.device import get_device
from torch import Tensor

from mmvad.datasets import inference_pipeline
from mmvad.engine import BaseStage, Job
from mmvad.engine.progress import progress
from mmvad.models import ObjectVAD
from mmvad.registry import STAGES, TRANSFORMS
from mmvad.structures import (
    NoSpaceError,
    ObjectTubes,
    TubeSpec,
    atomic_path,
    free_space,
    measurement_path,
    megabytes,
    reserved_array,
)

from .sweeps import measure_tubes
from .tubes import load_tubes, tube_fields

#: What of a tube shapes what is measured on it.
MEASURED = tuple(
    f'model.tube.{field}'
    for field in ('window', 'horizon', 'crop_size', 'tokens', 'flow', 'measure')
)


@STAGES.register_module()
class FeaturesStage(BaseStage):
    """Measure every tube: ``<measurement>/<video>.npy``, a row a tube.

    A method whose model measures with trained weights subclasses this for :meth:`build_model`.

    Args:
        name: Of the stage.
        batch_size: Tubes in one forward pass, at least.
        num_workers: Processes that read and crop, each a stretch of a video.
    """

    needs = ('tubes/{split}',)
    splits = ('training', 'testing')
    leaves = ('*/**/*.npy',)
    config = MEASURED
    optional = MEASURED
    reads_frames = '{split}'
    hashed = False
    shared = True
    speed_only = ('num_workers',)

    def __init__(self, name: str, batch_size: int = 64, num_workers: int = 0) -> None:
        super().__init__(name)
        self.batch_size = batch_size
        self.num_workers = num_workers

    def prepare(self, config: Mapping[str, Any]) -> None:
        prepare_transforms(config)

    def apart(self, config: Mapping[str, Any]) -> bool:
        return True

    def files_of(self, folder: Path, video: str) -> list[Path]:
        # A folder a measurement.
        names = sorted(path.name for path in folder.iterdir() if path.is_dir())
        return [measurement_path(folder, name, video) for name in names]

    def build_model(self, job: Job) -> ObjectVAD:
        """The model that measures."""
        return ObjectVAD(tube_fields(job.config))

    def run(self, job: Job) -> None:
        model = self.build_model(job).to(get_device()).eval()
        videos = job.videos(job.split)
        store_measurements(
            job,
            load_tubes(job, f'tubes/{job.split}'),
            model.measurements,
            lambda video, tubes: measure_tubes(
                videos.source(video), tubes, model, video, self.batch_size, self.num_workers
            ),
        )


def prepare_transforms(config: Mapping[str, Any]) -> None:
    """Have the transforms of a tube build what they build late, such as a detector: it is shared,
    and what it lacks shows before any work."""
    for settings in inference_pipeline(TubeSpec.of(tube_fields(config))):
        prepare = getattr(TRANSFORMS.build(settings), 'prepare', None)
        if prepare is not None:
            prepare()


def store_measurements(
    job: Job,
    tubes: Mapping[str, ObjectTubes],
    names: Sequence[str],
    measure: Callable[[str, ObjectTubes], Iterator[tuple[np.ndarray, dict[str, Tensor]]]],
) -> None:
    """Write ``<measurement>/<video>.npy`` of every video, each whole or not at all, where an
    earlier run did not.

    Args:
        job: Whose stage.
        tubes: Of every video.
        names: Of the measurements.
        measure: Goes through the tubes of one video as :func:`measure_tubes` does.

    Raises:
        NoSpaceError: If there is not enough room.
    """
    files_of = {v: {n: measurement_path(job.path, n, v) for n in names} for v in tubes}
    # As the main process sees it: others may have begun when this one looks.
    todo = job.processes.from_main(
        lambda: [v for v, files in files_of.items() if not all(p.exists() for p in files.values())]
    )
    total, left = (sum(len(tubes[video]) for video in some) for some in (tubes, todo))
    told = False
    with progress(job.name.partition('/')[0], 'tubes', total) as bar:
        bar.update(total - left)
        for video in job.processes.share_out(todo):
            held, paths = tubes[video], files_of[video]
            with ExitStack() as stack:
                files = {n: stack.enter_context(atomic_path(path)) for n, path in paths.items()}
                arrays: dict[str, np.ndarray] = {}
                for rows, measured in measure(video, held):
                    if not told:
                        _tell_space(job, measured, left)
                        told = True
                    for name, values in measured.items():
                        if name not in arrays:
                            # As a map, since a long crowded video's exceed the memory.
                            arrays[name] = reserved_array(
                                files[name],
                                values.numpy().dtype,
                                (len(held), *values.shape[1:]),
                            )
                        arrays[name][rows] = values.numpy()
                    bar.update(len(rows))
                for name, file in files.items():
                    if name in arrays:
                        arrays[name].flush()
                    else:
                        np.save(file, np.zeros((0, 0), np.float32))
            job.folder.checkpoint()


def _tell_space(job: Job, measured: Mapping[str, Tensor], tubes: int) -> None:
    """Say what the rest of the stage will write, known from the first batch.

    Args:
        job: Whose stage.
        measured: Of some tubes.
        tubes: How many are still to be measured.

    Raises:
        NoSpaceError: If that is more than there is room for.
    """
    needed = sum(
        tubes * math.prod(values.shape[1:]) * values.element_size() for values in measured.values()
    )
    free = free_space(job.path)
    job.logger.info(
        f'Stage {job.name}: {tubes} tubes need {megabytes(needed)}, {megabytes(free)} are free'
    )
    if needed > free:
        raise NoSpaceError(job.path, needed=needed)
