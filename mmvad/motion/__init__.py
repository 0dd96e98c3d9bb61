"""Motion of objects without learned weights: optical flow, and attributes measured with it."""

from .attributes import ATTRIBUTES, QUANTITIES, AttributeMeter, attribute_vectors
from .flow import FrameFlow, grey
from .readings import READINGS, Reading

__all__ = [
    'ATTRIBUTES',
    'QUANTITIES',
    'READINGS',
    'AttributeMeter',
    'FrameFlow',
    'Reading',
    'attribute_vectors',
    'grey',
]
