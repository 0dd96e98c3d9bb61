"""Anomalies made of normal video, to find out what a model would find (no labels are needed)."""

from __future__ import annotations

from typing import Any

from .kinds import (
    BaseAnomaly,
    Elsewhere,
    Faster,
    Lying,
    OnTheSpot,
    Resized,
    Reversed,
    Stopped,
    Thrown,
    Vehicle,
)
from .scene import Moment, median_frame

#: Name to config: what a self-check makes unless a config says otherwise.
KINDS: dict[str, dict[str, Any]] = dict(
    faster=dict(type='Faster', times=2),
    much_faster=dict(type='Faster', times=3),
    stopped=dict(type='Stopped'),
    reversed=dict(type='Reversed'),
    elsewhere=dict(type='Elsewhere'),
    larger=dict(type='Resized', times=1.7),
    smaller=dict(type='Resized', times=0.5),
    lying=dict(type='Lying'),
    on_the_spot=dict(type='OnTheSpot'),
    vehicle=dict(type='Vehicle'),
    thrown=dict(type='Thrown'),
)

__all__ = [
    'KINDS',
    'BaseAnomaly',
    'Elsewhere',
    'Faster',
    'Lying',
    'Moment',
    'OnTheSpot',
    'Resized',
    'Reversed',
    'Stopped',
    'Thrown',
    'Vehicle',
    'median_frame',
]
