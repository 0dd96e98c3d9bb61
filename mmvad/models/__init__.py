"""Models: the spatial part, the temporal part and what they are made of."""

from .backbone import BranchBackbone
from .data_preprocessor import TubeDataPreprocessor
from .itam import ITAM, ImageAttention, TextAttention
from .localvad import LocalVAD
from .losses import ImageTextContrastiveLoss
from .scorer import ObjectScorer
from .smm import SMM
from .spatial import SpatialBranch, SpatialModel
from .temporal import CrossAttentionFusion, TemporalModel

__all__ = [
    'BranchBackbone',
    'CrossAttentionFusion',
    'ITAM',
    'ImageAttention',
    'ImageTextContrastiveLoss',
    'LocalVAD',
    'ObjectScorer',
    'SMM',
    'SpatialBranch',
    'SpatialModel',
    'TemporalModel',
    'TextAttention',
    'TubeDataPreprocessor',
]
