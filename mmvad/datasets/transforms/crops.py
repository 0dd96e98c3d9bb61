"""From frames and boxes to the branches' input.

Shape letters: n boxes of a frame, T frames of a tube, H x W the crop, S cells of an object and C
channels of a detector's feature maps.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.dist import get_dist_info

from mmvad.motion import FrameFlow
from mmvad.registry import TRANSFORMS


def drawn_stride(strides: Sequence[int]) -> int:
    """One of them, at random; of several processes, each draws for every item of a batch, and takes
    what falls to its own, so that an item gets what it would get in one process."""
    rank, count = get_dist_info()
    return strides[np.random.randint(len(strides), size=count)[rank]]


@TRANSFORMS.register_module()
class LoadTubeFrames(BaseTransform):
    """Look up the frames that a tube spans, or every so many frames: the tube fast-forwarded.

    Required keys: ``source``, ``frame``. Added: ``imgs``, the frames ``frame - (depth - 1) *
    stride`` to ``frame``, oldest first; before the start of the video its first frame stands in.
    Added: ``stride``, drawn anew each time.

    Args:
        depth: Frames to load.
        strides: Strides, in frames, one of which is drawn.
    """

    def __init__(self, depth: int, strides: Sequence[int] = (1,)) -> None:
        self.depth = depth
        self.strides = tuple(strides)

    @property
    def reach(self) -> int:
        """Frames before ``frame`` that are looked up, at most."""
        return (self.depth - 1) * max(self.strides)

    def transform(self, results: dict) -> dict:
        stride = drawn_stride(self.strides)
        results['stride'] = stride
        results['imgs'] = [
            results['source'][max(0, results['frame'] - step * stride)]
            for step in reversed(range(self.depth))
        ]
        return results


@TRANSFORMS.register_module()
class ComputeTubeFlow(BaseTransform):
    """Measure the motion at every step of a tube: optical flow of the whole frames.

    Required key: ``imgs``. Added: ``flows``, a list of T arrays (h, w, 2) float32: (x, y), motion
    from frame to frame in per cent of the frame's short side, which does not change with the
    video's resolution. The first ``pairs`` frames, which only the flow needs, are taken off
    ``imgs``, which leaves T.

    Args:
        pairs, short_side, keep_mb: As :class:`~mmvad.motion.FrameFlow` takes them.
    """

    speed_only = ('keep_mb',)

    def __init__(self, pairs: int = 2, short_side: int = 240, keep_mb: int = 64) -> None:
        self.flow = FrameFlow(pairs, short_side, keep_mb)

    @property
    def context(self) -> int:
        """Frames before the tube's first step that are needed."""
        return self.flow.pairs

    def transform(self, results: dict) -> dict:
        imgs = results['imgs']
        if len(imgs) <= self.context:
            raise ValueError(
                f'ComputeTubeFlow: expected more than {self.context} frames, got {len(imgs)}; a '
                'larger depth of LoadTubeFrames gives more'
            )
        unit = 100 / min(imgs[-1].shape[:2])
        steps = range(self.context, len(imgs))
        results['flows'] = [self.flow(imgs[: step + 1]) * unit for step in steps]
        results['imgs'] = imgs[self.context :]
        return results


@TRANSFORMS.register_module()
class CropTubes(BaseTransform):
    """Crop the same box from every frame and resize it.

    Required keys: ``imgs`` (T frames), ``boxes`` (n, 4). Added: ``crops`` (n, T, H, W, 3) uint8.
    Where there are ``flows`` (T arrays (h, w, 2), of frames reduced or not) also ``flow_crops``
    (n, T, H, W, 2) float32.

    Args:
        size: Height and width of the crop, pixels; 224 x 224 in the paper.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = tuple(size)

    def transform(self, results: dict) -> dict:
        imgs, boxes = results['imgs'], results['boxes']
        results['crops'] = self._crop(imgs, boxes)
        if 'flows' in results:
            scale = results['flows'][0].shape[0] / imgs[0].shape[0]
            results['flow_crops'] = self._crop(results['flows'], boxes * scale)
        return results

    def _crop(self, fields: Sequence[np.ndarray], boxes: np.ndarray) -> np.ndarray:
        """(n, T, H, W, C) of T fields (h, w, C) and (n, 4) boxes in their pixels."""
        height, width, channels = fields[0].shape
        crops = np.empty((len(boxes), len(fields), *self.size, channels), fields[0].dtype)
        low = np.floor(boxes[:, :2]).astype(int).clip(0, (width - 1, height - 1))
        high = np.ceil(boxes[:, 2:]).astype(int).clip(low + 1, (width, height))
        for n, ((x1, y1), (x2, y2)) in enumerate(zip(low, high, strict=True)):
            shrinks = y2 - y1 > self.size[0]
            how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            for t, field in enumerate(fields):
                crops[n, t] = cv2.resize(field[y1:y2, x1:x2], self.size[::-1], interpolation=how)
        return crops


@TRANSFORMS.register_module()
class PackTubeInputs(BaseTransform):
    """Pack what there is of crops, flow, tokens and measurements for the model.

    Optional keys: ``crops`` (n, T, H, W, 3) uint8 BGR and ``flow_crops``, or ``visual_tokens``
    (n, T, S, C) and ``token_flows``; ``tokens``, of the sentences; ``measurements``. The result is
    a dict of ``inputs``, (n, T, 3, H, W) uint8 or, with flow, (n, T, 5, H, W) float32, or
    (n, T, S, C) or, with flow, (n, T, S, C + 2) float16, without the first dimension when
    ``single`` is set, ``data_samples``, the tokens, and ``measurements``, name to (n, ...) tensor.

    Args:
        single: The item is one tube, not a frame's.
    """

    def __init__(self, single: bool = False) -> None:
        self.single = single

    def transform(self, results: dict) -> dict:
        packed, inputs = {}, None
        if 'crops' in results:
            crops = results['crops']
            if 'flow_crops' in results:
                crops = np.concatenate([crops.astype(np.float32), results['flow_crops']], axis=-1)
            inputs = torch.from_numpy(crops).permute(0, 1, 4, 2, 3)
        elif 'visual_tokens' in results:
            tokens = results['visual_tokens']
            if 'token_flows' in results:
                tokens = np.concatenate([tokens, results['token_flows']], axis=-1)
            inputs = torch.from_numpy(tokens)
        if inputs is not None:
            packed['inputs'] = inputs[0] if self.single else inputs
        if 'tokens' in results:
            packed['data_samples'] = results['tokens']
        if 'measurements' in results:
            packed['measurements'] = {
                name: torch.as_tensor(values) for name, values in results['measurements'].items()
            }
        return packed
