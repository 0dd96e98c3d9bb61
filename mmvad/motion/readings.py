"""What measured numbers mean to a person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .attributes import DIRECTIONS


@dataclass(frozen=True)
class Reading:
    """How a number of a measurement is told to a person.

    Args:
        name: What it is.
        unit: Of the number.
        logarithm: Whether what is measured is the number's logarithm.
    """

    name: str
    unit: str
    logarithm: bool = False

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Measured numbers to numbers of the unit."""
        return np.exp(values) if self.logarithm else values


_RATE = 'pixels a frame'
_TURN = 360 // DIRECTIONS
#: What the columns of each of :data:`~mmvad.motion.QUANTITIES` say.
READINGS = {
    'speed': (Reading('speed', _RATE),),
    'peak_speed': (Reading('peak speed', _RATE),),
    'velocity': (Reading('velocity to the right', _RATE), Reading('velocity downwards', _RATE)),
    'pace': (Reading('pace', 'own heights in 100 frames'),),
    # Clockwise, since y goes downwards.
    'directions': tuple(
        Reading(f'motion at {_TURN * i} to {_TURN * (i + 1)} degrees', _RATE)
        for i in range(DIRECTIONS)
    ),
    'width': (Reading('width', 'pixels', logarithm=True),),
    'height': (Reading('height', 'pixels', logarithm=True),),
    'foot': (Reading('lower edge', 'of the frame height'),),
    'place': (
        Reading('middle', 'of the frame width'),
        Reading('lower edge', 'of the frame height'),
    ),
}
