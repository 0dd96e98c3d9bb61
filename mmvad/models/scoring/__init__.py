"""From what is measured on objects to their scores: terms, and the scorer that adds them up."""

from .context import LocalScale
from .scorer import ObjectScorer
from .tails import StratifiedTail, TailProbability, damped
from .terms import NearestDistance, PredictionError, ScoreTerm

__all__ = [
    'LocalScale',
    'NearestDistance',
    'ObjectScorer',
    'PredictionError',
    'ScoreTerm',
    'StratifiedTail',
    'TailProbability',
    'damped',
]
