"""Objects from any mmdet detector; the paper's default is a class-agnostic RPN."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mmcv.ops import nms
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.hub import get_config
from mmengine.registry import DefaultScope

from mmvad.registry import PROPOSERS
from mmvad.structures import load_fitting_weights, read_weights

from .base import BaseProposer


@PROPOSERS.register_module()
class MMDetProposer(BaseProposer):
    """Boxes of an mmdet detector, whatever their class.

    Args:
        config: mmdet config: a file, or a name such as
            ``'mmdet::rpn/rpn_r50_fpn_1x_coco.py'`` of one that the mmdet package ships.
        checkpoint: Weights: a file or a URL. They must fit the config.
        score_thr: Boxes with a lower score are dropped.
        nms_iou: Boxes that overlap a better one by more (intersection over union) are dropped,
            across classes. RPNs keep many near-duplicates.
        min_side: Smallest width and height, pixels of the frame.
        device: Where the detector runs; by default a GPU if there is one.
        cfg_options: Overrides of the detector's config.
        kwargs: Arguments of :class:`BaseProposer`.

    Raises:
        FileNotFoundError: If the config or the checkpoint is missing.
        ValueError: If the checkpoint cannot be loaded safely or does not fit the config.
    """

    speed_only = ('device',)
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
        **kwargs,
    ) -> None:
        # Here, so that other proposers and stored proposals work without mmdet.
        from mmdet.apis import inference_detector, init_detector

        super().__init__(**kwargs)
        self._inference = inference_detector
        self.score_thr, self.nms_iou, self.min_side = score_thr, nms_iou, min_side
        device = device or get_device()
        if '::' in config:
            detector_cfg = get_config(config)
        elif Path(config).is_file():
            detector_cfg = Config.fromfile(config)
        else:
            raise FileNotFoundError(f'proposer.config: {config}: no such file')
        # Read the weights first: building a detector takes a while.
        state = read_weights(checkpoint)
        with DefaultScope.overwrite_default_scope('mmdet'):
            self.model = init_detector(
                detector_cfg, None, palette='random', device=device, cfg_options=cfg_options
            )
        load_fitting_weights(self.model, state, checkpoint)

    def detect(self, frame: np.ndarray) -> np.ndarray:
        with DefaultScope.overwrite_default_scope('mmdet'):
            found = self._inference(self.model, frame).pred_instances
        boxes, scores = found.bboxes.float(), found.scores.float()
        size = boxes[:, 2:] - boxes[:, :2]
        keep = (scores >= self.score_thr) & (size >= self.min_side).all(dim=1)
        boxes, scores = boxes[keep], scores[keep]
        if len(boxes):
            boxes = boxes[nms(boxes, scores, self.nms_iou)[1]]
        return boxes.cpu().numpy().reshape(-1, 4)
