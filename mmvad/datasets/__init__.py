"""Videos, their tubes and their features, as MMEngine datasets."""

from .feature_dataset import FeatureDataset
from .frames import FrameSource, sweep
from .samplers import EpochSubsetSampler
from .tube_dataset import TubeDataset, TubeSweep
from .video_dataset import VideoDataset

__all__ = [
    'EpochSubsetSampler',
    'FeatureDataset',
    'FrameSource',
    'TubeDataset',
    'TubeSweep',
    'VideoDataset',
    'sweep',
]
