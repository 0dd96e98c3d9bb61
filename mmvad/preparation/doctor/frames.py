"""The frames of one video: are they all there, and do they decode?"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from zlib import crc32

import cv2
import numpy as np

from mmvad.datasets.frame_check import EMPTY, FrameCheck, FrameLimits, is_flat
from mmvad.datasets.frames import (
    IMAGE_FLAGS,
    default_range,
    is_hidden,
    list_images,
    missing_numbers,
    number_in,
    read_image,
    to_eight_bits,
)
from mmvad.datasets.video_file import VideoFile

from .findings import Note, Seen, by, few
from .listing import Entry


def examine_frames(entry: Entry, root: Path, fast: bool, seen: Seen, note: Note) -> None:
    """Examine the frames of a video.

    Args:
        entry: The video.
        root: The dataset's folder.
        fast: Decode three images of a folder, and one frame of a video file.
        seen: Where to write down what was seen.
        note: Takes the findings.
    """
    if entry.path is None:
        return
    path = root / entry.path
    identify(path, seen)
    if path.is_dir():
        _examine_folder(path, fast, seen, note)
    elif path.is_file():
        _examine_file(path, fast, seen, note)
    else:
        note('error', 'missing', f'{entry.path}: no such folder of frames or video file')
        return
    # A video without frames is told about already.
    if not seen.frames or entry.num_frames is None:
        return
    if seen.frames != entry.num_frames:
        note(
            'error', 'frame count', f'{entry.num_frames:,} annotated, {seen.frames:,} there',
            annotated=entry.num_frames, found=seen.frames,
        )  # fmt: skip
    if entry.intervals and entry.intervals[-1][1] > seen.frames:
        end = entry.intervals[-1][1]
        note(
            'error', 'intervals', f'reach to frame {end:,}, but {seen.frames:,} are there',
            end=end, found=seen.frames,
        )  # fmt: skip


def identify(path: Path, seen: Seen) -> None:
    """Write down by what a video is known again; costs little, nothing is decoded."""
    seen.place = os.path.realpath(path)
    if path.is_dir() and (files := list_images(path)):
        size = sum(file.stat().st_size for file in files)
        seen.fingerprint = (len(files), size, _hash(files[0]), _hash(files[-1]))
    elif path.is_file():
        seen.fingerprint = (path.stat().st_size, _hash(path))


def examine_names(folder: Path, note: Note, what: str = '') -> list[Path]:
    """Look at the names of a folder's images, by whose numbers they are ordered.

    Args:
        folder: The folder.
        note: Takes the findings.
        what: What the images are, if not frames; goes before the messages.

    Returns:
        The images in order.
    """
    files = list_images(folder)
    if hidden := sorted(p.name for p in folder.iterdir() if is_hidden(p)):
        text = f'{what}{len(hidden):,} that are not read: {few(hidden)}'
        note('info', 'hidden files', text, files=hidden)
    suffixes = Counter(file.suffix for file in files)
    if len(suffixes) > 1:
        kinds = [f'{count:,} {suffix}' for suffix, count in suffixes.most_common()]
        note(
            'warning', 'suffixes', f'{what}images of several: {few(kinds)}', suffixes=dict(suffixes)
        )
    found = {file: number_in(file) for file in files}
    if without := [file.name for file, number in found.items() if number is None]:
        text = f'{what}{len(without):,} images without a number in their names: {few(without)}'
        note('warning', 'numbers', text, files=without)
    names: dict[int, list[str]] = {}
    for file, number in found.items():
        if number is not None:
            names.setdefault(number, []).append(file.name)
    if twice := {number: same for number, same in names.items() if len(same) > 1}:
        same = [' = '.join(group) for group in twice.values()]
        text = f'{what}{len(twice):,} numbers twice: {few(same, 3)}'
        note('error', 'numbers', text, files=list(twice.values()))
    _note_gaps(files, sorted(names), note, what)
    return files


def _note_gaps(files: Sequence[Path], numbers: Sequence[int], note: Note, what: str) -> None:
    steps = [after - before for before, after in pairwise(numbers)]
    if not steps:
        return
    if min(steps) == max(steps) > 1:
        text = f'{what}every {steps[0]}th number, {numbers[0]} to {numbers[-1]}'
        note('info', 'numbers', text, step=steps[0])
        return
    if gaps := missing_numbers(files):
        count = sum(end - start + 1 for start, end in gaps)
        words = [str(start) if start == end else f'{start}-{end}' for start, end in gaps]
        text = f'{what}{count:,} numbers missing of {numbers[0]} to {numbers[-1]}: {few(words)}'
        note('warning', 'numbers', text, missing=count, gaps=gaps)


def decode(file: Path, flags: int = cv2.IMREAD_COLOR) -> tuple[np.ndarray | None, str]:
    """An image and '', or None and what is wrong with it."""
    try:
        return read_image(file, flags), ''
    except ValueError as error:
        return None, str(error).removeprefix(f'{file}: ')
    except (OSError, cv2.error) as error:
        return None, f'cannot be read: {error}'


def _examine_folder(folder: Path, fast: bool, seen: Seen, note: Note) -> None:
    files = examine_names(folder, note)
    seen.frames = len(files)
    if not files:
        note('error', 'empty', f'{folder.name}: a folder without images')
        return
    chosen = sorted({0, len(files) // 2, len(files) - 1}) if fast else range(len(files))
    first, _ = decode(files[0], IMAGE_FLAGS)
    deep = first is not None and first.dtype == np.uint16
    scale = default_range(first) if deep else None

    def look(index: int) -> tuple[tuple[int, int] | None, str, bool, int]:
        image, wrong = decode(files[index], IMAGE_FLAGS)
        if image is None:
            return None, wrong, False, -index
        if scale and image.dtype == np.uint16:
            image = to_eight_bits(image, *scale)
        return image.shape[:2], wrong, is_flat(image), crc32(np.ascontiguousarray(image))

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        found = list(pool.map(look, chosen))
    looks = [(size, wrong) for size, wrong, _, _ in found]
    if not fast:
        check = FrameCheck()
        for _, _, flat, checksum in found:
            check.add(flat, checksum)
        _note_empty(check, note, scale)
    bad = [(files[i].name, wrong) for i, (_, wrong) in zip(chosen, looks, strict=True) if wrong]
    if bad:
        text = f'{len(bad):,} of {len(looks):,} images: {few([" ".join(b) for b in bad], 3)}'
        note('error', 'decoding', text, bad=len(bad), files=[name for name, _ in bad])
    sizes = Counter(size for size, _ in looks if size)
    if sizes:
        seen.size = sizes.most_common(1)[0][0]
    if len(sizes) > 1:
        first = {}
        for index, (size, _) in zip(chosen, looks, strict=True):
            first.setdefault(size, files[index].name)
        words = [f'{by(s)} in {n:,} (first {first[s]})' for s, n in sizes.most_common()]
        note(
            'error', 'frame size', f'mixed, H x W: {few(words)}',
            sizes={by(size): count for size, count in sizes.items()},
        )  # fmt: skip


def _note_empty(
    check: FrameCheck, note: Note, scaled_from: tuple[float, float] | None = None
) -> None:
    """Tell of frames that show nothing; an error where a run would refuse the video."""
    for name, count, too_many in check.found(FrameLimits()):
        text = f'{count:,} of {check.seen:,} {EMPTY[name]}'
        if scaled_from:
            text += ', where values {:g} to {:g} become 0 to 255 (value_range)'.format(*scaled_from)
        note('error' if too_many else 'info', f'{name} frames', text, **{name: count})


def _examine_file(file: Path, fast: bool, seen: Seen, note: Note) -> None:
    try:
        video = VideoFile(file)
        seen.size = video[0].shape[:2]
    except (ValueError, OSError) as error:
        note('error', 'decoding', f'{file.name}: does not decode as a video: {error}')
        return
    seen.fps = round(video.fps, 3) or None
    seen.frames = len(video)
    if not fast:
        check = FrameCheck()
        for number in range(len(video)):
            check.look(video[number])
        _note_empty(check, note)
    if count := len(video.damaged) + video.lacking:
        total = len(video) + video.lacking
        severity = 'error' if count > FrameLimits().damaged * total else 'warning'
        cut = ', as of a file that was cut without being encoded anew' if video.leading else ''
        text = f'{count:,} of {total:,} frames do not decode whole{cut}'
        note(severity, 'decoding', text, bad=count, first=min(video.damaged, default=None))
    if video.stated and seen.frames != video.stated:
        note(
            'warning', 'frame count',
            f'the container says {video.stated:,}, it holds {seen.frames:,}',
            container=video.stated, found=seen.frames,
        )  # fmt: skip


def _hash(file: Path, edge: int = 1 << 18) -> str:
    """Of the first and last bytes: of a whole image, and of the ends of a video file."""
    digest = hashlib.sha1(usedforsecurity=False)
    with file.open('rb') as stream:
        digest.update(stream.read(edge))
        stream.seek(max(edge, file.stat().st_size - edge))
        digest.update(stream.read(edge))
    return digest.hexdigest()
