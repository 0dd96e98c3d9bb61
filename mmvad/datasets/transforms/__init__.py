"""Transforms of MMAction-style pipelines: frames, crops, captions, attributes, packing."""

from .attributes import MeasureAttributes, MeasureCut, MeasurePlace
from .captions import LoadTubeCaptions, TokenizeCaptions
from .crops import ComputeTubeFlow, CropTubes, LoadTubeFrames, PackTubeInputs

__all__ = [
    'ComputeTubeFlow',
    'CropTubes',
    'LoadTubeCaptions',
    'LoadTubeFrames',
    'MeasureAttributes',
    'MeasureCut',
    'MeasurePlace',
    'PackTubeInputs',
    'TokenizeCaptions',
]
