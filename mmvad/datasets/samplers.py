"""Samplers whose order depends on the seed and the epoch alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sized

import torch
from mmengine.dataset import DefaultSampler

from mmvad.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class EpochSubsetSampler(DefaultSampler):
    """A new random part of the dataset every epoch, so that epochs stay short on large sets.

    A dataset with a method ``reading_order(order, generator)`` says in which order it can be read.

    Args:
        dataset: The dataset.
        num_samples: Samples of an epoch, over all processes; a smaller dataset is gone through as
            often as needed.
        seed: Of the shuffling.
    """

    def __init__(self, dataset: Sized, num_samples: int, seed: int = 0) -> None:
        super().__init__(dataset, shuffle=True, seed=seed)
        self.total_size = num_samples - num_samples % self.world_size
        self.num_samples = self.total_size // self.world_size

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator()
        generator.manual_seed(self.seed + self.epoch)
        size = len(self.dataset)
        rounds = -(-self.total_size // size)
        order = itertools.chain.from_iterable(
            torch.randperm(size, generator=generator).tolist() for _ in range(rounds)
        )
        order = itertools.islice(order, self.rank, self.total_size, self.world_size)
        if not hasattr(self.dataset, 'reading_order'):
            return order
        return iter(self.dataset.reading_order(list(order), generator))
