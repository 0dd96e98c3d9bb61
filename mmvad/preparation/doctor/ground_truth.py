"""Pixel masks and tracks of one video, which annotation files refer to by path."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from mmvad.datasets.frames import IMAGE_SUFFIXES
from mmvad.structures.mat_files import read_mat

from .findings import Note, Seen, by, few
from .frames import decode, examine_names
from .listing import Entry

UNKNOWN = -1  # of a mask that does not decode


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
        filled, sizes = _mask_folder(path, note)
    elif path.suffix.lower() == '.npy':
        filled, sizes = _mask_array(path)
    elif path.suffix.lower() == '.mat':
        filled, sizes = _mask_cells(path)
    else:
        text = f'{path.name}: not examined, expected a folder, .npy or .mat'
        note('warning', 'masks', text)
        return
    seen.masked = int((filled == 1).sum())
    odd = {size: count for size, count in sizes.items() if seen.size and size != seen.size}
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


def _mask_folder(folder: Path, note: Note) -> tuple[np.ndarray, Counter]:
    """UCSD: one image a frame. Gives (F,) int8 and the sizes of the masks, as all readers here."""
    files = examine_names(folder, note, 'masks: ')
    filled, sizes, bad = np.full(len(files), UNKNOWN, np.int8), Counter(), []
    for index, file in enumerate(files):
        mask, wrong = decode(file, cv2.IMREAD_GRAYSCALE)
        if mask is None:
            bad.append((file.name, wrong))
            continue
        filled[index] = mask.any()
        sizes[mask.shape[:2]] += 1
    if bad:
        text = f'{len(bad):,} of {len(files):,} masks: {few([" ".join(b) for b in bad], 3)}'
        note('error', 'decoding', text, bad=len(bad), files=[name for name, _ in bad])
    if not files:
        suffixes = ', '.join(IMAGE_SUFFIXES)
        note('error', 'masks', f'{folder.name}: a folder without images ({suffixes})')
    return filled, sizes


def _mask_array(file: Path) -> tuple[np.ndarray, Counter]:
    """ShanghaiTech: (F, H, W). Read frame by frame: a video's masks may be larger than memory."""
    try:
        masks = np.load(file, mmap_mode='r', allow_pickle=False)
    except ValueError as error:
        raise ValueError(f'{file.name}: not a plain .npy array: {error}') from error
    if masks.ndim != 3:
        raise ValueError(f'{file.name}: expected masks (F, H, W), got shape {masks.shape}')
    filled = np.array([mask.any() for mask in masks], np.int8)
    return filled, Counter({masks.shape[1:]: len(masks)})


def _mask_cells(file: Path) -> tuple[np.ndarray, Counter]:
    """Avenue: ``volLabel``, 1 x F cells of (H, W)."""
    cells = read_mat(file, 'volLabel').ravel()
    filled = np.array([np.any(cell) for cell in cells], np.int8)
    return filled, Counter(np.shape(cell)[:2] for cell in cells)


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
