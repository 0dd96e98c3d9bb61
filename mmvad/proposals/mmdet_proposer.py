"""Objects from any mmdet detector; the paper's default is a class-agnostic RPN."""

from __future__ import annotations

import numpy as np
from torchvision.ops import nms

from mmvad.registry import PROPOSERS

from .base import BaseProposer
from .detector import shared_detector


@PROPOSERS.register_module()
class MMDetProposer(BaseProposer):
    """Boxes of an mmdet detector, whatever their class.

    Args:
        config, checkpoint, device, cfg_options, runtime: See
            :class:`~mmvad.proposals.MMDetDetector`.
        score_thr: Boxes with a lower score are dropped.
        nms_iou: Boxes that overlap a better one by more (intersection over union) are dropped,
            across classes. RPNs keep many near-duplicates.
        min_side: Smallest width and height, pixels of the frame.
        kwargs: Arguments of :class:`BaseProposer`.

    Raises:
        FileNotFoundError: If the config or the checkpoint is missing.
        ValueError: If the checkpoint cannot be loaded safely or does not fit the config.
    """

    speed_only = ('device', 'runtime')
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
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.score_thr, self.nms_iou, self.min_side = score_thr, nms_iou, min_side
        # Tokens cut out of the same frames by the same detector cost no second pass.
        self.detector = shared_detector(config, checkpoint, device, cfg_options, runtime)

    def detect(self, frame: np.ndarray) -> np.ndarray:
        found = self.detector(frame).instances
        boxes, scores = found.bboxes.float(), found.scores.float()
        size = boxes[:, 2:] - boxes[:, :2]
        keep = (scores >= self.score_thr) & (size >= self.min_side).all(dim=1)
        boxes, scores = boxes[keep], scores[keep]
        boxes = boxes[nms(boxes, scores, self.nms_iou)]
        return boxes.cpu().numpy()
