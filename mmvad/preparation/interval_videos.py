"""What the converters of UBnormal, UCF-Crime and XD-Violence share: videos that lie in many
folders, of which people hold parts, and labels that are stretches of frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmvad.datasets.annotations import VideoAnnotation
from mmvad.datasets.frames import VIDEO_SUFFIXES, FrameSource, is_hidden

from .converting import finish, some
from .interval_files import Interval, IntervalRow, merge_intervals

#: Options of the three scripts, as :func:`mmvad.preparation.converting.main` takes them.
OPTIONS: dict[str, dict[str, Any]] = {
    '--subset': dict(action='store_true', help='convert the videos that are there'),
    '--clip': dict(action='store_true', help='cut labels that go beyond the end of a video'),
}


@dataclass(frozen=True)
class LabelledVideo:
    """A video that a split names, before it was looked for.

    Args:
        video: Its name.
        intervals: Abnormal stretches: 0-based, end exclusive.
        fields: Other fields of :class:`~mmvad.datasets.annotations.VideoAnnotation`.
    """

    video: str
    intervals: Sequence[Interval]
    fields: Mapping[str, Any]


def index_videos(folders: Iterable[Path]) -> dict[str, Path]:
    """``{name: path}`` of the video files and folders in several folders.

    The first folder that has a name counts, and a video file counts before a folder of frames.

    Args:
        folders: Where to look; those that do not exist are left out.

    Raises:
        ValueError: If two video files side by side differ by their suffix alone.
    """
    frames: dict[str, Path] = {}
    files: dict[str, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            continue
        here: dict[str, Path] = {}
        for path in sorted(folder.iterdir()):
            if is_hidden(path):
                continue
            if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file():
                if path.stem in here:
                    raise ValueError(
                        f'{path}: there is also {here[path.stem].name}, a video of this name'
                    )
                here[path.stem] = path
            elif path.is_dir():
                frames.setdefault(path.name, path)
        files = {**here, **files}
    return {**frames, **files}


def print_notes(path: Path, rows: Iterable[IntervalRow]) -> None:
    """Name the rows of a label file that are odd, and say how they are read."""
    for row in rows:
        for note in row.notes:
            print(f'warning: {path}:{row.line}: {row.video}: {note}')


def annotate_split(
    root: Path,
    split: str,
    wanted: Sequence[LabelledVideo],
    found: Mapping[str, Path],
    ground_truth: str,
    subset: bool = False,
    clip: bool = False,
    unnamed: int = 0,
) -> tuple[str, list[VideoAnnotation]]:
    """The annotations of a split, with counted frames.

    Args:
        root: The dataset's folder.
        split: Its name, for messages.
        wanted: The videos the split should have, in order.
        found: ``{name: path}`` of the videos that are there, others too.
        ground_truth: Where the labels are from.
        subset: Leave out videos that are not there.
        clip: Cut stretches that go beyond the end of their video.
        unnamed: How many more normal videos are missing, whose names no list has.

    Returns:
        ``ground_truth``, with what was left out and cut, and the annotations.

    Raises:
        ValueError: If videos are missing or stretches too long, and that was not asked for.
    """
    there = [video for video in wanted if video.video in found]
    missing = [video.video for video in wanted if video.video not in found]
    total = len(wanted) + unnamed
    if len(there) < total:
        if not subset:
            more = [f'{unnamed} normal ones that no list names'] if unnamed else []
            raise ValueError(
                f'{root}: {split}: {total - len(there)} of {total} videos are missing: '
                f'{"; ".join([some(missing)] * bool(missing) + more)}; --subset converts those '
                'that are there'
            )
        ground_truth += f'; a subset: {len(there)} of {total} videos'
    annotations, beyond, cut, emptied = [], [], 0, 0
    for video in there:
        path = found[video.video]
        frames = len(FrameSource(path))
        intervals = merge_intervals(video.intervals)
        inside = tuple((start, min(end, frames)) for start, end in intervals if start < frames)
        if inside != intervals:
            spare = [[start, end] for start, end in intervals if end > frames]
            beyond.append(f'{video.video} has {frames} frames, abnormal are {spare}')
            cut += sum(end - max(start, frames) for start, end in spare)
            emptied += not inside
        annotations.append(
            VideoAnnotation(
                video=video.video,
                path=path.relative_to(root).as_posix(),
                num_frames=frames,
                intervals=inside,
                **video.fields,
            )
        )
    if beyond and not clip:
        raise ValueError(
            f'{root}: {split}: labels of {len(beyond)} videos go beyond their last frame '
            f'(counted from 0, end exclusive): {some(beyond)}; --clip cuts them, which is right '
            'for a few frames, and wrong for frames that were taken at another rate'
        )
    if beyond:
        said = f'labels of {len(beyond)} videos cut at their end, {cut:,} frames in all'
        if emptied:
            said += f', {emptied} of them to nothing'
        print(f'warning: {split}: {said}: {some(beyond)}')
        ground_truth += f'; {said}'
    return ground_truth, annotations


def finish_found(
    root: Path,
    dataset: str,
    splits: Mapping[str, tuple[str, list[VideoAnnotation]]],
) -> None:
    """:func:`~mmvad.preparation.converting.finish` for the splits that have videos: of a
    subset, one may have none.

    Raises:
        ValueError: If no split has.
    """
    for split, (_, videos) in splits.items():
        if not videos:
            print(f'warning: {split}: none of its videos is there, {split}.json is not written')
    splits = {split: content for split, content in splits.items() if content[1]}
    if not splits:
        raise ValueError(f'{root}: none of the videos of {dataset} is there')
    finish(root, dataset, splits)
