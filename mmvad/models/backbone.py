"""Backbone of a branch (paper sections 3.2 and 4.2): an image to a sequence of visual tokens.

Shape letters:
    B: batch.
    C: input channels.
    H, W: height and width of a crop, pixels.
    S_d: visual tokens, grid^2 and the class token.
    V_d: dimension of a visual token.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmvad.registry import MODELS

# "The first two stages" of ResNet-18 give 28 x 28 x 128 on a crop of 224, while the paper writes
# 28 x 28 x 512. Two ways to read it:
_READINGS = dict(
    two_stage=dict(num_stages=2, out_indices=(1,), strides=(1, 2), dilations=(1, 1)),
    # all four stages; dilation widens the later ones' view in place of their strides
    dilated=dict(num_stages=4, out_indices=(3,), strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)),
)


@MODELS.register_module()
class BranchBackbone(BaseModule):
    """ResNet, a grid of projected features, a class token and position embeddings.

    The ResNet's stem and stages reduce a crop eight times: 224 pixels to 28 x 28, 64 to 8 x 8. The
    map is averaged into ``grid`` cells a side, or interpolated where it has fewer.

    Args:
        reading: ``'two_stage'`` (stages 1 and 2, 128 channels; about 1 GMAC for a crop of 224) or
            ``'dilated'`` (four stages at the second's resolution, 512 channels; about 9 GMAC).
        in_channels: C, three for each image stacked in the input.
        channels: channels of the map before it is brought to the grid.
        grid: cells a side, S_d = grid^2 + 1.
        token_dim: V_d.
        depth: depth of ``mmaction.ResNet``.
        norm_cfg: normalisation layers.
        init_cfg: MMEngine initialisation.
    """

    def __init__(
        self,
        reading: str = 'two_stage',
        in_channels: int = 3,
        channels: int = 512,
        grid: int = 16,
        token_dim: int = 1408,
        depth: int = 18,
        norm_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if reading not in _READINGS:
            raise ValueError(f'reading: expected one of {sorted(_READINGS)}, got {reading!r}')
        norm_cfg = norm_cfg or dict(type='BN2d', requires_grad=True)
        self.in_channels = in_channels
        self.grid = grid
        self.token_dim = token_dim
        self.num_tokens = grid**2 + 1
        self.resnet = MODELS.build(
            dict(
                type='mmaction.ResNet',
                depth=depth,
                in_channels=in_channels,
                norm_cfg=norm_cfg,
                **_READINGS[reading],
            )
        )
        self.reduce = (
            nn.Identity()
            if self.resnet.feat_dim == channels
            else ConvModule(self.resnet.feat_dim, channels, 1, bias=False, norm_cfg=norm_cfg)
        )
        self.project = nn.Conv2d(channels, token_dim, 1)
        self.class_token = nn.Parameter(torch.randn(1, 1, token_dim) * 0.02)
        self.position = nn.Parameter(torch.randn(1, self.num_tokens, token_dim) * 0.02)

    def forward(self, images: Tensor) -> Tensor:
        """Visual tokens.

        Args:
            images: (B, C, H, W), normalised.

        Returns:
            (B, S_d, V_d), the class token first, then the grid row by row.
        """
        if images.ndim != 4 or images.shape[1] != self.in_channels:
            raise ValueError(
                f'images: expected (B, C={self.in_channels}, H, W), got {tuple(images.shape)}'
            )
        features = self.reduce(self.resnet(images))
        if min(features.shape[-2:]) >= self.grid:
            features = F.adaptive_avg_pool2d(features, self.grid)
        else:
            features = F.interpolate(features, (self.grid, self.grid), mode='bilinear')
        cells = self.project(features).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(len(cells), -1, -1), cells], dim=1)
        assert tokens.shape == (len(images), self.num_tokens, self.token_dim)
        return tokens + self.position
