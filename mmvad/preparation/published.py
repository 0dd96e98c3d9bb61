"""Counts that the splits of the public datasets are known for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """Counts of a split; None where none is published."""

    videos: int | None = None
    frames: int | None = None
    abnormal: int | None = None
    #: Abnormal frames of another published labelling.
    abnormal_elsewhere: int | None = None

    def unlike(self, **counts: int | None) -> dict[str, str]:
        """What is published instead, in words, ``{name: words}`` of the counts that differ.

        Args:
            counts: By the names of the fields; None: not known, and left out. Abnormal frames
                may be those of either labelling.
        """
        found = {}
        for name, count in counts.items():
            expected = getattr(self, name)
            elsewhere = self.abnormal_elsewhere if name == 'abnormal' else None
            if None in (count, expected) or count in (expected, elsewhere):
                continue
            what = 'abnormal frames' if name == 'abnormal' else name
            found[name] = f'{count:,} {what}, published are {expected:,}'
            if elsewhere:
                found[name] += f' by the pixel masks and {elsewhere:,} by another labelling'
        return found


#: By the names of the dataset and of the split, as :func:`published_of` writes them.
PUBLISHED = {
    ('ucsd_ped1', 'training'): Published(34),
    ('ucsd_ped1', 'testing'): Published(36),
    ('ucsd_ped2', 'training'): Published(16),
    ('ucsd_ped2', 'testing'): Published(12, 2010, 1648),
    ('avenue', 'testing'): Published(21, 15324, 3712, abnormal_elsewhere=3867),
    ('shanghaitech', 'testing'): Published(107, 40791, 17326),
    ('ucf_crime', 'training'): Published(800),
    ('ucf_crime', 'testing'): Published(290),
    ('xd_violence', 'training'): Published(2049),
    ('xd_violence', 'testing'): Published(800),
    ('ubnormal', 'training'): Published(186),
    ('ubnormal', 'validation'): Published(64),
    ('ubnormal', 'testing'): Published(211),
}


def kind_of(split: str) -> str:
    """'training', 'testing', 'validation', or '' for a split with another name."""
    starts = {'train': 'training', 'test': 'testing', 'val': 'validation'}
    return next((kind for start, kind in starts.items() if split.lower().startswith(start)), '')


def published_of(dataset: str, split: str) -> Published | None:
    """The known counts of a split; the dataset's name in any case, with ``-`` or ``_``."""
    return PUBLISHED.get((dataset.lower().replace('-', '_'), kind_of(split)))
