"""Transforms of MMAction-style pipelines: frames, crops, captions, packing."""

from .captions import LoadTubeCaptions, TokenizeCaptions
from .crops import CropTubes, LoadTubeFrames, PackTubeInputs

__all__ = [
    'CropTubes',
    'LoadTubeCaptions',
    'LoadTubeFrames',
    'PackTubeInputs',
    'TokenizeCaptions',
]
