"""Visual tokens of objects, from the feature maps that a detector has anyway (paper, section 3.2:
the visual tokens H).

Shape letters: n objects of a frame, S cells of an object, C channels of all levels together.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from torchvision.ops import roi_align

from mmvad.registry import TRANSFORMS

from .detector import MMDetDetector, Seen


@TRANSFORMS.register_module()
class MeasureTokens(BaseTransform):
    """Cut objects out of a detector's feature maps: RoIAlign of each level, side by side.

    Required keys: ``imgs`` (T frames), ``objects`` (n, 4). Added: ``measurements[name]``,
    (n, S, C) float16, cells from left to right and from top to bottom. Boxes need not be this
    detector's.

    Args:
        config, checkpoint, device, cfg_options: See :class:`MMDetDetector`.
        levels: Names of the maps, such as ``'backbone.0'`` and ``'neck.1'``; None: all there are.
        grid: Cells along each side of an object; S is its square.
        name: Of the measurement.

    Raises:
        ValueError: If the detector has no map of a name that ``levels`` asks for.
    """

    speed_only = ('device',)
    file_arguments = ('config', 'checkpoint')

    def __init__(
        self,
        config: str,
        checkpoint: str,
        levels: Sequence[str] | None = None,
        grid: int = 3,
        device: str | None = None,
        cfg_options: dict | None = None,
        name: str = 'tokens',
    ) -> None:
        if not (isinstance(grid, int) and grid >= 1):
            raise ValueError(f'MeasureTokens.grid: expected a whole number >= 1, got {grid!r}')
        self.settings = dict(
            config=config, checkpoint=checkpoint, device=device, cfg_options=cfg_options
        )
        self.levels = None if levels is None else tuple(levels)
        self.grid = grid
        self.name = name

    @cached_property
    def detector(self) -> MMDetDetector:
        # Built when it is first needed, in the process that needs it: a loader's workers get a
        # copy of the transform.
        return MMDetDetector(**self.settings)

    @torch.no_grad()
    def transform(self, results: dict) -> dict:
        seen = self.detector(results['imgs'][-1])
        levels = tuple(seen.maps) if self.levels is None else self.levels
        if lacking := [level for level in levels if level not in seen.maps] or not levels:
            raise ValueError(
                f'MeasureTokens.levels: {self.settings["config"]} gives no {lacking or "maps"}; '
                f'it gives {list(seen.maps)}'
            )
        objects = torch.from_numpy(np.asarray(results['objects'], np.float32).reshape(-1, 4))
        cells = [self._cells(seen, level, objects) for level in levels]
        tokens = torch.cat(cells, dim=1).flatten(2).transpose(1, 2)
        results.setdefault('measurements', {})[self.name] = tokens.half().cpu().numpy()
        return results

    def _cells(self, seen: Seen, level: str, objects: torch.Tensor) -> torch.Tensor:
        """(n, C, grid, grid) of one level."""
        features = seen.maps[level][None].float()
        # In cells of the map, whose strides may differ along x and y: RoIAlign takes one scale.
        rois = objects * seen.scales[level].repeat(2)
        rois = torch.cat([rois.new_zeros(len(rois), 1), rois], dim=1).to(features.device)
        return roi_align(features, rois, self.grid, 1.0, sampling_ratio=2, aligned=True)
