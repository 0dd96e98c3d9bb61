"""What finds the objects of a frame, the geometry of their tubes, and what a detector sees."""

from .base import BaseProposer
from .detector import REMEMBERED, MMDetDetector, save_random_weights
from .foreground_proposer import ForegroundProposer
from .mmdet_proposer import MMDetProposer
from .tokens import CutTubeTokens, MeasureTokens

__all__ = [
    'REMEMBERED',
    'BaseProposer',
    'CutTubeTokens',
    'ForegroundProposer',
    'MMDetDetector',
    'MMDetProposer',
    'MeasureTokens',
    'save_random_weights',
]
