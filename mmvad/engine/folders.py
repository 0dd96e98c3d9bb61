"""Where each stage writes, and the hash of what shaped its output.

Each hash holds those of the stages before, so a change anywhere shows in all that depends on it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.config import ConfigDict

from mmvad.datasets import VideoDataset
from mmvad.models import LocalVAD
from mmvad.structures import StageFolder, digest, weights_digest

# Settings that change how fast a stage goes, not what comes out.
_SPEED_ONLY = (
    'num_workers',
    'persistent_workers',
    'prefetch_factor',
    'cache_frames',
    'keep',
    'pin_memory',
)


def _settings(part: Any) -> Any:
    """A part of the config without what only changes speed."""
    if isinstance(part, dict):
        return {k: _settings(v) for k, v in part.items() if k not in _SPEED_ONLY}
    if isinstance(part, (list, tuple)):
        return [_settings(item) for item in part]
    return part


class StageFolders:
    """The stage folders of one work dir.

    Args:
        cfg: The whole config.
        work_dir: Holds the folders.
        videos: Gives the videos of a split.
    """

    def __init__(
        self, cfg: ConfigDict, work_dir: Path, videos: Callable[[str], VideoDataset]
    ) -> None:
        self.cfg = cfg
        self.work_dir = work_dir
        self.videos = videos
        self.seed = int(cfg.randomness.seed)
        smm = cfg.model.temporal.smm
        self.window, self.horizon = smm.window, smm.horizon

    def tubes(self, split: str) -> StageFolder:
        """``proposals/<split>``; files that were put there, where the config has no proposer."""
        path = self.work_dir / 'proposals' / split
        if self.cfg.proposer is None:
            files = [path / f'{video}.npz' for video in self.videos(split).lengths]
            missing = [file for file in files if not file.is_file()]
            if missing:
                raise FileNotFoundError(
                    f'{missing[0]}: no such proposals, and the config has no proposer '
                    f'({len(missing)} of {len(files)} files are missing)'
                )
            return StageFolder(path, digest('given', *files))
        stride = self.cfg.stages.tubes.train_stride if split == 'training' else 1
        key = digest(
            self.videos(split).lengths,
            _settings(self.cfg.proposer),
            [self.window, self.horizon, stride],
        )
        return StageFolder(path, key)

    def captions(self) -> StageFolder:
        """``captions``."""
        path = self.work_dir / 'captions'
        key = digest(
            self.tubes('training').key,
            _settings(self.cfg.captioner),
            _settings(self.cfg.stages.captions),
        )
        return StageFolder(path, key)

    def spatial(self) -> StageFolder:
        """``spatial``."""
        # Captions may be edited by hand: what they say counts, not how they were made.
        captions = sorted((self.work_dir / 'captions').rglob('*.jsonl'))
        key = digest(
            self.tubes('training').key,
            *captions,
            list(self.cfg.stages.captions.strides),
            _settings(self.cfg.model.spatial),
            _settings(self.cfg.stages.spatial),
            self.seed,
        )
        return StageFolder(self.work_dir / 'spatial', key)

    def features(self, split: str, model: LocalVAD) -> StageFolder:
        """``features/<split>`` of the model's branches."""
        key = digest(
            self.tubes(split).key,
            weights_digest(model.spatial),
            _settings(self.cfg.model.spatial),
            _settings(self.cfg.stages.features),
            [self.window, self.horizon],
        )
        return StageFolder(self.work_dir / 'features' / split, key)

    def temporal(self, model: LocalVAD) -> StageFolder:
        """``temporal`` for the model's branches."""
        key = digest(
            self.features('training', model).key,
            _settings({k: v for k, v in self.cfg.model.items() if k != 'spatial'}),
            _settings(self.cfg.stages.temporal),
            self.seed,
        )
        return StageFolder(self.work_dir / 'temporal', key)
