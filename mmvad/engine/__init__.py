"""The staged runner and its hooks."""

from .hooks import CalibrateHook, EpochSeedHook, SafeCheckpointHook
from .staged_runner import StagedRunner

__all__ = ['CalibrateHook', 'EpochSeedHook', 'SafeCheckpointHook', 'StagedRunner']
