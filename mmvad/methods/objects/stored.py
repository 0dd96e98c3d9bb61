"""What stages have stored, for those after them and for tools that look at it again.

Shape letters: F frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config

from mmvad.datasets import MeasuredFrames, MeasurementDataset
from mmvad.models import ObjectVAD
from mmvad.structures import WorkDir, tubes_path

from .altered import AlteredMoments


def stored_measurements(
    cfg: Config, work_dir: str | Path, names: tuple[str, ...], first_scored: int
) -> tuple[MeasurementDataset, MeasurementDataset]:
    """The measurements of both splits in a complete run's work dir.

    Args:
        cfg: The run's config.
        work_dir: Its work dir.
        names: The measurements to read.
        first_scored: 0-based number of the first frame that can be scored.

    Returns:
        The training split's, tube by tube, and the test split's, frame by frame.
    """
    place = WorkDir(Path(work_dir))
    training, testing = (
        MeasurementDataset(
            videos,
            place.stage('proposals', split),
            place.stage('features', split),
            names,
            first_scored,
            test_mode=split == 'testing',
        )
        for split, videos in (('training', cfg.train_dataset), ('testing', cfg.test_dataset))
    )
    return training, testing


def stored_altered(
    folder: Path, dataset: MeasurementDataset, names: Sequence[str]
) -> tuple[MeasuredFrames, np.ndarray]:
    """The frames in which something was made to go wrong, and (F,) what.

    Args:
        folder: Of the stage that made them.
        dataset: The training split's measurements.
        names: The measurements to read.

    Raises:
        ValueError: If no object was found in any of them.
    """
    parts = [
        AlteredMoments.load(tubes_path(folder, video), names) for video in dataset.videos.lengths
    ]
    joined = AlteredMoments.joined(parts, names)
    if not len(joined.items):
        raise ValueError(f'{folder}: no object was found in any frame of made anomalies')
    return MeasuredFrames(
        {name: torch.from_numpy(values) for name, values in joined.measurements.items()},
        joined.items,
        np.repeat(np.arange(len(parts)), [len(part.kinds) for part in parts]),
        joined.frames,
        np.zeros(len(joined.kinds), bool),
        joined.objects,
    ), joined.kinds


def looked_at(model: ObjectVAD, frames: MeasuredFrames) -> MeasuredFrames:
    """The same frames with the quantities that terms look at, on the CPU."""
    values = model.all_quantities(frames.measurements)
    return replace(frames, measurements={name: value.cpu() for name, value in values.items()})
