"""What a complete run has stored, for tools that look at it again."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config

from mmvad.datasets import MeasurementDataset
from mmvad.structures import WorkDir


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
