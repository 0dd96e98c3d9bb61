"""Stages of methods that score objects: find them, measure them, calibrate, test."""

from .altered import AlteredMoments
from .anomalies import AnomaliesStage
from .calibrate import CalibrateStage
from .features import FeaturesStage, store_measurements
from .model_file import build_model, read_model_file, trained_model
from .stored import stored_measurements
from .sweeps import find_and_measure, find_tubes, measure_tubes
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
    'find_and_measure',
    'find_tubes',
    'measure_tubes',
    'read_model_file',
    'store_measurements',
    'stored_measurements',
    'trained_model',
]
