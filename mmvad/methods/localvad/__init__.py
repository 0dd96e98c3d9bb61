"""Stages of LocalVAD that other methods have no use for, in the order of the paper's section 3."""

from .anomalies import LocalVADAnomaliesStage
from .calibrate import LocalVADCalibrateStage
from .captions import CaptionsStage
from .features import LocalVADFeaturesStage
from .hooks import PredictionHook
from .spatial import SpatialStage, TokenSpatialStage
from .temporal import TemporalStage
from .tokens import TokensStage

__all__ = [
    'CaptionsStage',
    'LocalVADAnomaliesStage',
    'LocalVADCalibrateStage',
    'LocalVADFeaturesStage',
    'PredictionHook',
    'SpatialStage',
    'TemporalStage',
    'TokenSpatialStage',
    'TokensStage',
]
