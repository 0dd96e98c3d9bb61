"""What happens to crops on the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.dist import get_dist_info
from mmengine.model import BaseDataPreprocessor

from mmvad.registry import MODELS


@MODELS.register_module()
class TubeDataPreprocessor(BaseDataPreprocessor):
    """Normalise crops and, in training, vary their brightness and contrast.

    There is no random flip: captions speak of left and right. Channels after the first three
    (flow) stay as they are.

    Args:
        mean: Of each channel, in the order of ``bgr_to_rgb``'s result, in grey levels.
        std: Likewise.
        bgr_to_rgb: Whether to turn the channels round.
        brightness: Training adds to all crops of a tube a value from +-``brightness`` grey levels.
        contrast: Training scales them by a factor from 1 +- ``contrast``.
    """

    def __init__(
        self,
        mean: Sequence[float] = (123.675, 116.28, 103.53),
        std: Sequence[float] = (58.395, 57.12, 57.375),
        bgr_to_rgb: bool = True,
        brightness: float = 0.0,
        contrast: float = 0.0,
    ) -> None:
        super().__init__()
        self.register_buffer('mean', torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).view(-1, 1, 1), persistent=False)
        self.bgr_to_rgb = bgr_to_rgb
        self.brightness = brightness
        self.contrast = contrast

    def forward(self, data: dict, training: bool = False) -> dict:
        """``data['inputs']``: (B, T, C, H, W), BGR and, if C is 5, flow, to float, normalised."""
        data = self.cast_data(data)
        data['inputs'] = self.normalize(data['inputs'], training)
        return data

    def normalize(self, crops: torch.Tensor, training: bool = False) -> torch.Tensor:
        """(..., C, H, W), BGR and, if C is 5, flow, on the device to float, normalised."""
        crops, flow = crops[..., :3, :, :].float(), crops[..., 3:, :, :]
        if self.bgr_to_rgb:
            crops = crops.flip(-3)
        if training and (self.brightness or self.contrast):
            # Of several processes, each has every so many of the batch that one would have.
            rank, count = get_dist_info()
            shape = (count * len(crops), *(1,) * (crops.ndim - 1))
            change = torch.rand(2, *shape, device=crops.device)[:, rank::count] * 2 - 1
            centre = crops.mean(dim=tuple(range(1, crops.ndim)), keepdim=True)
            crops = (crops - centre) * (1 + self.contrast * change[0]) + centre
            crops = crops + self.brightness * change[1]
        crops = (crops - self.mean) / self.std
        return torch.cat([crops, flow], dim=-3) if flow.shape[-3] else crops
