"""The engine: runs the stages of a method, and knows none."""

from .configs import read_config, resolve_references
from .evaluation_stage import EvaluationStage
from .guard import logged
from .hooks import EpochSeedHook, SafeCheckpointHook
from .report import drawn_frames
from .score_files import ScoreFilesHook
from .stage import BaseStage, Job, Output
from .staged_runner import StagedRunner, build_stages
from .tested import read_tested
from .trainer import TrainingStage, WholeCheckpointRunner

__all__ = [
    'BaseStage',
    'EpochSeedHook',
    'EvaluationStage',
    'Job',
    'Output',
    'SafeCheckpointHook',
    'ScoreFilesHook',
    'StagedRunner',
    'TrainingStage',
    'WholeCheckpointRunner',
    'build_stages',
    'drawn_frames',
    'logged',
    'read_config',
    'read_tested',
    'resolve_references',
]
