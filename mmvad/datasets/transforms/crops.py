"""From frames and boxes to the branches' input.

Shape letters: n boxes of a frame, T frames of a tube, H x W the crop.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform

from mmvad.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadTubeFrames(BaseTransform):
    """Look up the frames that a tube spans.

    Required keys: ``source``, ``frame``. Added: ``imgs``, the frames ``frame - depth + 1`` to
    ``frame``, oldest first; before the start of the video its first frame stands in.

    Args:
        depth: Frames to load.
    """

    def __init__(self, depth: int) -> None:
        self.depth = depth

    def transform(self, results: dict) -> dict:
        last = results['frame']
        results['imgs'] = [
            results['source'][max(0, i)] for i in range(last - self.depth + 1, last + 1)
        ]
        return results


@TRANSFORMS.register_module()
class CropTubes(BaseTransform):
    """Crop the same box from every frame and resize it.

    Required keys: ``imgs`` (T frames), ``boxes`` (n, 4). Added: ``crops`` (n, T, H, W, 3) uint8.

    Args:
        size: Height and width of the crop, pixels; 224 x 224 in the paper.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = tuple(size)

    def transform(self, results: dict) -> dict:
        imgs, boxes = results['imgs'], results['boxes']
        crops = np.empty((len(boxes), len(imgs), *self.size, 3), np.uint8)
        height, width = imgs[0].shape[:2]
        low = np.floor(boxes[:, :2]).astype(int).clip(0)
        high = np.ceil(boxes[:, 2:]).astype(int).clip(low + 1, (width, height))
        for n, ((x1, y1), (x2, y2)) in enumerate(zip(low, high, strict=True)):
            shrinks = y2 - y1 > self.size[0]
            how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            for t, img in enumerate(imgs):
                crops[n, t] = cv2.resize(img[y1:y2, x1:x2], self.size[::-1], interpolation=how)
        results['crops'] = crops
        return results


@TRANSFORMS.register_module()
class PackTubeInputs(BaseTransform):
    """Pack crops, and tokens or attributes where there are any, for the model.

    Required keys: ``crops`` (n, T, H, W, 3) uint8 BGR. Optional: ``tokens``, ``attributes``. The
    result is a dict of ``inputs``, (n, T, 3, H, W) uint8, without the first dimension when
    ``single`` is set, ``data_samples``, the tokens, and ``attributes``, (n, P) float32.

    Args:
        single: The item is one tube, not a frame's.
    """

    def __init__(self, single: bool = False) -> None:
        self.single = single

    def transform(self, results: dict) -> dict:
        crops = torch.from_numpy(results['crops']).permute(0, 1, 4, 2, 3)
        packed = dict(inputs=crops[0] if self.single else crops)
        if 'tokens' in results:
            packed['data_samples'] = results['tokens']
        if 'attributes' in results:
            packed['attributes'] = torch.from_numpy(results['attributes'])
        return packed
