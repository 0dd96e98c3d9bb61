"""From what is measured on objects to object scores on the training set's scale.

Shape letters: n objects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from mmengine.model import BaseModule, ModuleDict
from torch import Tensor

from mmvad.registry import MODELS


@MODELS.register_module()
class ObjectScorer(BaseModule):
    """Object scores, fitted on training objects only.

    The log of each term is brought to mean 0 and standard deviation 1 over training objects that
    are as good as never seen. Channels are weighted sums of these, scaled by the norm of their
    weights: each term by itself, ``all``, and those that ``channels`` names.

    Args:
        terms: Name to the config of a :class:`~mmvad.models.scoring.ScoreTerm`.
        channels: Name of a further channel to the terms it sums.

    Raises:
        ValueError: If there are no terms, or a channel takes a name twice or names no term.
    """

    def __init__(
        self,
        terms: Mapping[str, dict],
        channels: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__()
        if not terms:
            raise ValueError('scorer.terms: expected at least one term')
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
        # In the order of the channels' names.
        self.register_buffer('floor', torch.zeros(len(self.channels)))

    @property
    def quantities(self) -> set[str]:
        """The quantities that the terms look at."""
        return {term.of for term in self.terms.values()}

    @property
    def resizable(self) -> list[str]:
        """Names of the buffers that take the training set's size."""
        return [name for name, _ in self.named_buffers() if '.' in name]

    @property
    def fitted(self) -> bool:
        """Whether :meth:`fit` was called, or a fitted state loaded."""
        return all(bool(term.scale.any()) for term in self.terms.values())

    @property
    def floors(self) -> dict[str, float]:
        """The lowest score of each channel that held-out training objects have."""
        return dict(zip(sorted(self.channels), self.floor.tolist(), strict=True))

    @torch.no_grad()
    def fit(self, values: Mapping[str, Tensor], videos: Tensor, held_out: Tensor) -> None:
        """Take the scale of training objects.

        Args:
            values: As :meth:`forward` takes them.
            videos: (n,) number of the video each object is from.
            held_out: (n,) bool, which objects no part of the model learned from.

        Raises:
            ValueError: If a quantity is missing or not finite, or no object is held out.
        """
        if not bool(held_out.any()):
            raise ValueError('scorer: no training object is held out; raise held_out')
        logs = {}
        for name, term in self.terms.items():
            found, unseen = term.fit(self._quantity(values, term.of), videos, held_out)
            logs[name] = found.clamp(min=1e-12).log()
            seen_as_new = logs[name][unseen]
            term.scale = torch.stack([seen_as_new.mean(), seen_as_new.std().clamp(min=1e-6)])
            if not bool(torch.isfinite(term.scale).all()):
                raise ValueError(
                    f'scorer.terms.{name}: no scale can be taken on {len(seen_as_new)} objects '
                    'not seen in training; give more training video'
                )
        sums = self._sum(logs)
        self.floor = torch.stack([sums[name][held_out].min() for name in sorted(sums)])

    def forward(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Scores of new objects.

        Args:
            values: Quantity to (n, ...); those that no term looks at may be missing.

        Returns:
            Channel to scores (n,).

        Raises:
            RuntimeError: If it is not fitted.
            ValueError: If a quantity is missing or not finite.
        """
        if not self.fitted:
            raise RuntimeError('ObjectScorer: not fitted; run the stage calibrate first')
        logs = {
            name: term(self._quantity(values, term.of)).clamp(min=1e-12).log()
            for name, term in self.terms.items()
        }
        return self._sum(logs)

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

    def _sum(self, logs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        scores = {}
        for channel, parts in self.channels.items():
            terms = [self.terms[name] for name in parts]
            weights = logs[parts[0]].new_tensor([term.weight for term in terms])
            standard = [
                (logs[name] - term.scale[0]) / term.scale[1]
                for name, term in zip(parts, terms, strict=True)
            ]
            scores[channel] = weights @ torch.stack(standard) / weights.norm()
        return scores
