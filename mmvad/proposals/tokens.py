"""Visual tokens of objects, from the feature maps that a detector has anyway (paper, section 3.2:
the visual tokens H).

Shape letters: n objects of a frame, T frames of a tube, S cells of an object, C channels of all
levels together, h x w the size of an optical flow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from torch import Tensor
from torchvision.ops import roi_align

from mmvad.registry import TRANSFORMS
from mmvad.structures.onnx_graph import check_runtime

from .detector import MMDetDetector, shared_detector


class TokenTransform(BaseTransform):
    """Cuts objects out of a detector's feature maps: RoIAlign of each level, side by side.

    Each frame is looked at once while it is among those of one call after the other, as in a sweep;
    the maps of these frames, and no others, are kept for it.

    Args:
        config, checkpoint, device, cfg_options, runtime: See :class:`MMDetDetector`.
        levels: Names of the maps, such as ``'backbone.0'`` and ``'neck.1'``; None: all there are.
        grid: Cells along each side of an object; S is its square.

    Raises:
        ValueError: If the detector has no map of a name that ``levels`` asks for, or the runtime
            is unknown or not installed.
    """

    speed_only = ('device', 'runtime')
    file_arguments = ('config', 'checkpoint')

    def __init__(
        self,
        config: str,
        checkpoint: str,
        levels: Sequence[str] | None = None,
        grid: int = 3,
        device: str | None = None,
        cfg_options: dict | None = None,
        runtime: str = 'torch',
    ) -> None:
        if not (isinstance(grid, int) and grid >= 1):
            raise ValueError(
                f'{type(self).__name__}.grid: expected a whole number >= 1, got {grid!r}'
            )
        # Now: the detector is built late.
        check_runtime(runtime)
        self.settings = dict(
            config=config,
            checkpoint=checkpoint,
            device=device,
            cfg_options=cfg_options,
            runtime=runtime,
        )
        self.levels = None if levels is None else tuple(levels)
        self.grid = grid
        self._detector: MMDetDetector | None = None
        # Each frame with its maps (1, C, h, w) and, of each, the scale (2,) of pixels to its cells.
        self._kept: list[tuple[np.ndarray, list[tuple[Tensor, Tensor]]]] = []

    def __getstate__(self) -> dict:
        # The maps are of frames that a copy in another process will not see.
        return dict(self.__dict__, _kept=[], _detector=None)

    @property
    def detector(self) -> MMDetDetector:
        """Built when it is first needed, in the process that needs it: a loader's workers get a
        copy of the transform."""
        if self._detector is None:
            self._detector = shared_detector(**self.settings)
        return self._detector

    def prepare(self) -> None:
        """Build the detector now, so that what it lacks is told before any work."""
        self.detector  # noqa: B018

    @torch.no_grad()
    def cut(self, frames: Sequence[np.ndarray], boxes: np.ndarray) -> np.ndarray:
        """The tokens of the same boxes in several frames.

        Args:
            frames: T frames (H, W, 3) uint8 BGR.
            boxes: (n, 4) xyxy, pixels.

        Returns:
            (n, T, S, C) float16, cells from left to right and from top to bottom.
        """
        before, self._kept = self._kept, []
        for frame in frames:
            known = (maps for other, maps in [*self._kept, *before] if other is frame)
            maps = next(known, None)
            self._kept.append((frame, self._look(frame) if maps is None else maps))
        boxes = torch.from_numpy(np.asarray(boxes, np.float32).reshape(-1, 4))
        steps = [
            torch.cat([roi_cells(level, boxes, scale, self.grid) for level, scale in maps], dim=2)
            for _, maps in self._kept
        ]
        return torch.stack(steps, dim=1).half().cpu().numpy()

    def _look(self, frame: np.ndarray) -> list[tuple[Tensor, Tensor]]:
        """The maps of a frame, each with its scale."""
        seen = self.detector(frame)
        levels = tuple(seen.maps) if self.levels is None else self.levels
        if lacking := [level for level in levels if level not in seen.maps] or not levels:
            raise ValueError(
                f'{type(self).__name__}.levels: {self.settings["config"]} gives no '
                f'{lacking or "maps"}; it gives {list(seen.maps)}'
            )
        return [(seen.maps[level][None].float(), seen.scales[level]) for level in levels]


def roi_cells(field: Tensor, boxes: Tensor, scale: Tensor, grid: int) -> Tensor:
    """RoIAlign of one field.

    Args:
        field: (1, C, h, w), on any device.
        boxes: (n, 4) xyxy, pixels.
        scale: (2,), pixels to cells of the field, in x and y.
        grid: Cells along each side of a box.

    Returns:
        (n, S, C) on the field's device.
    """
    # In cells of the field, whose strides may differ along x and y: RoIAlign takes one scale.
    rois = boxes * scale.repeat(2)
    rois = torch.cat([rois.new_zeros(len(rois), 1), rois], dim=1).to(field.device)
    cells = roi_align(field, rois, grid, 1.0, sampling_ratio=2, aligned=True)
    return cells.flatten(2).transpose(1, 2)


@TRANSFORMS.register_module()
class MeasureTokens(TokenTransform):
    """Measure the tokens of objects as they look now, for a score term.

    Required keys: ``imgs`` (T frames), ``objects`` (n, 4). Added: ``measurements[name]``,
    (n, S, C) float16. Boxes need not be this detector's.

    Args:
        name: Of the measurement.
        kwargs: Arguments of :class:`TokenTransform`.
    """

    def __init__(self, *args: Any, name: str = 'tokens', **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = name

    def transform(self, results: dict) -> dict:
        tokens = self.cut(results['imgs'][-1:], results['objects'])[:, 0]
        results.setdefault('measurements', {})[self.name] = tokens
        return results


@TRANSFORMS.register_module()
class CutTubeTokens(TokenTransform):
    """Cut the tokens at every step of a tube, for branches that take them in place of crops.

    As of crops, the region is the box of the last step. Required keys: ``imgs`` (T frames),
    ``boxes`` and ``objects`` (n, 4). Added: ``visual_tokens`` (n, T, S, C) float16. Where there are
    ``flows`` (T arrays (h, w, 2), of frames reduced or not, in per cent of the frame's short side)
    also ``token_flows`` (n, T, S, 2) float16: the flow in the same cells, in per cent of the
    object's height, since one frame's tokens do not tell how fast something is.

    Args:
        See :class:`TokenTransform`.
    """

    def transform(self, results: dict) -> dict:
        results['visual_tokens'] = self.cut(results['imgs'], results['boxes'])
        if 'flows' in results:
            results['token_flows'] = self._flows(results)
        return results

    def _flows(self, results: dict) -> np.ndarray:
        flows, (height, width) = results['flows'], results['imgs'][-1].shape[:2]
        boxes, objects = (
            torch.from_numpy(np.asarray(results[key], np.float32).reshape(-1, 4))
            for key in ('boxes', 'objects')
        )
        heights = (objects[:, 3] - objects[:, 1]).clamp(min=1)
        steps = []
        for flow in flows:
            field = torch.from_numpy(flow).permute(2, 0, 1)[None]
            scale = torch.tensor([flow.shape[1] / width, flow.shape[0] / height])
            steps.append(roi_cells(field, boxes, scale, self.grid))
        cells = torch.stack(steps, dim=1) * min(height, width) / heights[:, None, None, None]
        return cells.half().numpy()
