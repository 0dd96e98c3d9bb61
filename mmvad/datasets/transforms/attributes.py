"""From frames and boxes to what can be measured on objects without learned weights.

Shape letters: n boxes of a frame, T frames of a tube, P numbers an object.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform

from mmvad.motion import QUANTITIES, READINGS, AttributeMeter, Reading, attribute_vectors
from mmvad.registry import TRANSFORMS
from mmvad.structures import FrameObjects


@TRANSFORMS.register_module()
class MeasureAttributes(BaseTransform):
    """Measure motion, size and place of objects, as a measurement that score terms can take.

    Required keys: ``imgs`` (T frames), ``boxes`` and ``objects`` (n, 4), ``video``, ``frame``.
    Where ComputeTubeFlow stands before it, its ``flows`` are taken. Added:
    ``measurements[name]``, (n, P) float32.

    Args:
        name: Of the measurement.
        quantities: What to measure; see :data:`mmvad.motion.QUANTITIES`. Where an
            object is ('foot', the lower edge over the frame's height) and which way it goes
            ('velocity') belong here only if the camera of training and test is the same and the
            training videos show every place that people normally use.
    """

    def __init__(
        self,
        name: str = 'attributes',
        quantities: Sequence[str] = ('speed', 'peak_speed', 'width', 'height'),
    ) -> None:
        self.name = name
        self.quantities = tuple(quantities)
        if unknown := [q for q in self.quantities if q not in QUANTITIES]:
            raise ValueError(
                f'MeasureAttributes.quantities: expected some of {sorted(QUANTITIES)}, '
                f'got {unknown}'
            )
        self.measure = AttributeMeter()

    @property
    def readings(self) -> tuple[Reading, ...]:
        """What each of the P numbers says."""
        return sum((READINGS[name] for name in self.quantities), ())

    def transform(self, results: dict) -> dict:
        # Several of these measure an object once.
        if 'attribute_table' not in results:
            results['attribute_table'] = self._table(results)
        vectors = attribute_vectors(results['attribute_table'], self.quantities)
        results.setdefault('measurements', {})[self.name] = vectors
        return results

    def _table(self, results: dict) -> np.ndarray:
        keys = ('imgs', 'boxes', 'objects', 'video', 'frame')
        sample = FrameObjects(*(results[key] for key in keys))
        flow = None
        if 'flows' in results:
            flow = results['flows'][-1] * (min(results['imgs'][-1].shape[:2]) / 100)
        # No quantity is of looks.
        return self.measure(sample, flow, looks=False)


@TRANSFORMS.register_module()
class MeasurePlace(BaseTransform):
    """Measure where in the view objects are and how large they appear, for a scorer's ``context``.

    Required keys: ``imgs`` (T frames), ``objects`` (n, 4). Added: ``measurements[name]``, (n, 3)
    float32: the middle over the frame's width, the lower edge over its height, and the logarithm of
    the object's height over the frame's.

    Args:
        name: Of the measurement.
    """

    readings = (
        Reading('middle', 'of the frame width'),
        Reading('lower edge', 'of the frame height'),
        Reading('height', 'of the frame height', logarithm=True),
    )

    def __init__(self, name: str = 'place') -> None:
        self.name = name

    def transform(self, results: dict) -> dict:
        height, width = results['imgs'][-1].shape[:2]
        objects = np.asarray(results['objects'], np.float32)
        x1, y1, x2, y2 = objects.reshape(-1, 4).T
        place = np.stack([(x1 + x2) / 2 / width, y2 / height, np.log((y2 - y1) / height)], axis=1)
        results.setdefault('measurements', {})[self.name] = place.astype(np.float32)
        return results


@TRANSFORMS.register_module()
class MeasureCut(BaseTransform):
    """Measure whether the frame's edge cuts objects, for a scorer's ``stratum``.

    Required keys: ``imgs`` (T frames), ``objects`` (n, 4). Added: ``measurements[name]``, (n,)
    float32: 1 of what reaches the edge, else 0.

    Args:
        margin: How near is at the edge, as a share of the frame's width and height; boxes of a
            detector end before it.
        name: Of the measurement.
    """

    def __init__(self, margin: float = 0.01, name: str = 'cut') -> None:
        if not 0 <= margin < 0.5:
            raise ValueError(f'MeasureCut.margin: expected from 0 to below 0.5, got {margin!r}')
        self.margin = margin
        self.name = name

    def transform(self, results: dict) -> dict:
        height, width = results['imgs'][-1].shape[:2]
        objects = np.asarray(results['objects'], np.float32).reshape(-1, 4)
        low = objects[:, :2] / (width, height) <= self.margin
        high = objects[:, 2:] / (width, height) >= 1 - self.margin
        cut = (low | high).any(axis=1)
        results.setdefault('measurements', {})[self.name] = cut.astype(np.float32)
        return results
