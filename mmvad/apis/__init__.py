"""What a program calls: from a folder of normal video to a model, from video to scores."""

from .inferencer import VADInferencer, VideoResult, init_model
from .learn import Learned, learn
from .model_folder import find_model_file

__all__ = [
    'Learned',
    'VADInferencer',
    'VideoResult',
    'find_model_file',
    'init_model',
    'learn',
]
