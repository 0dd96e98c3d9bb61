"""Motion of objects without learned weights: optical flow, and attributes measured with it."""

from .attributes import ATTRIBUTES, QUANTITIES, AttributeMeter, attribute_vectors
from .flow import FrameFlow, grey

__all__ = [
    'ATTRIBUTES',
    'QUANTITIES',
    'AttributeMeter',
    'FrameFlow',
    'attribute_vectors',
    'grey',
]
