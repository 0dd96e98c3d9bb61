"""From what is measured on objects to their scores: terms, and the scorer that adds them up."""

from .scorer import ObjectScorer
from .terms import NearestDistance, PredictionError, ScoreTerm

__all__ = ['NearestDistance', 'ObjectScorer', 'PredictionError', 'ScoreTerm']
