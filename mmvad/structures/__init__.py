"""Ground floor: what the rooms hand to one another, and how it lies on disk."""

from .artifacts import StageFolder, atomic_path, digest, write_json
from .caption_file import SENTENCES, caption_path, read_captions, write_captions
from .checkpoints import load_fitting_weights, read_weights, weights_digest
from .frame_objects import FrameObjects
from .object_tubes import ObjectTubes

__all__ = [
    'SENTENCES',
    'FrameObjects',
    'ObjectTubes',
    'StageFolder',
    'atomic_path',
    'caption_path',
    'digest',
    'load_fitting_weights',
    'read_captions',
    'read_weights',
    'weights_digest',
    'write_captions',
    'write_json',
]
