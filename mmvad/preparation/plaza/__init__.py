"""Plaza: a surveillance-like data set made from a seed, for demos and tests without data.

A fixed camera looks down on a plaza with a shopping street, a lawn, a promenade and a one-way
lane. Training videos show people who walk, stop and talk; test videos also show running, cycling,
carts, falls, walking where or in the direction nobody walks, and thrown bags.
"""

from .actions import ACTIONS, PlazaActions, write_actions
from .dataset import PlazaDataset
from .events import EVENTS
from .writer import write_plaza

__all__ = [
    'ACTIONS',
    'EVENTS',
    'PlazaActions',
    'PlazaDataset',
    'write_actions',
    'write_plaza',
]
