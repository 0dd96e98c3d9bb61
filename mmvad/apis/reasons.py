"""Why an object scores high, in a sentence and in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmvad.methods.objects.model_file import origins_of
from mmvad.methods.objects.why import readings_of, said
from mmvad.models import ObjectVAD

# Measured values that a sentence tells, at most, and the share of the difference that is worth it.
_TOLD, _WORTH = 2, 0.15


@dataclass(frozen=True)
class Reason:
    """Why one object scores high; see :class:`~mmvad.structures.Event` for the fields."""

    kind: str = ''
    why: str = 'No object is there; the frames about it have one.'
    shares: Mapping[str, float] = field(default_factory=dict)
    values: tuple[Mapping[str, Any], ...] = ()
    nearest: tuple[Mapping[str, Any], ...] = ()


class Reasons:
    """Says of objects why they score high.

    Args:
        model: What scores them.
        channel: The score.
        path: The model's file, which says where its training objects are from; None: not known.
    """

    def __init__(self, model: ObjectVAD, channel: str, path: str | Path | None = None) -> None:
        self.model, self.channel = model, channel
        self._origins = None if path is None else origins_of(path)

    @torch.no_grad()
    def __call__(self, measured: Mapping[str, Tensor], row: int, box: np.ndarray) -> Reason:
        """The reason of one object.

        Args:
            measured: Name to (n, ...), of the objects of its frame.
            row: Which of them it is.
            box: (4,) xyxy, pixels.
        """
        scorer = self.model.scorer
        one = {name: values[row : row + 1] for name, values in measured.items()}
        values = self.model.all_quantities(one)
        added = {
            name: float(part[0])
            for name, part in scorer.parts(scorer(values), self.channel).items()
        }
        total = sum(added.values())
        if total <= 0:
            return Reason(why='Nothing about it is unusual.', shares=dict.fromkeys(added, 0.0))
        shares = {name: round(part / total, 4) for name, part in added.items()}
        kind = max(sorted(shares), key=lambda name: shares[name])
        term = scorer.terms[kind]
        readings = readings_of(self.model, term.of)
        (more,) = said(term, values[term.of], [box], self._origins, readings)
        told, nearest = more.get('values', ()), more.get('nearest', ())
        return Reason(kind, _sentence(kind, told, nearest), shares, tuple(told), tuple(nearest))


def _sentence(
    kind: str, values: tuple[Mapping[str, Any], ...], nearest: tuple[Mapping[str, Any], ...]
) -> str:
    """What a person reads."""
    ordered = sorted(values, key=lambda value: -value.get('share', 1.0))
    worth = [v for v in ordered[:_TOLD] if v.get('share', 1.0) >= _WORTH] or ordered[:1]
    if worth:
        return f'Unusual {kind}: {"; ".join(map(_told, worth))}.'
    if nearest:
        first = nearest[0]
        return (
            f'Unusual {kind}: of all that training shows, most like frame {first["frame"]} of '
            f'{first["video"]}, and not much.'
        )
    return f'Unusual {kind}.'


def _told(value: Mapping[str, Any]) -> str:
    text = f'{value["name"]} {value["value"]:.3g} {value["unit"]}'
    if 'usual' in value:
        low, high = value['usual']
        text += f' (usual there {low:.3g} to {high:.3g})'
    return text
