"""Where in a crop a branch's local patterns come from (as Fig. 4 of the paper).

Shape letters: B crops, C channels of a crop, H x W the crop, G cells a side of the backbone's grid,
V_d dimension of a visual token, N_q queries, E_d output dimension, R rows of the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from .plots import DPI, save_figure


def pattern_heatmaps(
    branch: nn.Module, crops: Tensor, target: Callable[[Tensor], Tensor]
) -> Tensor:
    """Grad-CAM on a branch's visual tokens.

    A token counts for what it holds, weighted by how much the target rises with it.

    Args:
        branch: A spatial branch: ``branch.tokens`` gives (B, 1 + G^2, V_d) visual tokens, the class
            token first, and ``branch.patterns`` the local patterns (B, N_q, E_d) of tokens.
        crops: (B, C, H, W), normalised.
        target: Local patterns to what is to be explained, (B,).

    Returns:
        (B, G, G), each from 0 to 1, without gradient.
    """
    with torch.enable_grad():
        tokens = branch.tokens(crops).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(target(branch.patterns(tokens)).sum(), tokens)
    heat = (tokens * gradient).sum(dim=-1)[:, 1:].clamp(min=0).detach()
    side = round(heat.shape[1] ** 0.5)
    heat = heat / heat.amax(dim=1, keepdim=True).clamp(min=torch.finfo(heat.dtype).tiny)
    return heat.unflatten(1, (side, side))


def overlay(crop: np.ndarray, heat: np.ndarray, size: int | tuple[int, int] = 160) -> np.ndarray:
    """A crop with its heat map over it.

    Args:
        crop: (H, W, 3) uint8 BGR.
        heat: (G, G) in [0, 1].
        size: Side of the result, or its (width, height), pixels.

    Returns:
        (height, width, 3) uint8 BGR.
    """
    size = (size, size) if isinstance(size, int) else size
    picture = cv2.resize(crop, size, interpolation=cv2.INTER_CUBIC)
    smooth = cv2.resize(heat.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    colour = cv2.applyColorMap((smooth.clip(0, 1) * 255).astype(np.uint8), cv2.COLORMAP_JET)
    return cv2.addWeighted(picture, 0.55, colour, 0.45, 0)


def plot_pictures(
    blocks: Mapping[str, Sequence[Sequence[np.ndarray]]], path: str | Path, width: float = 1.0
) -> None:
    """Draw pictures in blocks, such as objects with their heat maps, a column an object.

    Args:
        blocks: Title of a block to its columns, each a list of BGR uint8 pictures of one shape.
        path: The PNG file; written whole or not at all.
        width: Of a picture, inches.
    """
    columns = max(len(block) for block in blocks.values())
    depth = max(len(pictures) for block in blocks.values() for pictures in block)
    height, across = next(iter(blocks.values()))[0][0].shape[:2]
    high = depth * width * height / across + 0.4
    figure = Figure(figsize=(width * columns, len(blocks) * high), dpi=DPI, layout='constrained')
    parts = figure.subfigures(len(blocks), 1, squeeze=False)[:, 0]
    for part, (title, block) in zip(parts, blocks.items(), strict=True):
        part.suptitle(title, x=0.01, ha='left', fontsize=10, fontweight='bold')
        axes = part.subplots(depth, columns, squeeze=False)
        for ax in axes.flat:
            ax.set_axis_off()
        for column, pictures in enumerate(block):
            for row, picture in enumerate(pictures):
                axes[row, column].imshow(picture[:, :, ::-1])
    save_figure(figure, path)
