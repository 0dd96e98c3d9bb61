"""What shows only when the videos of a split are seen together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from mmvad.preparation.published import kind_of, published_of

from .findings import Findings, Seen, by, few
from .listing import PLAIN, Entry

#: Categories of normal videos: '', and what UCF-Crime and XD-Violence ('A') call them.
NORMAL = re.compile(r'($|A$|(\w+_)?normal)', re.IGNORECASE)


def totals(entries: Sequence[Entry]) -> dict[str, int | None]:
    """Videos, frames and abnormal frames as annotated; None where some cannot be counted."""

    def total(numbers: list[int | None]) -> int | None:
        return None if None in numbers else sum(numbers)

    return dict(
        videos=len(entries),
        frames=total([entry.num_frames for entry in entries]),
        abnormal=total([entry.abnormal for entry in entries]),
    )


def examine_split(
    metainfo: dict[str, Any], entries: Sequence[Entry], seen: Sequence[Seen], findings: Findings
) -> None:
    """Examine the videos of a split together.

    Args:
        metainfo: Of the annotation file.
        entries: Its videos.
        seen: What was seen of each, in the same order.
        findings: Where to note.
    """
    _counts(metainfo, entries, findings)
    _labels(str(metainfo.get('split')), entries, findings)
    _spread(seen, findings)
    _twins(seen, findings)


def compare_splits(
    seen: Sequence[Seen], others: Sequence[Seen], name: str, findings: Findings
) -> None:
    """Note the videos that are also in another split.

    Args:
        seen: Videos of this split.
        others: Videos of the other.
        name: What to call the other.
        findings: Where to note.
    """
    places = {other.place: other.video for other in others if other.place}
    prints = {other.fingerprint: other.video for other in others if other.fingerprint}
    for one in seen:
        if one.place in places:
            other, why = places[one.place], 'the same path'
        elif one.fingerprint and one.fingerprint in prints:
            other, why = prints[one.fingerprint], 'files of the same size, first and last frame'
        else:
            continue
        text = f'also in {name}, as {other}: {why}'
        findings.of(one.video)('error', 'splits', text, other=other)


def _counts(metainfo: dict[str, Any], entries: Sequence[Entry], findings: Findings) -> None:
    published = published_of(str(metainfo.get('dataset')), str(metainfo.get('split')))
    if published is None:
        return
    note, counts = findings.of(), totals(entries)
    unlike = published.unlike(**counts)
    for name, count in counts.items():
        numbers = dict(annotated=count, published=getattr(published, name))
        if name in unlike:
            note('warning', 'counts', unlike[name], **numbers)
        elif name == 'abnormal' and count is not None and count == published.abnormal_elsewhere:
            text = (
                f'{count:,} abnormal frames are one published labelling, the pixel masks give '
                f'{published.abnormal:,}: figures of the two do not compare'
            )
            note('info', 'counts', text, **numbers)


def _labels(split: str, entries: Sequence[Entry], findings: Findings) -> None:
    if split == PLAIN:
        return
    kind = kind_of(split)
    if not kind:
        text = f'split {split!r}: neither training nor testing, labels are not checked against it'
        findings.of()('info', 'labels', text)
    for entry in entries:
        note, count = findings.of(entry.video), entry.abnormal
        if kind == 'training':
            if count:
                text = f'{count:,} abnormal frames; training videos must be normal'
                note('error', 'labels', text, abnormal=count)
            elif not NORMAL.match(entry.category):
                text = f'category {entry.category!r} but no intervals; training must be normal'
                note('warning', 'labels', text)
        elif count and count == entry.num_frames:
            text = f'all {count:,} frames are abnormal: a figure per video needs both kinds'
            note('info', 'labels', text, abnormal=count)
    if kind in ('testing', 'validation') and not any(entry.abnormal != 0 for entry in entries):
        text = f'no abnormal frame in {len(entries):,} videos: there is nothing to measure'
        findings.of()('warning', 'labels', text, videos=len(entries))


def _spread(seen: Sequence[Seen], findings: Findings) -> None:
    """Frame sizes and rates that differ among videos."""
    note = findings.of()
    sizes = grouped((one.size and by(one.size), one.video) for one in seen)
    if len(sizes) > 1:
        words = [f'{size} in {len(names):,} ({few(names, 3)})' for size, names in sizes.items()]
        note('warning', 'frame size', f'differ among videos, H x W: {few(words)}', sizes=sizes)
    rates = grouped((one.fps and f'{one.fps:g}', one.video) for one in seen)
    if len(rates) > 1:
        words = [f'{rate} in {len(names):,} ({few(names, 3)})' for rate, names in rates.items()]
        note('warning', 'frame rate', f'differ among videos, fps: {few(words)}', rates=rates)


def _twins(seen: Sequence[Seen], findings: Findings) -> None:
    """Videos listed twice, by name, by path or by content."""
    names = grouped((one.video, one.video) for one in seen)
    for name, same in names.items():
        if len(same) > 1:
            text = f'{len(same)} videos have this name'
            findings.of(name)('error', 'listed twice', text, times=len(same))
    places = grouped((one.place, one.video) for one in seen)
    for place, same in places.items():
        if len(same) > 1:
            text = f'the same path as {few(same[:-1])}: {place}'
            findings.of(same[-1])('error', 'listed twice', text, videos=same)
    # One place a print: videos at the same path are told about above.
    at = {one.place: one for one in seen if one.place}.values()
    for same in grouped((one.fingerprint, one.video) for one in at).values():
        if len(same) > 1:
            text = f'files of the same size, first and last frame as {few(same[:-1])}'
            findings.of(same[-1])('warning', 'copies', text, videos=same)


def grouped(pairs: Any) -> dict[Any, list[str]]:
    """``{key: names}`` of (key, name) pairs, keys of None left out, most names first."""
    groups: dict[Any, list[str]] = {}
    for key, name in pairs:
        if key is not None:
            groups.setdefault(key, []).append(name)
    return dict(sorted(groups.items(), key=lambda group: -len(group[1])))
