"""What finds the objects of a frame, and the geometry of their tubes."""

from .base import BaseProposer
from .foreground_proposer import ForegroundProposer
from .mmdet_proposer import MMDetProposer

__all__ = ['BaseProposer', 'ForegroundProposer', 'MMDetProposer']
