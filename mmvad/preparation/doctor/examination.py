"""Goes through the videos of an annotation file, and lets no exception pass."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from mmvad.preparation.published import published_of

from .findings import CannotExamine, Findings, Seen
from .frames import examine_frames, identify
from .ground_truth import examine_masks, examine_tracks
from .listing import Entry, read_folder, read_listing
from .report import Report
from .split import compare_splits, examine_split, totals


def examine(
    file: str | Path,
    root: str | Path | None = None,
    fast: bool = False,
    other: str | Path | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Report:
    """Examine a dataset.

    Args:
        file: Annotation file, see :mod:`mmvad.datasets.annotations`; or a plain folder of videos,
            or of folders of images, of which nothing is known.
        root: Folder of the dataset; None: that of the annotation file. None with a plain folder.
        fast: Decode the first, middle and last image of folders only, and the first frame of video
            files, whose others are counted without being decoded.
        other: Annotation file of another split, or its plain folder, whose videos must not be in
            this one. Its paths are below ``root`` too, if that is given, or else below its own
            folder.
        progress: Called with the number of videos done, of all, and the name of the next.

    Raises:
        CannotExamine: If there is no list of videos, or no folder.
    """
    file, findings = Path(file), Findings()
    if file.is_dir() and root is not None:
        raise CannotExamine(f'{file}: is a folder itself: root goes with an annotation file')
    folder, metainfo, entries = _listed(file, root, findings)
    others = None if other is None else _others(Path(other), root)

    # Labels of another published labelling disagree with the masks, and are no mistake.
    published = published_of(str(metainfo.get('dataset')), str(metainfo.get('split')))
    count = totals(entries)['abnormal']
    elsewhere = published.abnormal_elsewhere if published else None
    severity = 'warning' if count is not None and count == elsewhere else 'error'
    seen = []
    for number, entry in enumerate(entries):
        if progress:
            progress(number, len(entries), entry.video)
        one, note = Seen(entry.video), findings.of(entry.video)
        for what, examine_part in (
            ('frames', partial(examine_frames, entry, folder, fast, one, note)),
            ('masks', partial(examine_masks, entry, folder, one, note, severity)),
            ('tracks', partial(examine_tracks, entry, folder, note)),
        ):
            try:
                examine_part()
            except Exception as error:
                kind = type(error).__name__
                note('error', what, f'could not be examined: {kind}: {error}', exception=kind)
        seen.append(one)

    if not any(one.fingerprint for one in seen):
        text = f'nothing of {len(seen):,} videos is below {folder}: is it the right folder?'
        findings.of()('error', 'missing', text, videos=len(seen))
    examine_split(metainfo, entries, seen, findings)
    if others is not None:
        compare_splits(seen, others, str(other), findings)
    return Report(file, folder, fast, metainfo, entries, seen, findings)


def _listed(
    file: Path, root: str | Path | None, findings: Findings
) -> tuple[Path, dict[str, Any], list[Entry]]:
    """The folder that the videos are in, what is known of them together, and the videos."""
    if file.is_dir():
        return file, *read_folder(file)
    folder = Path(root) if root is not None else file.parent
    if not folder.is_dir():
        raise CannotExamine(f"{folder}: no such folder; expected the dataset's folder")
    return folder, *read_listing(file, findings)


def _others(file: Path, root: str | Path | None) -> list[Seen]:
    """By what the videos of another split are known again; its own faults are not told."""
    folder, _, entries = _listed(file, None if file.is_dir() else root, Findings())
    return [_identified(entry, folder) for entry in entries]


def _identified(entry: Entry, folder: Path) -> Seen:
    seen = Seen(entry.video)
    if entry.path is not None:
        try:
            identify(folder / entry.path, seen)
        except (OSError, ValueError):
            pass  # what cannot be read is not the same as what can
    return seen
