"""Stages of methods that score objects: find them, measure them, calibrate, test."""

from .altered import AlteredMoments
from .anomalies import AnomaliesStage
from .calibrate import CalibrateStage
from .features import FeaturesStage, store_measurements
from .model_file import build_model, read_model_file, trained_model
from .self_check import check_scorer, unseen_scores
from .stored import looked_at, stored_altered, stored_measurements
from .sweeps import find_and_measure, find_tubes, measure_frame, measure_tubes
from .test import TestStage
from .tubes import TubesStage

__all__ = [
    'AlteredMoments',
    'AnomaliesStage',
    'CalibrateStage',
    'FeaturesStage',
    'TestStage',
    'TubesStage',
    'build_model',
    'check_scorer',
    'find_and_measure',
    'find_tubes',
    'looked_at',
    'measure_frame',
    'measure_tubes',
    'read_model_file',
    'store_measurements',
    'stored_altered',
    'stored_measurements',
    'trained_model',
    'unseen_scores',
]
