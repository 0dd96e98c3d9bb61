"""Ground floor: what the rooms hand to one another, and how it lies on disk."""

from .caption_file import SENTENCES, read_captions, write_captions
from .checkpoints import load_fitting_weights, read_checkpoint, read_weights, weights_digest
from .event_file import (
    EVENT_FORMAT,
    Event,
    EventFile,
    EventObject,
    read_events,
    write_event_table,
)
from .files import (
    FileDigests,
    NoSpaceError,
    atomic_path,
    digest,
    file_digest,
    free_space,
    megabytes,
    remembered,
    remove_temporaries,
    reserved_array,
    write_json,
)
from .frame_objects import FrameObjects
from .object_origins import ObjectOrigins
from .object_tubes import ObjectTubes
from .stage_folder import StageFolder
from .tube_spec import TubeSpec
from .work_dir import RESERVED, WorkDir, captions_path, measurement_path, tubes_path

__all__ = [
    'EVENT_FORMAT',
    'RESERVED',
    'SENTENCES',
    'Event',
    'EventFile',
    'EventObject',
    'FileDigests',
    'FrameObjects',
    'NoSpaceError',
    'ObjectOrigins',
    'ObjectTubes',
    'StageFolder',
    'TubeSpec',
    'WorkDir',
    'atomic_path',
    'captions_path',
    'digest',
    'file_digest',
    'free_space',
    'load_fitting_weights',
    'measurement_path',
    'megabytes',
    'read_captions',
    'read_checkpoint',
    'read_events',
    'read_weights',
    'remembered',
    'remove_temporaries',
    'reserved_array',
    'tubes_path',
    'weights_digest',
    'write_captions',
    'write_event_table',
    'write_json',
]
