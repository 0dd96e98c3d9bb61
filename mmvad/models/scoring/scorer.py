"""From what is measured on objects to object scores that mean the same on any data.

Shape letters: n objects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from mmengine.model import BaseModule, ModuleDict
from torch import Tensor

from mmvad.registry import MODELS

from .context import LocalScale
from .nearest import groups_of
from .tails import StratifiedTail, damped


@MODELS.register_module()
class ObjectScorer(BaseModule):
    """Object scores, fitted on training objects only.

    Each term becomes a surprisal: minus the natural logarithm of the share of training objects, as
    good as never seen, that have as much of it (:class:`TailProbability`). Surprisals of different
    terms are comparable and add up, :func:`damped` where they are so high that nobody knows. A
    channel is a weighted sum of some, brought to surprisal once more, since terms go together: each
    term by itself, ``all``, whose weights a self-check may choose (:meth:`weigh`), and those that
    ``channels`` names.

    With a ``context`` a term that is ``by_place`` is first compared, half and half, with that of
    the training objects that were in a like place and with that of all (:class:`LocalScale`). With
    a ``stratum``, shares are of the training objects of an object's own: what the frame's edge cuts
    is seen in part, is unlike whole objects and measured roughly.

    Args:
        terms: Name to the config of a :class:`~mmvad.models.scoring.ScoreTerm`.
        channels: Name of a further channel to the terms it sums.
        context: A quantity (n, P) that says where an object is; None: one scale everywhere.
        neighbours: Training objects nearest in context that a term is compared with.
        stratum: A quantity (n,) of 0 and 1 that parts objects into two sorts; None: one sort.

    Raises:
        ValueError: If there are no terms, or a channel takes a name twice or names no term.
    """

    def __init__(
        self,
        terms: Mapping[str, dict],
        channels: Mapping[str, Sequence[str]] | None = None,
        context: str | None = None,
        neighbours: int = 200,
        stratum: str | None = None,
    ) -> None:
        super().__init__()
        if not terms:
            raise ValueError('scorer.terms: expected at least one term')
        if not (isinstance(neighbours, int) and neighbours >= 10):
            raise ValueError(
                f'scorer.neighbours: expected a whole number >= 10, got {neighbours!r}'
            )
        self.terms = ModuleDict({name: MODELS.build(cfg) for name, cfg in terms.items()})
        #: Channel to the terms it sums.
        self.channels: dict[str, tuple[str, ...]] = {name: (name,) for name in terms}
        for channel, parts in (channels or {}).items():
            if channel in self.channels or channel == 'all':
                raise ValueError(f'scorer.channels: {channel!r} is the name of a term, or all')
            unknown = [part for part in parts if part not in terms]
            if unknown or not parts:
                raise ValueError(
                    f'scorer.channels.{channel}: expected some of the terms {list(terms)}, got '
                    f'{list(parts)}'
                )
            self.channels[channel] = tuple(parts)
        self.channels['all'] = tuple(terms)
        self.context = context
        self.stratum = stratum
        # In the order of the terms' names: that in which a config has them does not matter.
        self._order = sorted(terms)
        #: Terms that may be compared by place; none without a context.
        self.placed = [name for name in self._order if context and self.terms[name].by_place]
        self.local = LocalScale(neighbours) if self.placed else None
        # A channel of one term is that term.
        sums = [name for name, parts in self.channels.items() if len(parts) > 1]
        self.tails = ModuleDict(
            {name: StratifiedTail(2 if stratum else 1) for name in (*terms, *sums)}
        )
        # Of the channel all, in the order of the terms' names.
        self.register_buffer(
            'weights', torch.tensor([self.terms[name].weight for name in self._order])
        )
        # In the order of the channels' names.
        self.register_buffer('floor', torch.zeros(len(self.channels)))

    @property
    def quantities(self) -> set[str]:
        """The quantities that the terms look at, the context and the stratum."""
        terms = {term.of for term in self.terms.values()}
        return terms | ({self.context, self.stratum} - {None})

    @property
    def resizable(self) -> list[str]:
        """Names of the buffers that take the training set's size."""
        sized = ('terms.', 'local.')
        return [name for name, _ in self.named_buffers() if name.startswith(sized)]

    @property
    def fitted(self) -> bool:
        """Whether :meth:`fit` was called, or a fitted state loaded."""
        return all(tail.fitted for tail in self.tails.values())

    @property
    def floors(self) -> dict[str, float]:
        """The lowest score of each channel that held-out training objects have."""
        return dict(zip(sorted(self.channels), self.floor.tolist(), strict=True))

    @property
    def by_place(self) -> dict[str, bool]:
        """Of each term that may be compared by place, whether it is; of none before a fit."""
        if self.local is None or not self.fitted:
            return {}
        return dict(zip(self.placed, self.local.used.tolist(), strict=True))

    @property
    def explained_by_place(self) -> dict[str, float]:
        """Of each term that may be compared by place: the share of its variance that place
        explains, by objects of other videos; of none before a fit."""
        if self.local is None or not self.fitted:
            return {}
        return dict(zip(self.placed, self.local.explained.tolist(), strict=True))

    def weigh(self, weights: Mapping[str, float]) -> None:
        """Set the weights of the channel ``all``, before it is fitted.

        Args:
            weights: Term to weight, at least 0, one of them above.
        """
        self.weights.copy_(torch.tensor([weights[name] for name in self._order]))

    @torch.no_grad()
    def fit(self, values: Mapping[str, Tensor], videos: Tensor, held_out: Tensor) -> list[str]:
        """Take the scale of training objects.

        Args:
            values: As :meth:`forward` takes them.
            videos: (n,) number of the video each object is from.
            held_out: (n,) bool, which objects no part of the model learned from.

        Returns:
            What a person should know of the fit, a sentence each.

        Raises:
            ValueError: If a quantity is missing or not finite, or too few objects are held out.
        """
        if not bool(held_out.any()):
            raise ValueError('scorer: no training object is held out; raise held_out')
        remarks, logs, unseen = [], {}, {}
        for name, term in self.terms.items():
            found, unseen[name] = term.fit(self._quantity(values, term.of), videos, held_out)
            logs[name] = _log(found)
        # What is said of several terms at once is taken on objects that none of them has seen.
        by_all = torch.stack(list(unseen.values())).all(dim=0)
        if self.local is not None:
            order = torch.randperm(len(videos), generator=torch.Generator().manual_seed(0))
            order = order.to(videos.device)
            scaled = self.local.fit(
                self._quantity(values, self.context),
                self._join(logs),
                groups_of(videos, held_out),
                order[by_all[order]],
            )
            logs |= self._split(scaled)
        surprisals, strata = {}, self._strata(values, videos)
        for name in self.terms:
            remarks += self._fit_tail(name, _ratio(logs[name]), strata, unseen[name])
            surprisals[name] = self.tails[name](_ratio(logs[name]), strata)
        for channel, parts in self.channels.items():
            if len(parts) > 1:
                remarks += self._fit_tail(channel, self._sum(surprisals, channel), strata, by_all)
        scores = self._channels(surprisals, strata)
        self.floor = torch.stack([scores[name][held_out].min() for name in sorted(scores)])
        return remarks

    def forward(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Scores of new objects.

        Args:
            values: Quantity to (n, ...); those that no term looks at may be missing.

        Returns:
            Channel to surprisals (n,), at least 0, in nats.

        Raises:
            RuntimeError: If it is not fitted.
            ValueError: If a quantity is missing or not finite.
        """
        if not self.fitted:
            raise RuntimeError('ObjectScorer: not fitted; run the stage calibrate first')
        logs = {
            name: _log(term(self._quantity(values, term.of))) for name, term in self.terms.items()
        }
        if self.local is not None:
            places = self._quantity(values, self.context)
            logs |= self._split(self.local(places, self._join(logs)))
        strata = self._strata(values, next(iter(logs.values())))
        return self._channels(
            {name: self.tails[name](_ratio(logs[name]), strata) for name in self.terms}, strata
        )

    def _strata(self, values: Mapping[str, Tensor], like: Tensor) -> Tensor:
        """(n,) which stratum each object is of."""
        if self.stratum is None:
            return torch.zeros_like(like, dtype=torch.int64)
        found = self._quantity(values, self.stratum)
        odd = found[(found != 0) & (found != 1)]
        if found.ndim != 1 or len(odd):
            got = f'shape {tuple(found.shape)}' if found.ndim != 1 else float(odd[0])
            raise ValueError(
                f'scorer.stratum: {self.stratum!r}: expected 0 or 1 of each object, got {got}'
            )
        return found.long()

    def _fit_tail(self, name: str, values: Tensor, strata: Tensor, unseen: Tensor) -> list[str]:
        try:
            remarks = self.tails[name].fit(values[unseen], strata[unseen])
        except ValueError as error:
            raise ValueError(f'scorer: {name}: {error}') from error
        return [f'scorer: {name}: {remark}' for remark in remarks]

    @staticmethod
    def _quantity(values: Mapping[str, Tensor], name: str) -> Tensor:
        if name not in values:
            raise ValueError(
                f'scorer.terms: a term looks at {name!r}, which is not measured; measured are '
                f'{sorted(values)}'
            )
        if not bool(torch.isfinite(values[name]).all()):
            raise ValueError(f'{name}: holds values that are not finite')
        return values[name]

    def _join(self, logs: Mapping[str, Tensor]) -> Tensor:
        return torch.stack([logs[name] for name in self.placed], dim=1)

    def _split(self, logs: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.placed, logs.unbind(dim=1), strict=True))

    def channel_weights(self, channel: str) -> dict[str, float]:
        """The terms that a channel sums, and their weights."""
        weights = dict(zip(self._order, self.weights.tolist(), strict=True))
        return {
            name: weights[name] if channel == 'all' else self.terms[name].weight
            for name in sorted(self.channels[channel])
        }

    def parts(self, surprisals: Mapping[str, Tensor], channel: str) -> dict[str, Tensor]:
        """What each term of a channel adds to its sum.

        Args:
            surprisals: Term to (n,).
            channel: Name of the channel.
        """
        weights = self.channel_weights(channel)
        return {name: weight * damped(surprisals[name]) for name, weight in weights.items()}

    def _sum(self, surprisals: Mapping[str, Tensor], channel: str) -> Tensor:
        return sum(self.parts(surprisals, channel).values())

    def _channels(self, surprisals: Mapping[str, Tensor], strata: Tensor) -> dict[str, Tensor]:
        return {
            channel: self.tails[channel](self._sum(surprisals, channel), strata)
            if len(parts) > 1
            else surprisals[parts[0]]
            for channel, parts in self.channels.items()
        }


def _log(found: Tensor) -> Tensor:
    return found.clamp(min=1e-12).log()


def _ratio(logs: Tensor) -> Tensor:
    """Back from logarithms; a tail at hand ends long before the bound."""
    return logs.clamp(max=60).exp()
