"""Stage ``features``: what the model measures on every tube."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
from mmengine.device import get_device

from mmvad.engine import BaseStage, Job
from mmvad.engine.progress import progress
from mmvad.models import ObjectVAD
from mmvad.registry import STAGES
from mmvad.structures import atomic_path, measurement_path

from .sweeps import measure_tubes
from .tubes import load_tubes, tube_fields

#: What of a tube shapes what is measured on it.
MEASURED = tuple(
    f'model.tube.{field}' for field in ('window', 'horizon', 'crop_size', 'flow', 'measure')
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
    speed_only = ('num_workers',)

    def __init__(self, name: str, batch_size: int = 64, num_workers: int = 0) -> None:
        super().__init__(name)
        self.batch_size = batch_size
        self.num_workers = num_workers

    def build_model(self, job: Job) -> ObjectVAD:
        """The model that measures."""
        return ObjectVAD(tube_fields(job.config))

    def run(self, job: Job) -> None:
        model = self.build_model(job).to(get_device()).eval()
        videos, tubes = job.videos(job.split), load_tubes(job, f'tubes/{job.split}')
        bar = progress('features', 'tubes', sum(map(len, tubes.values())))
        for video, held in tubes.items():
            paths = {name: measurement_path(job.path, name, video) for name in model.measurements}
            if all(path.exists() for path in paths.values()):
                bar.update(len(held))
                continue
            with ExitStack() as stack:
                files = {n: stack.enter_context(atomic_path(path)) for n, path in paths.items()}
                arrays: dict[str, np.ndarray] = {}
                for rows, measured in measure_tubes(
                    videos.source(video), held, model, video, self.batch_size, self.num_workers
                ):
                    for name, values in measured.items():
                        if name not in arrays:
                            # Opened as a map, since a long crowded video's exceed the memory.
                            arrays[name] = np.lib.format.open_memmap(
                                files[name],
                                mode='w+',
                                dtype=values.numpy().dtype,
                                shape=(len(held), *values.shape[1:]),
                            )
                        arrays[name][rows] = values.numpy()
                    bar.update(len(rows))
                for name, file in files.items():
                    if name in arrays:
                        arrays[name].flush()
                    else:
                        np.save(file, np.zeros((0, 0), np.float32))
            job.folder.checkpoint()
        bar.close()
