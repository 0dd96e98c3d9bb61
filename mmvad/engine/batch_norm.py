"""Batch normalisation over the batch of all processes, on GPUs and CPUs.

torch's own, SyncBatchNorm, is for GPUs alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def shared_batch_norm(model: nn.Module) -> Iterator[None]:
    """While the block runs, a model's batch norm layers in training mode take mean and variance
    over all processes, whose parts of a batch are of one size, and their gradients too."""
    layers = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    for layer in layers:
        layer.forward = partial(_forward, layer, layer.forward)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _forward(layer: _BatchNorm, alone: partial, inputs: Tensor) -> Tensor:
    if not layer.training:
        return alone(inputs)
    axes = [0, *range(2, inputs.ndim)]
    shape = (1, -1, *(1,) * (inputs.ndim - 2))
    count = inputs.numel() // inputs.shape[1] * torch.distributed.get_world_size()
    # The mean first: the difference of two large sums would cost precision.
    mean = all_reduce(inputs.float().sum(dim=axes)) / count
    centred = inputs.float() - mean.view(shape)
    variance = all_reduce(centred.square().sum(dim=axes)) / count
    if layer.track_running_stats:
        with torch.no_grad():
            layer.num_batches_tracked += 1
            share = layer.momentum
            if share is None:
                share = 1.0 / float(layer.num_batches_tracked)
            layer.running_mean.lerp_(mean.detach(), share)
            layer.running_var.lerp_(variance.detach() * count / (count - 1), share)
    outputs = centred * (variance + layer.eps).rsqrt().view(shape)
    if layer.affine:
        outputs = outputs * layer.weight.view(shape) + layer.bias.view(shape)
    return outputs.to(inputs.dtype)
