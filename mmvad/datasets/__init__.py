"""Videos, their tubes and what was measured on them, as MMEngine datasets."""

from .find_videos import find_videos
from .frame_check import FrameCheck, FrameLimits
from .frames import FrameSource, sweep
from .measurement_dataset import MeasuredFrames, MeasurementDataset
from .pipelines import inference_pipeline, text_pipeline, training_pipeline
from .samplers import EpochSubsetSampler
from .token_dataset import TokenDataset, token_names
from .tube_dataset import TubeDataset, TubePipeline, TubeSweep
from .video_dataset import VideoDataset

__all__ = [
    'EpochSubsetSampler',
    'FrameCheck',
    'FrameLimits',
    'FrameSource',
    'MeasuredFrames',
    'MeasurementDataset',
    'TokenDataset',
    'TubeDataset',
    'TubePipeline',
    'TubeSweep',
    'VideoDataset',
    'find_videos',
    'inference_pipeline',
    'sweep',
    'text_pipeline',
    'token_names',
    'training_pipeline',
]
