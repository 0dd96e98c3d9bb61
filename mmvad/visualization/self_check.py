"""What a self-check found, as one picture: an example a kind beside how well it is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure

from .plots import save_figure

_BAR = '#14507a'
_CHANCE = '#c2410c'


def plot_self_check(
    kinds: Mapping[str, Mapping[str, Any]], examples: Mapping[str, np.ndarray], path: str | Path
) -> None:
    """Draw a row a kind: an example, and the AUC with its interval.

    Args:
        kinds: Kind to ``auc``, ``auc_low`` and ``auc_high``, per cent.
        examples: Kind to a picture (H, W, 3) uint8 BGR; those that are missing stay empty.
        path: A PNG file.
    """
    figure = Figure(figsize=(9, 1.25 * len(kinds) + 0.6), layout='constrained')
    grid = figure.add_gridspec(len(kinds), 2, width_ratios=(3, 1.6))
    for number, (kind, row) in enumerate(kinds.items()):
        picture = figure.add_subplot(grid[number, 0])
        picture.axis('off')
        if kind in examples:
            picture.imshow(cv2.cvtColor(examples[kind], cv2.COLOR_BGR2RGB))
        bar = figure.add_subplot(grid[number, 1])
        ends = [[row['auc'] - row['auc_low']], [row['auc_high'] - row['auc']]]
        bar.barh([0], [row['auc']], xerr=np.clip(ends, 0, None), color=_BAR, height=0.5)
        bar.axvline(50, color=_CHANCE, linewidth=1)
        bar.set(xlim=(0, 100), ylim=(-0.6, 0.6), yticks=[])
        bar.set_title(f'{kind}: AUC {row["auc"]:.0f} %', fontsize=9, loc='left')
        if number + 1 < len(kinds):
            bar.set_xticklabels([])
    save_figure(figure, path)
