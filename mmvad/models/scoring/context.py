"""What is usual where an object is, and in the whole view: a scale of each term by both.

Shape letters: n objects, M reference objects, P numbers that say where an object is, J terms.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .fitted import FittedModule
from .nearest import nearest

# Of the logarithm: spreads below 10 % of a distance are noise of the few neighbours.
_LEAST_SPREAD = 0.1
#: Share of a term's variance that place must explain to count.
LEAST_EXPLAINED = 0.02


class LocalScale(FittedModule):
    """How far a term's logarithm is from its mean, in standard deviations: half of it among the
    training objects nearest in context, half among all.

    Far off, objects are small and all that is measured of them is rough; by the frame's edge they
    are cut; in front, everything moves more. One scale for the whole view lets the roughest place
    raise the false alarms of all. The scale of the place alone forgives what is usual nowhere but
    there, and rests on few objects. Each is wrong somewhere, and which of the two a camera's term
    wants could not be told without labels: so both count, half each.

    On a camera that moves, place says nothing. Training objects decide: where those of other videos
    in a like place explain next to nothing of a term's variance, only the whole view counts.

    Args:
        neighbours: Nearest reference objects whose terms are taken.
        num_reference: M, training objects that are kept.
    """

    def __init__(self, neighbours: int = 200, num_reference: int = 6000) -> None:
        super().__init__()
        self.neighbours = neighbours
        self.num_reference = num_reference
        self.register_buffer('context', torch.zeros(2, 0))  # mean, standard deviation
        self.register_buffer('places', torch.zeros(0, 0))  # (M, P), standardised
        self.register_buffer('logs', torch.zeros(0, 0))  # (M, J)
        # Of each term: its share of variance that place explains, whether it is compared by it, and
        # its mean and standard deviation.
        self.register_buffer('explained', torch.zeros(0))
        self.register_buffer('used', torch.zeros(0, dtype=torch.bool))
        self.register_buffer('overall', torch.zeros(2, 0))

    def fit(
        self,
        places: Tensor,
        logs: Tensor,
        groups: Tensor,
        picks: Tensor,
    ) -> Tensor:
        """Take the training objects.

        Args:
            places: (n, P).
            logs: (n, J) logarithms of the terms.
            groups: (n,) number of the video each object is from.
            picks: (m,) objects to choose the reference objects among, in random order.

        Returns:
            (n, J): as :meth:`forward`, by reference objects of other videos.
        """
        self.context = torch.stack([places.mean(dim=0), places.std(dim=0).clamp(min=1e-6)])
        picks = picks[: self.num_reference]
        self.places, self.logs = self._standard(places[picks]), logs[picks].float()
        seen = logs.float()[picks]
        self.overall = torch.stack([seen.mean(dim=0), seen.std(dim=0)])
        scaled, usual = self._scaled(places, logs, groups, groups[picks])
        missed = (logs.float() - usual)[picks].var(dim=0)
        self.explained = 1 - missed / self.overall[1].square().clamp(min=1e-12)
        self.used = self.explained >= LEAST_EXPLAINED
        return self._joined(scaled, logs)

    def forward(self, places: Tensor, logs: Tensor) -> Tensor:
        """(n, P) and (n, J) logarithms to (n, J) standard scores."""
        return self._joined(self._scaled(places, logs)[0], logs)

    def _joined(self, scaled: Tensor, logs: Tensor) -> Tensor:
        """By the whole view, and where place explains something half by place."""
        mean, spread = self.overall
        whole = (logs.float() - mean) / (spread + _LEAST_SPREAD)
        return torch.where(self.used, (scaled + whole) / 2, whole)

    def _standard(self, places: Tensor) -> Tensor:
        return (places.float() - self.context[0]) / self.context[1]

    def _scaled(
        self,
        places: Tensor,
        logs: Tensor,
        groups: Tensor | None = None,
        owners: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(n, J) standard scores by place, and (n, J) what is usual there."""
        scaled, means = [], []
        count = min(self.neighbours, len(self.places))
        for rows, distances, index in nearest(
            places, self._standard, self.places, count, groups, owners
        ):
            here = distances.isfinite()[..., None]
            usual = self.logs[index]
            total = here.sum(dim=1).clamp(min=1)
            mean = (usual * here).sum(dim=1) / total
            spread = (((usual - mean[:, None]) ** 2 * here).sum(dim=1) / total).sqrt()
            scaled.append((logs[rows].float() - mean) / (spread + _LEAST_SPREAD))
            means.append(mean)
        return (torch.cat(scaled), torch.cat(means)) if scaled else (logs.float(), logs.float())
