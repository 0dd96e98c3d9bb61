"""Objects from any mmdet detector; the paper's default is a class-agnostic RPN."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torchvision.ops import nms

from mmvad.registry import PROPOSERS

from .base import BaseProposer
from .detector import shared_detector


@PROPOSERS.register_module()
class MMDetProposer(BaseProposer):
    """Boxes of an mmdet detector, whatever their class unless some are named.

    Args:
        config, checkpoint, device, cfg_options, runtime, amp: See
            :class:`~mmvad.proposals.MMDetDetector`.
        score_thr: Boxes with a lower score are dropped.
        nms_iou: Boxes that overlap a better one by more (intersection over union) are dropped,
            across classes. RPNs keep many near-duplicates.
        min_side: Smallest width and height, pixels of the frame.
        classes: Names or numbers of the classes that are kept; None: all.
        batch_size: Frames in one pass of the detector, where they are at hand.
        kwargs: Arguments of :class:`BaseProposer`.

    Raises:
        FileNotFoundError: If the config or the checkpoint is missing.
        ValueError: If the checkpoint cannot be loaded safely or does not fit the config, or the
            detector has no class of a name.
    """

    speed_only = ('device', 'runtime', 'batch_size')
    file_arguments = ('config', 'checkpoint')

    def __init__(
        self,
        config: str,
        checkpoint: str,
        score_thr: float = 0.5,
        nms_iou: float = 0.3,
        min_side: float = 8,
        device: str | None = None,
        cfg_options: dict | None = None,
        runtime: str = 'torch',
        classes: Sequence[str | int] | None = None,
        batch_size: int = 1,
        amp: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        if not (isinstance(batch_size, int) and batch_size >= 1):
            raise ValueError(f'proposer.batch_size: expected a whole number, got {batch_size!r}')
        if batch_size > 1 and runtime != 'torch':
            raise ValueError(
                f"proposer.batch_size: {batch_size} needs runtime='torch', got {runtime!r}"
            )
        self.score_thr, self.nms_iou, self.min_side = score_thr, nms_iou, min_side
        # Tokens cut out of the same frames by the same detector cost no second pass.
        self.detector = shared_detector(config, checkpoint, device, cfg_options, runtime, amp)
        self.batch_size = batch_size
        self.labels = None if classes is None else self._numbers(classes)

    def _numbers(self, classes: Sequence[str | int]) -> list[int]:
        names = self.detector.classes
        wanted = [classes] if isinstance(classes, (str, int)) else list(classes)
        unknown = [name for name in wanted if isinstance(name, str) and name not in names]
        if unknown or not wanted:
            raise ValueError(
                f'proposer.classes: {unknown[0] if unknown else wanted!r}: expected some of '
                f'{list(names)}, or their numbers'
            )
        return [names.index(name) if isinstance(name, str) else int(name) for name in wanted]

    def look_ahead(self, frames: Sequence[np.ndarray]) -> None:
        self.detector.look_ahead(frames)

    def detect(self, frame: np.ndarray) -> np.ndarray:
        found = self.detector(frame).instances
        boxes, scores = found.bboxes.float(), found.scores.float()
        size = boxes[:, 2:] - boxes[:, :2]
        keep = (scores >= self.score_thr) & (size >= self.min_side).all(dim=1)
        if self.labels is not None:
            keep &= torch.isin(found.labels, found.labels.new_tensor(self.labels))
        boxes, scores = boxes[keep], scores[keep]
        boxes = boxes[nms(boxes, scores, self.nms_iou)]
        return boxes.cpu().numpy()
