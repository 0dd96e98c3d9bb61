"""Which videos there are: by a plain folder, or by an annotation file, read so that one bad line
does not hide the others."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mmvad.datasets import find_videos
from mmvad.datasets.annotations import METAINFO, VideoAnnotation, read_annotations
from mmvad.structures.text_files import parse_json, read_text

from .findings import CannotExamine, Findings, Note

_NEEDED = ('video', 'path', 'num_frames')
#: What is said in place of the split of a plain folder, whose videos have no labels.
PLAIN = 'without annotations'
_KNOWN = tuple(field.name for field in fields(VideoAnnotation))


@dataclass
class Entry:
    """One video as listed, see :class:`~mmvad.datasets.annotations.VideoAnnotation`; None where
    the file has no value, or one that is refused."""

    video: str
    path: str | None = None
    num_frames: int | None = None
    intervals: tuple[tuple[int, int], ...] | None = None
    scene: str = ''
    category: str = ''
    pixel_masks: str | None = None
    tracks: str | None = None

    @property
    def abnormal(self) -> int | None:
        """Number of abnormal frames; added up, because a wrong ``num_frames`` may be huge."""
        return None if self.intervals is None else sum(end - start for start, end in self.intervals)


def read_listing(file: Path, findings: Findings) -> tuple[dict[str, Any], list[Entry]]:
    """Read an annotation file; what :func:`~mmvad.datasets.annotations.read_annotations` would
    refuse is noted in ``findings``, and the rest is kept.

    Returns:
        ``metainfo`` and the videos.

    Raises:
        CannotExamine: If there is no list of videos.
    """
    try:
        content = parse_json(read_text(file), file)
    except FileNotFoundError as error:
        raise CannotExamine(f'{file}: no such annotation file') from error
    except OSError as error:
        raise CannotExamine(f'{file}: cannot be read: {error.strerror}') from error
    except ValueError as error:
        raise CannotExamine(str(error)) from error
    rows = content.get('data_list') if isinstance(content, dict) else None
    if not isinstance(rows, list) or not rows:
        raise CannotExamine(f'{file}: expected an object whose data_list holds at least one video')
    before = len(findings)
    note = findings.of()
    if unknown := sorted(set(content) - {'metainfo', 'data_list'}):
        note('error', 'annotation', f'unknown fields {unknown} beside metainfo and data_list')
    metainfo = content.get('metainfo')
    metainfo = metainfo if isinstance(metainfo, dict) else {}
    if missing := [key for key in METAINFO if key not in metainfo]:
        note('error', 'annotation', f'metainfo: missing {missing}')
    entries = []
    for number, row in enumerate(rows):
        place = f'data_list[{number}]'
        if not isinstance(row, dict):
            findings.of(place)('error', 'annotation', f'expected an object, got {row!r:.50}')
            continue
        name = row.get('video')
        name = name if isinstance(name, str) and name else place
        entries.append(_entry(name, row, findings.of(name)))
    if len(findings) == before:
        # The checks here follow those of the reader; what they leave out must still be told.
        try:
            read_annotations(file)
        except Exception as error:
            # Names listed twice are told about by the checks of the split.
            if 'named twice' not in str(error):
                note('error', 'annotation', f'refused: {error}')
    return metainfo, entries


def read_folder(folder: Path) -> tuple[dict[str, Any], list[Entry]]:
    """The videos below a plain folder, however deep: video files, and folders of images.

    Returns:
        ``metainfo`` and the videos, as :func:`read_listing` does; nothing is known of labels.

    Raises:
        CannotExamine: If there is none.
    """
    try:
        found = find_videos(folder)
    except (ValueError, OSError) as error:
        raise CannotExamine(str(error)) from error
    entries = [Entry(video, path.relative_to(folder).as_posix()) for video, path in found.items()]
    return dict(dataset=folder.resolve().name, split=PLAIN), entries


def _entry(name: str, row: dict[str, Any], note: Note) -> Entry:
    """Tries each field on its own, among good ones, so that all that are off are noted."""
    entry = Entry(name)
    if unknown := sorted(set(row) - set(_KNOWN)):
        note('error', 'annotation', f'unknown fields {unknown}')
    for field in _KNOWN:
        if field not in row:
            if field in _NEEDED:
                note('error', 'annotation', f'{field}: missing')
            elif field == 'intervals':
                entry.intervals = ()
            continue
        good: dict[str, Any] = dict(
            video=name, path='.', num_frames=entry.num_frames or sys.maxsize
        )
        try:
            annotation = VideoAnnotation(**{**good, field: row[field]})
        except (ValueError, TypeError) as error:
            text = str(error) if str(error).startswith(field) else f'{field}: {error}'
            numbers = {'num_frames': entry.num_frames, field: row[field]}
            note('error', _check(field), text, **numbers)
            continue
        setattr(entry, field, getattr(annotation, field))
    return entry


def _check(field: str) -> str:
    if field in ('path', 'pixel_masks', 'tracks'):
        return 'path'
    return 'intervals' if field == 'intervals' else 'annotation'
