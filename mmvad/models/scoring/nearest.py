"""The nearest training objects, of other videos where training objects themselves are compared.

Shape letters: n objects, M reference objects, D numbers that are compared, K neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

_ROWS = 4096


def groups_of(videos: Tensor, held_out: Tensor) -> Tensor:
    """(n,) what training objects must differ in to be compared: their videos or, of a single one,
    whether they are in its part that is held out."""
    return held_out if bool((videos == videos[:1]).all()) else videos


def nearest(
    values: Tensor,
    project: Callable[[Tensor], Tensor],
    reference: Tensor,
    count: int,
    groups: Tensor | None = None,
    owners: Tensor | None = None,
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """The reference objects nearest to each object, some objects at a time.

    Args:
        values: (n, ...).
        project: To the (n, D) that are compared.
        reference: (M, D).
        count: K, at most M.
        groups: (n,) groups of the objects; reference objects of an object's own are left out, where
            there are others.
        owners: (M,) groups of the reference objects.

    Yields:
        Rows of ``values``, their (n, K) distances, infinite where there are fewer than K, and
        (n, K) numbers of the reference objects.
    """
    for start in range(0, len(values), _ROWS):
        rows = slice(start, start + _ROWS)
        pairs = torch.cdist(project(values[rows]), reference)
        if owners is not None:
            same = groups[rows, None] == owners[None]
            # Where all references are of its own group there is no other to compare with.
            same &= ~same.all(dim=1, keepdim=True)
            pairs = pairs.masked_fill(same.to(pairs.device), float('inf'))
        yield rows, *pairs.topk(count, largest=False)
