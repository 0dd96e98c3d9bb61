"""Image-text contrastive loss (paper Eq. 1).

Shape letters:
    B: batch.
    N_q: queries of an image.
    N_s: sentences of an image, one for each group.
    E_d: output dimension.
    S_t: text length in tokens.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather, all_reduce, get_rank, get_world_size
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmvad.registry import MODELS


def query_similarity(image: Tensor, text: Tensor) -> Tensor:
    """Similarity of every image to every sentence: the best of its queries (section 3.2).

    Args:
        image: (B, N_q, E_d), any norm.
        text: (B, N_s, E_d), any norm.

    Returns:
        (N_s, B, B), cosines in [-1, 1]: group, image, sentence.
    """
    image = F.normalize(image, dim=-1)
    text = F.normalize(text, dim=-1)
    return torch.einsum('iqe,cne->nicq', image, text).amax(dim=-1)


def whole_batch(part: Tensor) -> Tensor:
    """The batch of all processes, (count * B, ...), of a part (B, ...) that is as large in each.

    The gradient of a part is that of the losses of all processes. These are the same, so that the
    mean that distributed training takes over processes is the gradient of one.
    """
    return part if get_world_size() == 1 else _WholeBatch.apply(part)


class _WholeBatch(torch.autograd.Function):
    """torch's own all_gather takes gradients of any strides for contiguous ones, with gloo."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        ctx.size = len(part)
        return torch.cat(all_gather(part.contiguous()))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous().clone()
        all_reduce(gradient)
        return gradient.split(ctx.size)[get_rank()]


def identical_captions(tokens: Tensor) -> Tensor:
    """Which captions of a group are the same sentence.

    Args:
        tokens: (B, N_s, S_t).

    Returns:
        (N_s, B, B) bool, true on the diagonal.
    """
    groups = tokens.transpose(0, 1)
    return (groups[:, :, None] == groups[:, None, :]).all(dim=-1)


def image_text_contrastive_loss(
    similarity: Tensor, temperature: Tensor | float, same: Tensor | None = None
) -> Tensor:
    """Symmetric cross-entropy over the images and sentences of each group (Eq. 1).

    Args:
        similarity: (N_s, B, B): group, image, sentence.
        temperature: divides the similarities.
        same: (N_s, B, B) bool, symmetric, true on the diagonal: sentences that share the target in
            equal parts. ``None`` for a one-hot diagonal, the equation to the letter.

    Returns:
        Scalar, the mean over groups, images and both directions. With shared targets the least
        value that can be reached is the mean of log(number of identical captions), not zero.
    """
    groups, batch, _ = similarity.shape
    logits = similarity / temperature
    if same is None:
        targets = torch.eye(batch, dtype=logits.dtype, device=logits.device).expand_as(logits)
    else:
        targets = same.to(logits.dtype)
        targets = targets / targets.sum(dim=-1, keepdim=True)
    # Both directions see the same targets, since being identical is symmetric.
    targets = targets.reshape(groups * batch, batch)
    image_to_text = F.cross_entropy(logits.flatten(0, 1), targets)
    text_to_image = F.cross_entropy(logits.transpose(1, 2).flatten(0, 1), targets)
    return (image_to_text + text_to_image) / 2


def alignment_accuracy(similarity: Tensor, same: Tensor) -> Tensor:
    """Share of images whose best sentence reads like their own.

    Args:
        similarity: (N_s, B, B): group, image, sentence.
        same: (N_s, B, B) bool.

    Returns:
        Scalar in [0, 1].
    """
    best = similarity.argmax(dim=-1, keepdim=True)
    return same.gather(-1, best).float().mean()


@MODELS.register_module()
class ImageTextContrastiveLoss(BaseModule):
    """Eq. 1 over a learnable temperature, and over the batch of all processes together.

    Templates make many captions of a batch identical, and a one-hot diagonal would call them
    negatives of each other: with ``targets='shared'`` they share the target.

    Args:
        targets: ``'shared'`` or ``'diagonal'`` (the equation to the letter).
        temperature: initial value, inside ``temperature_range``.
        temperature_range: lowest and highest temperature; the parameter is held inside.
        init_cfg: MMEngine initialisation.
    """

    def __init__(
        self,
        targets: str = 'shared',
        temperature: float = 0.07,
        temperature_range: tuple[float, float] = (0.01, 1.0),
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if targets not in ('shared', 'diagonal'):
            raise ValueError(f"targets: expected 'shared' or 'diagonal', got {targets!r}")
        low, high = temperature_range
        if not 0 < low <= temperature <= high:
            raise ValueError(
                'expected 0 < temperature_range[0] <= temperature <= temperature_range[1], '
                f'got temperature={temperature}, temperature_range={temperature_range}'
            )
        self.targets = targets
        self.log_scale_range = (-math.log(high), -math.log(low))
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))

    @property
    def temperature(self) -> Tensor:
        """Current temperature, a scalar."""
        return (-self.log_scale).exp()

    def forward(self, image: Tensor, text: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and top-1 alignment accuracy.

        Args:
            image: (B, N_q, E_d).
            text: (B, N_s, E_d).
            tokens: (B, N_s, S_t), the sentences' tokens, by which identical captions are known.

        Returns:
            The loss and the accuracy (without gradient), scalars.
        """
        # The parameter itself is held in range: a clamp in the graph would stop its gradient for
        # good once it has left.
        with torch.no_grad():
            self.log_scale.clamp_(*self.log_scale_range)
        # Of several processes, each has a part of the batch and sees the whole of it.
        image, text, tokens = whole_batch(image), whole_batch(text), whole_batch(tokens)
        similarity = query_similarity(image, text)
        same = identical_captions(tokens)
        shared = same if self.targets == 'shared' else None
        loss = image_text_contrastive_loss(similarity, self.temperature, shared)
        return loss, alignment_accuracy(similarity.detach(), same)
