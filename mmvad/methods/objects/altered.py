"""Altered moments of training videos on disk: what was made to go wrong, and what is measured then.

Shape letters: m altered moments of one video, n objects in all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mmvad.structures import atomic_path
from mmvad.structures.array_files import expect_numbers, open_npz

#: Of a moment that was left as it is.
UNALTERED = 'none'
_PREFIX = 'measured.'


@dataclass(frozen=True)
class AlteredMoments:
    """The altered moments of one video.

    Args:
        kinds: (m,) names of what was done; :data:`UNALTERED` for the moments as they are.
        frames: (m,) int32 0-based frame numbers.
        regions: (m, 4) float32 boxes of what is wrong, xyxy, pixels.
        items: (n,) int32, which moment each object is in.
        objects: (n, 4) float32, xyxy, pixels.
        measurements: Name to (n, ...).
    """

    kinds: np.ndarray
    frames: np.ndarray
    regions: np.ndarray
    items: np.ndarray
    objects: np.ndarray
    measurements: dict[str, np.ndarray]

    @classmethod
    def joined(cls, parts: Sequence[AlteredMoments], names: Sequence[str]) -> AlteredMoments:
        """Several as one, with the measurements that are named; without any object, measurements
        without rows."""
        starts = np.cumsum([0, *(len(part.kinds) for part in parts)])
        items = [part.items + start for part, start in zip(parts, starts, strict=False)]
        full = [part for part in parts if len(part.items)]
        empty = np.zeros((0, 4), np.float32)
        return cls(
            kinds=np.concatenate([np.zeros(0, np.str_), *(part.kinds for part in parts)]),
            frames=np.concatenate([np.zeros(0, np.int32), *(part.frames for part in parts)]),
            regions=np.concatenate([empty, *(part.regions for part in parts)]),
            items=np.concatenate([np.zeros(0, np.int32), *items]).astype(np.int32),
            objects=np.concatenate([empty, *(part.objects for part in parts)]),
            measurements={
                name: np.concatenate([part.measurements[name] for part in full])
                if full
                else np.zeros((0, 0), np.float32)
                for name in names
            },
        )

    def save(self, path: Path) -> None:
        """Write a ``.npz`` file, whole or not at all."""
        with atomic_path(path) as tmp:
            np.savez(
                tmp,
                kinds=np.asarray(self.kinds, np.str_),
                frames=self.frames,
                regions=self.regions,
                items=self.items,
                objects=self.objects,
                **{_PREFIX + name: values for name, values in self.measurements.items()},
            )

    @classmethod
    def load(cls, path: Path, names: Sequence[str]) -> AlteredMoments:
        """Read what :meth:`save` wrote.

        Args:
            path: The file.
            names: The measurements to read.

        Raises:
            OSError: If it cannot be read.
            ValueError: If it is none, or holds what does not fit together; the message names it.
        """
        with open_npz(path) as archive:
            kinds = archive.read(
                'kinds', lambda shape, dtype: expect_numbers(archive.where('kinds'), dtype, 'U')
            )
            plain = {
                name: archive.read(name, partial(expect_rows, archive.where(name)))
                for name in ('frames', 'regions', 'items', 'objects', *map(_PREFIX.__add__, names))
            }
        rows = {len(plain[name]) for name in ('items', 'objects', *map(_PREFIX.__add__, names))}
        moments = {len(kinds), len(plain['frames']), len(plain['regions'])}
        if len(rows) > 1 or len(moments) > 1:
            raise ValueError(
                f'{path}: expected as many rows of all, got {sorted(rows)} objects in '
                f'{sorted(moments)} moments'
            )
        items = plain['items']
        if len(items) and not 0 <= items.min() <= items.max() < len(kinds):
            raise ValueError(f'{path}: items: expected numbers of {len(kinds)} moments')
        measurements = {name: plain.pop(_PREFIX + name) for name in names}
        return cls(kinds=kinds, measurements=measurements, **plain)


def expect_rows(where: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """ValueError unless an array holds rows of numbers."""
    expect_numbers(where, dtype)
    if not shape:
        raise ValueError(f'{where}: expected rows, got a single number')
