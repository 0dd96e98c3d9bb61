"""The doctor's report, for a person and for a script."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from mmvad.preparation.published import published_of

from .findings import SEVERITIES, Finding, Findings, Seen, by, few
from .listing import Entry
from .split import grouped, totals

CUT = 160  # characters of a message in the table
MOST = 8  # lines of one check in the table


@dataclass(frozen=True)
class Report:
    """What the doctor found.

    Args:
        file: The annotation file.
        root: The dataset's folder.
        fast: Whether only some frames were decoded.
        metainfo: Of the annotation file.
        entries: The videos as listed.
        seen: What was seen of each, in the same order.
        findings: All that is to be said.
    """

    file: Path
    root: Path
    fast: bool
    metainfo: dict[str, Any]
    entries: Sequence[Entry]
    seen: Sequence[Seen]
    findings: Findings

    @property
    def exit_code(self) -> int:
        """1 if there are errors, else 0."""
        return int(any(finding.severity == 'error' for finding in self.findings))

    @property
    def summary(self) -> dict[str, Any]:
        """Counts of the split: as annotated, as found, and as published; None: not known."""
        found = [one.frames for one in self.seen]
        masked = [
            0 if entry.pixel_masks is None and not entry.abnormal else one.masked
            for entry, one in zip(self.entries, self.seen, strict=True)
        ]
        has_masks = any(one.masked is not None for one in self.seen)
        dataset, split = self.metainfo.get('dataset'), self.metainfo.get('split')
        published = published_of(str(dataset), str(split))
        names = ('videos', 'frames', 'abnormal')
        return dict(
            dataset=dataset,
            split=split,
            annotated=totals(self.entries),
            found=dict(
                videos=sum(bool(frames) for frames in found),
                frames=None if None in found else sum(found),
                abnormal=sum(masked) if has_masks and None not in masked else None,
            ),
            published={name: getattr(published, name, None) for name in names},
            sizes=_counted((one.size and by(one.size), one.video) for one in self.seen),
            rates=_counted((one.fps and f'{one.fps:g}', one.video) for one in self.seen),
        )

    def json(self) -> str:
        """All findings, for a script."""
        content = dict(
            file=str(self.file),
            root=str(self.root),
            fast=self.fast,
            exit_code=self.exit_code,
            summary=self.summary,
            findings=[asdict(finding) for finding in self.findings],
        )
        return json.dumps(content, indent=1, default=str)

    def text(self) -> str:
        """A summary and tables of the findings, for a person; long lists are cut."""
        blocks = [self._head()]
        counts = []
        for severity in SEVERITIES:
            found = [finding for finding in self.findings if finding.severity == severity]
            counts.append(_several(severity, len(found)))
            if found:
                blocks.append(_block(severity, found))
        blocks.append(', '.join(counts))
        return '\n\n'.join(blocks)

    def _head(self) -> str:
        summary = self.summary
        lines = [
            f'{summary["dataset"]}, {summary["split"]}: {self.file} below {self.root}',
            f'{"":10}{"annotated":>12}{"found":>12}{"published":>12}',
        ]
        for name in ('videos', 'frames', 'abnormal'):
            cells = [summary[column][name] for column in ('annotated', 'found', 'published')]
            cells = ''.join(f'{"-" if c is None else format(c, ","):>12}' for c in cells)
            lines.append(f'{name:10}{cells}')
        if summary['found']['abnormal'] is not None:
            lines[-1] += '  (found: by pixel masks)'
        for name, unit in (('sizes', '(H x W)'), ('rates', 'fps')):
            items = [f'{value} {unit} in {count:,}' for value, count in summary[name].items()]
            lines.append(f'{name:10}   {few(items) or "-"}')
        some = 'first, middle and last image, first frame of video files (fast)'
        lines.append(f'{"decoded":10}   {some if self.fast else "every frame"}')
        return '\n'.join(lines)


def _counted(pairs: Any) -> dict[str, int]:
    return {key: len(names) for key, names in grouped(pairs).items()}


def _block(severity: str, found: list[Finding]) -> str:
    """A table of findings; each check is cut on its own, so that none hides another."""
    wide = max(7, min(48, max(len(f.video) for f in found)))
    rows = [f'{_several(severity, len(found))}:']
    # The order of first appearance, so that what concerns the annotation file comes first.
    order = list(dict.fromkeys(f.check for f in found))
    for check, group in groupby(sorted(found, key=lambda f: order.index(f.check)), _check_of):
        group = list(group)
        for f in group[:MOST]:
            message = ' '.join(f.message.split())
            message = message if len(message) <= CUT else message[: CUT - 4] + ' ...'
            rows.append(f'  {f.check:14}{f.video or "(split)":{wide}}  {message}')
        if len(group) > MOST:
            rows.append(f'  {check:14}... and {len(group) - MOST:,} more')
    return '\n'.join(rows)


def _several(severity: str, count: int) -> str:
    return f'{count:,} {severity}{"" if severity == "info" or count == 1 else "s"}'


def _check_of(finding: Finding) -> str:
    return finding.check
