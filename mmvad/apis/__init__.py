"""What a program calls: from a folder of normal video to a model, from video to scores."""

from .adapt import adapt
from .inferencer import VADInferencer, VideoResult, init_model
from .learn import Learned, learn
from .model_folder import find_model_file
from .stream import FrameScore, StreamScorer
from .watching import Watched, WatchSettings, watch

__all__ = [
    'FrameScore',
    'Learned',
    'StreamScorer',
    'VADInferencer',
    'VideoResult',
    'WatchSettings',
    'Watched',
    'adapt',
    'find_model_file',
    'init_model',
    'learn',
    'watch',
]
