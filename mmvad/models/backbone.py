"""Backbones of a branch (paper sections 3.2 and 4.2): an image to a sequence of visual tokens.

A backbone is given ``in_channels`` and says by ``takes`` whether it looks at ``'crops'`` or, of
what a detector has seen already, at ``'tokens'``.

Shape letters:
    B: batch.
    C: input channels.
    H, W: height and width of a crop, pixels.
    S: cells of an object in a detector's maps, grid^2.
    S_d: visual tokens, grid^2 and one for the whole.
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


def _averaged(features: Tensor, grid: int) -> Tensor:
    """A map (B, C, h, w) averaged into (B, C, grid, grid) cells."""
    if not torch.onnx.is_in_onnx_export():
        return F.adaptive_avg_pool2d(features, grid)
    # ONNX has no such operator where grid divides h and w unevenly: as products with the share of
    # each row, and of each column, in each cell.
    rows, columns = (
        F.adaptive_avg_pool1d(torch.eye(int(side), device=features.device)[None], grid)[0]
        for side in features.shape[-2:]
    )
    return rows.T @ features @ columns


@MODELS.register_module()
class BranchBackbone(BaseModule):
    """ResNet, a grid of projected features, a class token and position embeddings.

    The ResNet's stem and stages reduce a crop eight times: 224 pixels to 28 x 28, 64 to 8 x 8. The
    map is averaged into ``grid`` cells a side, or interpolated where it has fewer.

    Args:
        reading: ``'two_stage'`` (stages 1 and 2, 128 channels; about 1 GMAC for a crop of 224) or
            ``'dilated'`` (four stages at the second's resolution, 512 channels; about 9 GMAC).
        in_channels: C, the first so many of a crop's channels are looked at: 3, the RGB image (the
            paper), or 5, the image and its optical flow.
        channels: channels of the map before it is brought to the grid.
        grid: cells a side, S_d = grid^2 + 1.
        token_dim: V_d.
        depth: depth of ``mmaction.ResNet``.
        norm_cfg: normalisation layers.
        init_cfg: MMEngine initialisation.
    """

    takes = 'crops'

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
            images: (B, C or more, H, W), normalised.

        Returns:
            (B, S_d, V_d), the class token first, then the grid row by row.
        """
        if images.ndim != 4 or images.shape[1] < self.in_channels:
            raise ValueError(
                f'crops: expected (B, at least {self.in_channels} channels, H, W), '
                f'got {tuple(images.shape)}'
                + ('; flow is measured by ComputeTubeFlow' if self.in_channels > 3 else '')
            )
        features = self.reduce(self.resnet(images[:, : self.in_channels]))
        if min(features.shape[-2:]) >= self.grid:
            features = _averaged(features, self.grid)
        else:
            features = F.interpolate(features, (self.grid, self.grid), mode='bilinear')
        cells = self.project(features).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(cells.shape[0], -1, -1), cells], dim=1)
        assert tokens.shape == (len(images), self.num_tokens, self.token_dim)
        return tokens + self.position


@MODELS.register_module()
class TokenBackbone(BaseModule):
    """Tokens of a detector's feature maps, standardised, projected, with position embeddings.

    Channels come from maps of different depth, and flow from none: each is brought to mean 0 and
    variance 1 over the training objects.

    Args:
        in_channels: C, those of the detector's maps, or these and 2 of the optical flow.
        grid: cells a side of an object, S = grid^2, as ``model.tube.tokens`` cuts them.
        token_dim: V_d.
        init_cfg: MMEngine initialisation.
    """

    takes = 'tokens'

    def __init__(
        self, in_channels: int, grid: int = 3, token_dim: int = 1408, init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.in_channels = in_channels
        self.token_dim = token_dim
        self.num_tokens = grid**2 + 1
        # Without momentum the statistics are those of all steps alike: the input does not change
        # while the weights do.
        self.standardize = nn.BatchNorm1d(in_channels, momentum=None, affine=False)
        self.project = nn.Linear(in_channels, token_dim)
        self.position = nn.Parameter(torch.randn(1, self.num_tokens, token_dim) * 0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """Visual tokens.

        Args:
            tokens: (B, S, C), or (B, S, C + 2) with a flow that is not looked at; of any precision.

        Returns:
            (B, S_d, V_d) float32, the mean of the cells first, then the grid row by row.
        """
        cells = self.num_tokens - 1
        unseen = tokens.shape[-1] - self.in_channels
        if tokens.ndim != 3 or tokens.shape[1] != cells or unseen not in (0, 2):
            raise ValueError(
                f'TokenBackbone: grid and in_channels mean tokens (B, {cells}, {self.in_channels}, '
                f'or 2 of flow more), got {tuple(tokens.shape)}; they have the grid and the '
                'channels of the levels of model.tube.tokens, then the 2 of model.tube.flow'
            )
        seen = tokens[..., : self.in_channels].float()
        x = self.project(self.standardize(seen.transpose(1, 2)).transpose(1, 2))
        return torch.cat([x.mean(dim=1, keepdim=True), x], dim=1) + self.position
