"""Pixel masks and tracks of one video, which annotation files refer to by path."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmvad.datasets.frames import IMAGE_SUFFIXES
from mmvad.evaluation.functional import MIN_REGION_AREA, mask_components
from mmvad.structures.mat_files import read_mat

from .findings import Note, Seen, by, few
from .frames import decode, examine_names
from .listing import Entry

UNKNOWN = -1  # of a mask that does not decode


@dataclass
class Masks:
    """What was seen of a video's masks, frame by frame.

    Args:
        filled: A value a frame: 1 where the mask is not empty, 0 where it is, or UNKNOWN.
        sizes: (H, W) to the number of masks, pixels.
        specks: Frame index and number of pixels of each component that is too small for a region.
    """

    filled: list[int] = field(default_factory=list)
    sizes: Counter = field(default_factory=Counter)
    specks: list[tuple[int, int]] = field(default_factory=list)

    def add(self, mask: np.ndarray | None) -> None:
        """Look at the mask (H, W) of the next frame; None: it does not decode."""
        if mask is None:
            self.filled.append(UNKNOWN)
            return
        frame = len(self.filled)
        self.filled.append(int(mask.any()))
        self.sizes[mask.shape[:2]] += 1
        # Whatever else a mask may be is told by its size.
        if self.filled[-1] and mask.ndim == 2:
            found = mask_components(mask[None] > 0)
            areas = found.areas[found.specks(MIN_REGION_AREA)]
            self.specks += [(frame, area) for area in areas.tolist()]


def examine_masks(
    entry: Entry, root: Path, seen: Seen, note: Note, severity: str = 'error'
) -> None:
    """Hold the pixel masks of a video against its frames and its intervals.

    Args:
        entry: The video.
        root: The dataset's folder.
        seen: What was seen of its frames; the number of masks that are not empty is added.
        note: Takes the findings.
        severity: Of intervals that disagree with the masks.
    """
    if entry.pixel_masks is None:
        return
    path = root / entry.pixel_masks
    if not path.exists():
        note('error', 'masks', f'{entry.pixel_masks}: no such file or folder')
        return
    if path.is_dir():
        masks = _mask_folder(path, note)
    elif path.suffix.lower() == '.npy':
        masks = _mask_array(path)
    elif path.suffix.lower() == '.mat':
        masks = _mask_cells(path)
    else:
        text = f'{path.name}: not examined, expected a folder, .npy or .mat'
        note('warning', 'masks', text)
        return
    _note_specks(masks.specks, note)
    filled = np.array(masks.filled, np.int8)
    seen.masked = int((filled == 1).sum())
    odd = {size: count for size, count in masks.sizes.items() if seen.size and size != seen.size}
    if odd:
        words = [f'{by(size)} in {count:,} masks' for size, count in odd.items()]
        note(
            'error', 'mask size', f'frames are {by(seen.size)} (H x W), but {few(words)}',
            frames=by(seen.size), masks={by(size): count for size, count in odd.items()},
        )  # fmt: skip
    frames = seen.frames if entry.num_frames is None else entry.num_frames
    if frames is None:
        return
    if len(filled) != frames:
        # Which mask belongs to which frame is then unknown: the intervals cannot be compared.
        note(
            'error', 'mask count', f'{len(filled):,} masks for {frames:,} frames',
            masks=len(filled), frames=frames,
        )  # fmt: skip
    elif entry.intervals is not None:
        _compare(filled, entry.intervals, note, severity)


def _note_specks(specks: Sequence[tuple[int, int]], note: Note) -> None:
    if not specks:
        return
    words = [f'{area} in frame {frame:,}' for frame, area in specks]
    text = (
        f'{len(specks):,} in the masks of fewer than {MIN_REGION_AREA} pixels ({few(words, 3)}): '
        'no regions of RBDC and TBDC, by default; labels stay'
    )
    note(
        'info', 'specks', text, min_region_area=MIN_REGION_AREA,
        specks=[dict(frame=frame, area=area) for frame, area in specks],
    )  # fmt: skip


def _compare(
    filled: np.ndarray, intervals: tuple[tuple[int, int], ...], note: Note, severity: str
) -> None:
    """(F,) masks, 1 where not empty, against the intervals."""
    labels = np.zeros(len(filled), np.int8)
    for start, end in intervals:
        labels[start:end] = 1
    spare = np.flatnonzero((filled == 1) & (labels == 0)).tolist()
    lack = np.flatnonzero((filled == 0) & (labels == 1)).tolist()
    if not spare and not lack:
        return
    parts = []
    if spare:
        parts.append(f'{len(spare):,} frames with a mask outside the intervals ({few(spare, 3)})')
    if lack:
        parts.append(f'{len(lack):,} frames without a mask inside ({few(lack, 3)})')
    for shift in (-1, 1):
        # The usual cause: numbers counted from 1 taken for numbers counted from 0.
        if len(labels) > 4 and np.array_equal(np.roll(labels, shift)[1:-1], filled[1:-1]):
            parts.insert(0, f'agree when the intervals are moved by {shift:+d}')
    note(severity, 'masks', '; '.join(parts), masks_only=spare, intervals_only=lack)


def _mask_folder(folder: Path, note: Note) -> Masks:
    """UCSD: one image a frame."""
    files = examine_names(folder, note, 'masks: ')
    masks, bad = Masks(), []
    for file in files:
        mask, wrong = decode(file, cv2.IMREAD_GRAYSCALE)
        masks.add(mask)
        if mask is None:
            bad.append((file.name, wrong))
    if bad:
        text = f'{len(bad):,} of {len(files):,} masks: {few([" ".join(b) for b in bad], 3)}'
        note('error', 'decoding', text, bad=len(bad), files=[name for name, _ in bad])
    if not files:
        suffixes = ', '.join(IMAGE_SUFFIXES)
        note('error', 'masks', f'{folder.name}: a folder without images ({suffixes})')
    return masks


def _mask_array(file: Path) -> Masks:
    """ShanghaiTech: (F, H, W). Read frame by frame: a video's masks may be larger than memory."""
    try:
        array = np.load(file, mmap_mode='r', allow_pickle=False)
    except ValueError as error:
        raise ValueError(f'{file.name}: not a plain .npy array: {error}') from error
    if array.ndim != 3:
        raise ValueError(f'{file.name}: expected masks (F, H, W), got shape {array.shape}')
    return _looked_at(array)


def _mask_cells(file: Path) -> Masks:
    """Avenue: ``volLabel``, 1 x F cells of (H, W)."""
    return _looked_at(read_mat(file, 'volLabel').ravel())


def _looked_at(array: Iterable[Any]) -> Masks:
    masks = Masks()
    for mask in array:
        masks.add(np.asarray(mask))
    return masks


def examine_tracks(entry: Entry, root: Path, note: Note) -> None:
    """Check that the frames of the tracks are frames of the video.

    Args:
        entry: The video.
        root: The dataset's folder.
        note: Takes the findings.
    """
    if entry.tracks is None:
        return
    path = root / entry.tracks
    if not path.is_file():
        note('error', 'tracks', f'{entry.tracks}: no such file')
        return
    if path.suffix.lower() not in ('.txt', '.csv'):
        note('info', 'tracks', f'{path.name}: not examined, expected .txt of id,start,end')
        return
    unread, outside = [], []
    for number, line in enumerate(path.read_text(errors='replace').splitlines(), 1):
        if not line.strip():
            continue
        try:
            _, start, end = map(float, re.split(r'[,\s]+', line.strip()))
        except ValueError:
            unread.append(number)
            continue
        # 0-based, both edges inclusive; written so that NaN is outside too.
        if not 0 <= start <= end < (entry.num_frames or np.inf):
            outside.append(line.strip())
    if unread:
        text = f'{path.name}: {len(unread):,} lines that are not id,start,end: {few(unread)}'
        note('warning', 'tracks', text, lines=unread)
    if outside:
        text = f'{path.name}: {len(outside):,} tracks outside the frames'
        if entry.num_frames:
            text += f' 0 to {entry.num_frames - 1:,}'
        note('error', 'tracks', f'{text}: {few(outside, 3)}', tracks=outside)
