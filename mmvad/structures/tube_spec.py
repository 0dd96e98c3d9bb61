"""What an object tube is: the one place that pipelines, depths and channels follow from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any


@dataclass(frozen=True)
class TubeSpec:
    """How the tubes of a model are cut and what is measured on them (paper, section 3.1).

    A tube spans ``window`` + ``horizon`` consecutive frames and belongs to the last one.

    Args:
        window: L, input steps.
        horizon: Steps after the window that are predicted.
        crop_size: Side of the square crop, pixels (224 in the paper), or its (height, width). None:
            nothing is cropped, since nothing is learned from pixels.
        tokens: The transform that cuts visual tokens for the branches in place of crops, such as
            ``dict(type='CutTubeTokens', config=..., checkpoint=...)``. None: they see crops, as in
            the paper.
        flow: The transform that measures optical flow, such as
            ``dict(type='ComputeTubeFlow', pairs=2)``: crops or tokens then have two more channels.
            None: none, as in the paper.
        measure: Name to the transform that measures something else on the objects, such as
            ``dict(attributes=dict(type='MeasureAttributes'))``.
        strides: Strides, in frames, at which training tubes are described and learned from; more
            than (1,) shows them fast-forwarded too.

    Raises:
        ValueError: If a value is out of range; the message names the field.
    """

    window: int = 5
    horizon: int = 1
    crop_size: int | Sequence[int] | None = None
    tokens: Mapping[str, Any] | None = None
    flow: Mapping[str, Any] | None = None
    measure: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    strides: Sequence[int] = (1,)

    def __post_init__(self) -> None:
        for name in ('window', 'horizon'):
            value = getattr(self, name)
            if not (isinstance(value, int) and value >= 1):
                raise ValueError(f'model.tube.{name}: expected a whole number >= 1, got {value!r}')
        strides = tuple(self.strides)
        if not strides or any(not isinstance(s, int) or s < 1 for s in strides):
            raise ValueError(
                f'model.tube.strides: expected whole numbers >= 1, got {self.strides!r}'
            )
        if len(set(strides)) < len(strides):
            raise ValueError(f'model.tube.strides: {self.strides!r} names a stride twice')
        for name, example in (('flow', 'ComputeTubeFlow'), ('tokens', 'CutTubeTokens')):
            transform = getattr(self, name)
            if transform is not None and 'type' not in transform:
                raise ValueError(
                    f'model.tube.{name}.type: missing; expected a transform, such as {example!r}'
                )
        if self.tokens is not None and self.crop_size is not None:
            raise ValueError(
                'model.tube.crop_size: expected None, since model.tube.tokens cuts tokens in place '
                f'of crops, got {self.crop_size!r}'
            )
        size = self.crop_size
        if size is not None:
            size = (size, size) if isinstance(size, int) else tuple(size)
            if len(size) != 2 or any(not isinstance(s, int) or s < 8 for s in size):
                raise ValueError(
                    'model.tube.crop_size: expected one or two whole numbers >= 8 (pixels), got '
                    f'{self.crop_size!r}'
                )
        object.__setattr__(self, 'crop_size', size)
        object.__setattr__(self, 'strides', strides)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> TubeSpec:
        """From a config's ``model.tube``, or some of its fields.

        Raises:
            ValueError: If a key is none of the fields, or a value is out of range.
        """
        names = [f.name for f in fields(cls)]
        if unknown := [key for key in settings if key not in names]:
            near = get_close_matches(unknown[0], names, 1)
            hint = f'did you mean {near[0]!r}?' if near else f'there are {names}'
            raise ValueError(f'model.tube.{unknown[0]}: no such field; {hint}')
        return cls(**settings)

    @property
    def steps(self) -> int:
        """T: frames of a tube."""
        return self.window + self.horizon

    @property
    def first_scored(self) -> int:
        """0-based number of the first frame of a video that has a whole tube."""
        return self.steps - 1

    @property
    def gives(self) -> str | None:
        """What branches can look at: ``'crops'``, ``'tokens'`` or nothing."""
        return 'tokens' if self.tokens is not None else 'crops' if self.crop_size else None

    @property
    def channels(self) -> int:
        """C of a crop: 3 (RGB), or 5 with flow."""
        return 3 if self.flow is None else 5
