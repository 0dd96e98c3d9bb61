"""What the scripts of ``tools/dataset_converters`` share.

A script has a function ``convert(root)`` that looks for what is in the dataset's folder, makes one
:class:`~mmvad.datasets.annotations.VideoAnnotation` a video with :func:`annotate`, and ends with
:func:`finish`; :func:`main` runs it from the command line. What is wrong with the data is a
``ValueError`` or a ``FileNotFoundError`` that names the file or the video.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmvad import cli
from mmvad.datasets.annotations import VideoAnnotation, intervals_of, write_annotations
from mmvad.datasets.frames import VIDEO_SUFFIXES, FrameSource, by_number, is_hidden

from .published import published_of


def main(
    convert: Callable[..., None], doc: str, options: Mapping[str, dict[str, Any]] | None = None
) -> None:
    """Run a converter from the command line.

    Args:
        convert: Called with the dataset's folder and the options, by name.
        doc: The script's docstring, shown by ``--help``.
        options: ``{'--name': arguments of argparse's add_argument}``.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('root', type=Path, help="the dataset's folder; the files are written there")
    for name, arguments in (options or {}).items():
        parser.add_argument(name, **arguments)
    names = [name.lstrip('-').replace('-', '_') for name in options or {}]

    def run(args: argparse.Namespace) -> None:
        if not args.root.is_dir():
            raise FileNotFoundError(f"{args.root}: no such folder; expected the dataset's folder")
        convert(args.root, **{name: getattr(args, name) for name in names})

    cli.run(run, parser)


def finish(
    root: Path,
    dataset: str,
    splits: Mapping[str, tuple[str, Sequence[VideoAnnotation]]],
) -> None:
    """Write ``<root>/<split>.json`` for every split, all or none, and print a table of them.

    Counts unlike the published ones are pointed out, but are no error: people use parts of a
    dataset.

    Args:
        root: The dataset's folder.
        dataset: Its name.
        splits: ``{split: (where the labels are from, its videos)}``.
    """
    with tempfile.TemporaryDirectory(prefix='.annotations.', dir=root) as folder:
        for split, (ground_truth, videos) in splits.items():
            metainfo = dict(dataset=dataset, split=split, ground_truth=ground_truth)
            write_annotations(Path(folder) / f'{split}.json', metainfo, videos)
        for split in splits:
            os.replace(Path(folder) / f'{split}.json', root / f'{split}.json')
    width = max(map(len, (*splits, 'split')))
    print(f'{dataset}\n{"split":{width}}  {"videos":>8}{"frames":>13}{"abnormal":>12}')
    warnings = []
    for split, (_, videos) in splits.items():
        counts = dict(
            videos=len(videos),
            frames=sum(video.num_frames for video in videos),
            abnormal=sum(int(video.labels.sum()) for video in videos),
        )
        published = published_of(dataset, split)
        unlike = published.unlike(**counts) if published else {}
        note = '  as published' if published and not unlike else ''
        warnings += [f'warning: {split}: {words}' for words in unlike.values()]
        videos, frames, abnormal = counts.values()
        print(f'{split:{width}}  {videos:>8,}{frames:>13,}{abnormal:>12,}{note}')
    for line in warnings:
        print(line)
    for split, (ground_truth, _) in splits.items():
        print(f'labels of {split}: {ground_truth}')
    print('wrote', ', '.join(str(root / f'{split}.json') for split in splits))
    # Decoding takes long, and video files that were cut may state more frames than they have.
    print('next: run tools/dataset_doctor.py on each; frames were counted here, not decoded')


def annotate(
    root: Path, video: str, path: Path, labels: np.ndarray | None = None, **fields: Any
) -> VideoAnnotation:
    """The annotation of a video whose frames are counted.

    Args:
        root: The dataset's folder.
        video: Name of the video.
        path: Its folder of frames or video file, below ``root``.
        labels: (F,), 1 where the frame is abnormal; None: all are normal.
        fields: Other fields; paths below ``root`` are made relative to it.

    Raises:
        ValueError: If there are not as many labels as frames.
    """
    frames = len(FrameSource(path))
    if labels is not None and len(labels) != frames:
        raise ValueError(f'{path}: video {video} has {frames} frames but {len(labels)} labels')
    for name, value in fields.items():
        if isinstance(value, Path):
            fields[name] = value.relative_to(root).as_posix()
    return VideoAnnotation(
        video=video,
        path=path.relative_to(root).as_posix(),
        num_frames=frames,
        intervals=() if labels is None else intervals_of(labels),
        **fields,
    )


def find(root: Path, what: str, places: Sequence[str]) -> Path:
    """The first of several places below the dataset's folder that is there.

    Raises:
        FileNotFoundError: If none is; says what was looked for.
    """
    for place in places:
        if (root / place).exists():
            return root / place
    raise FileNotFoundError(f'{root}: no {what}; looked for {", ".join(places)}')


def find_videos(folder: Path, pattern: str = r'.*') -> dict[str, Path]:
    """Videos of a folder, ``{name: folder of frames or video file}``, in the order of the numbers
    in their names.

    Args:
        folder: Where they lie side by side.
        pattern: Names that count, without suffix, as a regular expression.

    Raises:
        ValueError: If there are none, or two share a name.
    """
    videos: dict[str, Path] = {}
    for path in sorted(folder.iterdir(), key=lambda path: by_number(path.name)):
        is_file = path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()
        name = path.stem if is_file else path.name
        if is_hidden(path) or not (is_file or path.is_dir()):
            continue
        if not re.fullmatch(pattern, name):
            continue
        if name in videos:
            raise ValueError(f'{path}: there is also {videos[name].name}, a video of this name')
        videos[name] = path
    if not videos:
        raise ValueError(f'{folder}: expected folders of frames or video files, found none')
    return videos


def numbered(videos: Collection[str], first_to_last: str = '') -> dict[int, str]:
    """Videos by the number that the digits of their names make, ``{number: name}``.

    Args:
        videos: Names.
        first_to_last: A label file that goes by the order of the videos; so it must be 1 to V.

    Raises:
        ValueError: If a name has no digits, two have the same number, or one is left out.
    """
    numbers: dict[int, str] = {}
    for video in videos:
        digits = ''.join(filter(str.isdigit, video))
        if not digits:
            raise ValueError(f'video {video!r}: expected a number in its name')
        if int(digits) in numbers:
            raise ValueError(f'videos {numbers[int(digits)]!r} and {video!r} have the same number')
        numbers[int(digits)] = video
    if first_to_last and sorted(numbers) != list(range(1, len(numbers) + 1)):
        raise ValueError(
            f'{first_to_last}: has labels by the order of the videos; expected videos 1 to '
            f'{len(numbers)}, got {some([str(number) for number in sorted(numbers)])}'
        )
    return numbers


def match(where: Path, videos: Collection[str], labelled: Iterable[str]) -> None:
    """Check that the videos are those that have labels.

    Raises:
        ValueError: Naming the videos without labels, or the labels without a video.
    """
    labelled = set(labelled)
    if missing := [video for video in videos if video not in labelled]:
        raise ValueError(f'{where}: no labels of {len(missing)} videos: {some(missing)}')
    if spare := sorted(labelled - set(videos)):
        raise ValueError(f'{where}: labels of {len(spare)} videos not there: {some(spare)}')


def some(names: Sequence[str]) -> str:
    """The first few of many names."""
    return ', '.join(names[:5]) + (', ...' if len(names) > 5 else '')
