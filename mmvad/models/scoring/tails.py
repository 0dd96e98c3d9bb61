"""How rarely training objects score as high: one scale for all terms and all data.

Shape letters: n objects, Q points of the distribution that are kept, S strata.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from mmengine.model import BaseModule, ModuleList
from scipy.stats import genpareto
from torch import Tensor

# From this share of the training values on, the tail is fitted; below, they are counted.
_TAIL = 0.1
_POINTS = 901
# Fewer values beyond leave a generalised Pareto's shape to chance: then the tail is exponential.
_SHAPED = 50
# With fewer objects there is no tail at all.
_LEAST = 2
# A stratum of fewer objects has the tail of all: of these, ten would be in its own.
_LEAST_STRATUM = 100
# In nats: one object in 55.
_DAMPED_FROM = 4.0


def damped(surprisals: Tensor) -> Tensor:
    """What a term's surprisal counts for in a sum: itself up to 4 nats, and what is beyond by the
    logarithm of one more.

    How far the fitted tail of a single term reaches is what is known least; without this, one
    outlier drowns all other terms, and when smoothed the frames beside it.
    """
    beyond = (surprisals - _DAMPED_FROM).clamp(min=0)
    return surprisals.clamp(max=_DAMPED_FROM) + torch.log1p(beyond)


class TailProbability(BaseModule):
    """Surprisal: minus the natural logarithm of the share of training values as high as this one.

    The share is counted up to the 90th percentile, and beyond follows a generalised Pareto
    distribution fitted by maximum likelihood, so that values no training object reached are still
    told apart (Pickands-Balkema-de Haan: the tail of nearly every distribution is one). Training
    values themselves have a surprisal of mean 1, whatever they measure.
    """

    def __init__(self) -> None:
        super().__init__()
        # Of the body: values at evenly spaced shares from 0 to 0.9. Of the tail: shape, scale, how
        # far beyond the body it is taken to reach, and the share of values in it: less than 0.1
        # where many are equal.
        self.register_buffer('body', torch.zeros(_POINTS))
        self.register_buffer('tail', torch.zeros(4))

    @property
    def fitted(self) -> bool:
        """Whether :meth:`fit` was called, or a fitted state loaded."""
        return bool(self.tail[1] > 0)

    def fit(self, values: Tensor) -> str:
        """Take the distribution of training values.

        Args:
            values: (n,), of objects that are as good as never seen.

        Returns:
            What a person should know of the fit; empty if there is nothing.

        Raises:
            ValueError: If there are too few values to tell what is rare.
        """
        if len(values) < _LEAST:
            raise ValueError(
                f'{len(values)} objects not seen in training are too few to tell what is rare, '
                f'expected at least {_LEAST}; give more training video'
            )
        values = values.double().cpu()
        body = torch.quantile(values, torch.linspace(0, 1 - _TAIL, _POINTS, dtype=torch.double))
        excess = values[values > body[-1]] - body[-1]
        remark, shape = '', 0.0
        if not len(excess) or float(excess.max()) <= 1e-9 * max(1.0, float(body.abs().max())):
            # Nothing is rarer than the commonest: what differs at all is as rare as can be told.
            remark, scale = 'the same of nearly all training objects', 1.0
        else:
            scale = float(excess.mean())
            if len(excess) >= _SHAPED:
                fitted, _, width = genpareto.fit((excess / scale).numpy(), floc=0)
                shape, scale = float(fitted), float(width) * scale
            else:
                remark = (
                    f'only {len(excess)} of {len(values)} objects in the tail, taken as exponential'
                )
        self.body = body.to(self.body)
        # A negative shape ends the tail where all is impossible, somewhere beyond what was seen.
        reach = min(float(values.max() - body[-1]), 0.9 * scale / -shape) if shape < 0 else 0.0
        share = max(1, len(excess)) / len(values)
        self.tail = torch.tensor([shape, scale, reach, share]).to(self.tail)
        return remark

    def forward(self, values: Tensor) -> Tensor:
        """(n,) values to (n,) surprisals, at least 0, in nats; higher is rarer."""
        values = values.double()
        body = self.body.double()
        # Between two points in proportion; of equal points the first, as rare as all of them.
        after = torch.searchsorted(body, values).clamp(1, _POINTS - 1)
        low, high = body[after - 1], body[after]
        part = ((values - low) / (high - low).clamp(min=1e-300)).clamp(0, 1)
        below = (after - 1 + part) / (_POINTS - 1) * (1 - _TAIL)
        shape, scale, reach, share = self.tail.double()
        beyond = (values - body[-1]).clamp(min=0)
        if shape < 0:
            # Beyond what was seen as fast as where the tail begins: the rate at its end would let
            # one term drown all others.
            within = beyond.clamp(max=reach)
            rare = torch.log1p(shape * within / scale) / shape + (beyond - within) / scale
        elif shape > 0:
            rare = torch.log1p(shape * beyond / scale) / shape
        else:
            rare = beyond / scale
        # What is as rare as the tail itself, or as the place in the body.
        begin = torch.where(beyond > 0, -share.log(), -torch.log1p(-below))
        return (rare + begin).float()

    def reached(self, surprisal: float) -> float:
        """The least value of this surprisal or more, in nats above 0: the inverse of
        :meth:`forward`."""
        body = self.body.double().cpu()
        shape, scale, reach, share = self.tail.double().tolist()
        rare = surprisal + math.log(share)
        if rare <= 0:
            points = torch.linspace(0, 1 - _TAIL, _POINTS, dtype=torch.double)
            return float(np.interp(1 - math.exp(-surprisal), points.numpy(), body.numpy()))
        if shape == 0:
            return float(body[-1]) + scale * rare
        if shape < 0:
            most = math.log1p(shape * reach / scale) / shape
            if rare > most:
                return float(body[-1]) + reach + scale * (rare - most)
        return float(body[-1]) + scale * math.expm1(shape * rare) / shape


class StratifiedTail(BaseModule):
    """Surprisal among the training values of the same stratum, a :class:`TailProbability` each.

    Args:
        strata: S, how many there are.
    """

    def __init__(self, strata: int) -> None:
        super().__init__()
        self.strata = ModuleList(TailProbability() for _ in range(strata))

    @property
    def fitted(self) -> bool:
        """Whether :meth:`fit` was called, or a fitted state loaded."""
        return all(tail.fitted for tail in self.strata)

    def fit(self, values: Tensor, strata: Tensor) -> list[str]:
        """Take the distribution of training values in each stratum, in one of too few objects that
        of all.

        Args:
            values: (n,), of objects that are as good as never seen.
            strata: (n,) number of the stratum of each.

        Returns:
            What a person should know of the fit.

        Raises:
            ValueError: If there are too few values to tell what is rare.
        """
        remarks = []
        for number, tail in enumerate(self.strata):
            own = values[strata == number]
            remarks.append(tail.fit(own if len(own) >= _LEAST_STRATUM else values))
        return [remark for remark in dict.fromkeys(remarks) if remark]

    def forward(self, values: Tensor, strata: Tensor) -> Tensor:
        """(n,) values and strata to (n,) surprisals, at least 0, in nats; higher is rarer."""
        found = torch.zeros_like(values, dtype=torch.float32)
        for number, tail in enumerate(self.strata):
            own = strata == number
            found[own] = tail(values[own])
        return found
