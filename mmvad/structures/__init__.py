"""Ground floor: what the rooms hand to one another, and how it lies on disk."""

from .artifacts import StageFolder, atomic_path, digest, write_json
from .checkpoints import load_fitting_weights, read_weights, weights_digest
from .object_tubes import ObjectTubes

__all__ = [
    'ObjectTubes',
    'StageFolder',
    'atomic_path',
    'digest',
    'load_fitting_weights',
    'read_weights',
    'weights_digest',
    'write_json',
]
