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
        order = list(itertools.islice(order, self.total_size))
        if hasattr(self.dataset, 'reading_order'):
            order = self.dataset.reading_order(order, generator)
        # Of each batch, which all processes have together, every so many samples.
        return iter(order[self.rank :: self.world_size])


@DATA_SAMPLERS.register_module()
class WholeBatchSampler(DefaultSampler):
    """All of a dataset in order, of which each process gets every so many batches: these hold the
    same samples however many processes there are, and what is computed of them rounds alike.

    Args:
        dataset: The dataset.
        batch_size: Samples in a batch.
        seed: MMEngine's runner gives it to every sampler; nothing is random here.
    """

    def __init__(self, dataset: Sized, batch_size: int, seed: int | None = None) -> None:
        super().__init__(dataset, shuffle=False, round_up=False)
        count = len(dataset)
        starts = range(self.rank * batch_size, count, self.world_size * batch_size)
        self._own = [i for at in starts for i in range(at, min(at + batch_size, count))]
        self.num_samples = len(self._own)

    def __iter__(self) -> Iterator[int]:
        return iter(self._own)
