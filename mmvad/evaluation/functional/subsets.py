"""Parts of test sets on which human-related anomalies are scored alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

#: Subset to what it leaves out: video to frame ranges (0-based, both ends included), or to None
#: for the whole video.
SUBSETS: dict[str, dict[str, tuple[tuple[int, int], ...] | None]] = {
    'hr_shanghaitech': dict.fromkeys(
        ('01_0130', '01_0135', '01_0136', '06_0144', '06_0145', '12_0152')
    ),
    'hr_avenue': {
        '01': ((75, 120), (390, 436), (864, 910), (931, 1000)),
        '02': ((272, 319), (723, 763)),
        '03': ((293, 340),),
        '06': ((561, 624), (814, 1006)),
        '16': ((728, 739),),
    },
}


def kept_frames(subset: str | None, lengths: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Which frames of a test set a subset scores.

    Args:
        subset: Name in :data:`SUBSETS`; None keeps everything.
        lengths: Number of frames of each video.

    Returns:
        Video to (F,) bool; videos that are left out whole are not in it.

    Raises:
        ValueError: If there is no such subset, the test set lacks a video that it names, or a range
            lies outside its video.
    """
    kept = {video: np.ones(length, bool) for video, length in lengths.items()}
    if subset is None:
        return kept
    if subset not in SUBSETS:
        raise ValueError(f'subset: expected one of {sorted(SUBSETS)}, got {subset!r}')
    for video, ranges in SUBSETS[subset].items():
        if video not in lengths:
            raise ValueError(
                f'subset {subset}: it leaves out (parts of) video {video!r}, which the test set '
                f'of {len(lengths)} videos does not have'
            )
        if ranges is None:
            del kept[video]
            continue
        for first, last in ranges:
            if last >= lengths[video]:
                raise ValueError(
                    f'subset {subset}: it leaves out frames {first} to {last} of video {video!r}, '
                    f'which has {lengths[video]} frames'
                )
            kept[video][first : last + 1] = False
    return kept
