"""Builds the page of a work dir."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmvad import __version__
from mmvad.apis.inputs import videos_of
from mmvad.datasets import FrameSource, find_videos
from mmvad.visualization.page import GENERATOR, Page, PageObjects, PageVideo, write_page

from .moments import moments_of
from .players import Player, encode_player
from .results import Results, read_results
from .words import figure_rows, self_check_table

# Where nothing says how fast frames were taken.
_ASSUMED_RATE = 25.0


@dataclass(frozen=True)
class ReportOptions:
    """How much goes into a page.

    Args:
        title: Above it; None: the name of the work dir.
        videos: Folder to look for the videos in, by their names; None: where the test or the watch
            found them.
        height: Of the videos in the page, at most, pixels.
        most_frames: Of a video to encode; of a longer one, frames are left out evenly.
        most_videos: To encode: those with the most events and the highest scores. Of the others the
            page has the curves.
        settings: Whether the settings are shown; they name folders of this machine.

    Raises:
        ValueError: If a number is out of range.
    """

    title: str | None = None
    videos: str | Path | None = None
    height: int = 480
    most_frames: int = 15_000
    most_videos: int = 30
    settings: bool = True

    def __post_init__(self) -> None:
        for name, low in (('height', 16), ('most_frames', 2), ('most_videos', 0)):
            value = getattr(self, name)
            if not (isinstance(value, int) and value >= low):
                raise ValueError(f'{name}: expected a whole number from {low} up, got {value!r}')


def build_report(
    work_dir: str | Path,
    out: str | Path | None = None,
    options: ReportOptions | None = None,
    tell: Callable[[str], None] = print,
) -> Path:
    """Write a page of what a work dir holds; a page that was there before is replaced at the end.

    Args:
        work_dir: Of a run that was tested, or the folder of what was watched.
        out: Folder of the page; None: ``report`` in the work dir.
        options: How much goes into it.
        tell: Takes what a person should know on the way.

    Returns:
        The HTML file.

    Raises:
        FileNotFoundError: If there is no such work dir.
        ValueError: If a file in it is damaged, or ``out`` holds something else; the message names
            the file.
        OSError: If something cannot be read or written.
    """
    options, results = options or ReportOptions(), read_results(work_dir)
    folder = Path(out) if out is not None else results.work_dir.report
    _refuse_other(folder)
    made = folder.with_name(f'.{folder.name}.{os.getpid()}.tmp')
    try:
        write_page(_page(results, made, options, tell), made)
        _replace(folder, made)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder / 'index.html'


def _refuse_other(folder: Path) -> None:
    """Only an earlier page is replaced."""
    if folder.is_dir() and not any(folder.iterdir()):
        return
    html = folder / 'index.html'
    if folder.exists() and not (
        html.is_file() and GENERATOR in html.read_text(encoding='utf-8', errors='replace')[:4000]
    ):
        raise ValueError(f'{folder}: is there, and is no report; give another folder (--out)')


def _replace(folder: Path, made: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    old = made.with_suffix('.old')
    if folder.exists():
        os.replace(folder, old)
    os.replace(made, folder)
    shutil.rmtree(old, ignore_errors=True)


def _page(
    results: Results, folder: Path, options: ReportOptions, tell: Callable[[str], None]
) -> Page:
    places = _places(results, options)
    shown = _ranked(results)[: options.most_videos]
    left_out = [video for video in results.videos if video not in shown]
    numbers = itertools.count()
    videos, guessed = [], 0
    for number, video in enumerate(results.videos):
        tell(f'video {number + 1} of {len(results.videos)}: {video}')
        source, notes = _source(results, video, places.get(video), options)
        fps, assumed = _rate(results, video, source)
        guessed += assumed
        player = None
        if source is not None and video in shown:
            path = folder / 'videos' / f'{number}_{_plain(video)}.mp4'
            player = _player(source, path, fps, options, notes)
        elif source is not None:
            notes.append('Its pictures are left out; the curve is complete.')
        moments = moments_of(
            results,
            video,
            fps,
            lambda: next(numbers),
            lambda name: _taken(results.work_dir.root, folder, name),
        )
        videos.append(
            PageVideo(
                name=video,
                fps=fps,
                scores=results.scores.get(video),
                raw=results.raw.get(video),
                labels=_labels(results, video),
                objects=_shown(results.objects.get(video), player),
                size=player.size if player else None,
                file=player and player.path.relative_to(folder).as_posix(),
                mime=player.mime if player else '',
                moments=moments,
                notes=notes,
            )
        )
        for note in notes:
            tell(f'video {video}: {note}')
    return Page(
        title=options.title or results.work_dir.root.resolve().name,
        made=f'Made by mmvad {__version__} on {time.strftime("%Y-%m-%d at %H:%M")}.',
        videos=videos,
        threshold=results.threshold,
        figures=figure_rows(results.metrics),
        tables=self_check_table(results.self_check),
        config=results.config if options.settings else '',
        notes=_notes(results, len(left_out), guessed, options),
    )


def _notes(results: Results, left_out: int, guessed: int, options: ReportOptions) -> list[str]:
    notes = []
    if guessed:
        which = 'the' if guessed == len(results.videos) else f'{guessed} of the'
        notes.append(
            f'How fast {which} videos were taken is not known: times count {_ASSUMED_RATE:g} '
            'frames a second.'
        )
    if left_out:
        notes.append(
            f'{options.most_videos} of {len(results.videos)} videos can be played, those with the '
            f'most events and the highest scores; of the other {left_out} the page has the curves.'
        )
    if results.threshold is None and not results.events:
        notes.append(
            'There is no alarm threshold, so nothing counts as an event: a model has one after a '
            'self-check on enough normal video.'
        )
    return notes


def _ranked(results: Results) -> list[str]:
    """The videos with the most events and the highest scores first."""

    def order(video: str) -> tuple[int, float]:
        scores = results.scores.get(video, np.zeros(0))
        events = sum(event.video == video for event in results.events)
        return -events, -float(scores.max(initial=-np.inf))

    return sorted(results.videos, key=order)


def _places(results: Results, options: ReportOptions) -> Mapping[str, Path]:
    """Where the videos are, as far as is known."""
    if options.videos is not None:
        found = find_videos(options.videos)
        # A test names videos by their folder or file alone.
        short = {Path(name).name: path for name, path in found.items()}
        return {v: found.get(v) or short.get(Path(v).name) for v in results.videos}
    watched = {event.video: Path(event.source) for event in results.events}
    for source in results.watched.get('sources', ()):
        with suppress(OSError, ValueError):  # it is gone
            watched |= {video: path for video, path in videos_of(source)}
    return {
        video: Path(results.tested[video]['path'])
        if video in results.tested
        else watched.get(video)
        for video in results.videos
    }


def _source(
    results: Results, video: str, path: Path | None, options: ReportOptions
) -> tuple[FrameSource | None, list[str]]:
    """The frames of a video; None and why where they cannot be had."""
    helps = 'say where the videos are (--videos FOLDER)'
    if path is None or not path.exists():
        where = 'is not known' if path is None or options.videos else 'has changed'
        return None, [f'No pictures: where the video lies {where}; {helps}.']
    try:
        source = FrameSource(path, results.tested.get(video, {}).get('value_range'))
    except (ValueError, OSError) as error:
        return None, [f'No pictures: {_without_folders(error, path)}.']
    frames = len(results.scores.get(video, ()))
    if frames and len(source) != frames:
        found = f'{path.name} has {len(source)} frames, the scores are of {frames}'
        return None, [f'No pictures: {found}; {helps}.']
    return source, []


def _rate(results: Results, video: str, source: FrameSource | None) -> tuple[float, bool]:
    """Frames a second, and whether they are assumed."""
    if video in results.tested:
        row = results.tested[video]
        return float(row['fps']), not row['known']
    for event in results.events:
        if event.video == video and event.peak > 0 and event.peak_frame > 0:
            return event.peak_frame / event.peak, False
    if source is not None:
        return source.fps, source.known_fps is None
    return _ASSUMED_RATE, True


def _player(
    source: FrameSource, path: Path, fps: float, options: ReportOptions, notes: list[str]
) -> Player | None:
    try:
        player = encode_player(source, path, fps, options.height, options.most_frames)
    except ValueError as error:
        notes.append(f'No pictures: {_without_folders(error, source.path)}.')
        return None
    if player.step > 1:
        notes.append(
            f'A long video: one in {player.step} of its {len(source):,} frames is shown; the curve '
            'is of all of them.'
        )
    return player


def _shown(objects: PageObjects | None, player: Player | None) -> PageObjects | None:
    """The boxes of the frames that can be seen."""
    if objects is None or player is None:
        return None
    rows = objects.frames % player.step == 0
    return PageObjects(objects.frames[rows], objects.boxes[rows], objects.scores[rows])


def _labels(results: Results, video: str) -> np.ndarray | None:
    row = results.tested.get(video)
    if row is None or row['abnormal'] is None:
        return None
    labels = np.zeros(row['frames'], np.uint8)
    for start, stop in row['abnormal']:
        labels[start:stop] = 1
    return labels


def _taken(root: Path, folder: Path, name: str | None) -> str | None:
    """Copy a picture or clip; its path from the page, None where there is none."""
    if name is None or '..' in Path(name).parts or not (root / name).is_file():
        return None
    files, name = folder / 'files', Path(name)
    files.mkdir(parents=True, exist_ok=True)
    # Numbered: what is left of two names may be the same.
    target = files / f'{sum(1 for _ in files.iterdir())}_{_plain(name.stem)}{name.suffix}'
    shutil.copyfile(root / name, target)
    return target.relative_to(folder).as_posix()


def _plain(name: str) -> str:
    """A name that is the same in all file systems and addresses."""
    return re.sub(r'[^A-Za-z0-9-]+', '_', name)[:60]


def _without_folders(error: Exception, path: Path) -> str:
    """What is wrong, for who has not this machine's folders."""
    return ' '.join(str(error).replace(str(path), path.name).split())
