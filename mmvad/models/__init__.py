"""Models: the spatial part, the temporal part and what they are made of."""

from .backbone import BranchBackbone, TokenBackbone
from .data_preprocessor import TubeDataPreprocessor
from .itam import ITAM, ImageAttention, TextAttention
from .localvad import LocalVAD
from .losses import ImageTextContrastiveLoss
from .object_vad import ObjectVAD
from .scoring import NearestDistance, ObjectScorer, PredictionError, ScoreTerm
from .sequence import ConvMixer, GRUMixer, SMMMixer, SMMNeck, StepMixer
from .smm import SMM
from .spatial import SpatialBranch, SpatialModel
from .temporal import CrossAttentionFusion, TemporalModel

__all__ = [
    'BranchBackbone',
    'ConvMixer',
    'CrossAttentionFusion',
    'GRUMixer',
    'ITAM',
    'ImageAttention',
    'ImageTextContrastiveLoss',
    'LocalVAD',
    'NearestDistance',
    'ObjectScorer',
    'ObjectVAD',
    'PredictionError',
    'SMM',
    'SMMMixer',
    'SMMNeck',
    'ScoreTerm',
    'SpatialBranch',
    'SpatialModel',
    'StepMixer',
    'TemporalModel',
    'TextAttention',
    'TokenBackbone',
    'TubeDataPreprocessor',
]
