"""From video to scores in a few lines."""

from .inferencer import VADInferencer, VideoResult, init_model

__all__ = ['VADInferencer', 'VideoResult', 'init_model']
