"""What to look at in a video: events, of a watch or of a threshold, and objects of high score."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mmvad.structures import Event
from mmvad.structures.array_files import damage_named
from mmvad.visualization.page import Moment, Reason

from .results import Results
from .words import nearest_line, reason_of_record, value_cells

#: Takes a file of the work dir along: gives its path from the page, None where there is none.
Take = Callable[[str | None], str | None]

# Frames above the threshold less than so many seconds apart are one event, and an object so near to
# an event is in it: its score is smoothed over time.
_APART = 1.0


def moments_of(
    results: Results, video: str, fps: float, number: Callable[[], int], take: Take
) -> list[Moment]:
    """The moments of a video, in the order of time.

    Events are those of ``events.jsonl``; without that file, the runs of frames whose final score
    is above the alarm threshold. An object that ``why.json`` explains gives its reason to the event
    it lies in, or is a moment of its own.

    Args:
        results: What the work dir holds.
        video: Which video.
        fps: Its frames a second.
        number: Gives the next number, by which moments are told apart.
        take: Takes a picture or clip along.
    """
    path = results.work_dir.events
    if path.is_file():
        moments = []
        for event in (event for event in results.events if event.video == video):
            with damage_named(f'{path}: event {event.id}', 'an event that can be shown'):
                moments.append(_of_event(event, str(number()), take))
    else:
        moments = [
            _of_run(results.scores[video], run, fps, str(number()))
            for run in _runs(results.scores.get(video, np.zeros(0)), results.threshold, fps)
        ]
    for record in results.reasons:
        if record['video'] == video:
            _add_reason(moments, record, fps, number, take)
    return sorted(moments, key=lambda moment: moment.start)


def _of_event(event: Event, number: str, take: Take) -> Moment:
    shares = dict(sorted(event.shares.items(), key=lambda item: -item[1]))
    return Moment(
        id=number,
        start=event.start,
        peak=event.peak,
        end=event.end,
        score=event.score,
        what=event.kind or 'event',
        is_event=True,
        clock=event.clock or '',
        reason=Reason(
            sentence=event.why,
            shares=shares,
            values=[value_cells(value) for value in event.values],
            nearest=[nearest_line(found) for found in event.nearest],
        ),
        thumbnail=take(event.thumbnail),
        clip=take(event.clip),
    )


def _runs(scores: np.ndarray, threshold: float | None, fps: float) -> list[tuple[int, int]]:
    """Runs of frames above the threshold, (first, last) each; those that are close are one."""
    if threshold is None:
        return []
    above = np.flatnonzero(scores > threshold)
    if not len(above):
        return []
    cuts = np.flatnonzero(np.diff(above) > _APART * fps)
    firsts, lasts = above[np.append(0, cuts + 1)], above[np.append(cuts, len(above) - 1)]
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


def _of_run(scores: np.ndarray, run: tuple[int, int], fps: float, number: str) -> Moment:
    first, last = run
    peak = first + int(scores[first : last + 1].argmax())
    return Moment(
        id=number,
        start=first / fps,
        peak=peak / fps,
        end=last / fps,
        score=float(scores[peak]),
        what='above the threshold',
        is_event=True,
    )


def _add_reason(
    moments: list[Moment],
    record: Mapping[str, Any],
    fps: float,
    number: Callable[[], int],
    take: Take,
) -> None:
    """Give an event the reason of an object in it, or make the object a moment of its own."""
    seconds = record['frame'] / fps
    reason = reason_of_record(record, take(record.get('picture')))
    what = next(iter(reason.shares), 'high score')
    for place, moment in enumerate(moments):
        end = moment.peak if moment.end is None else moment.end
        inside = moment.start - _APART <= seconds <= end + _APART
        if moment.is_event and inside and not moment.reason.sentence:
            moments[place] = Moment(**{**vars(moment), 'what': what, 'reason': reason})
            return
    moments.append(
        Moment(
            id=str(number()),
            start=seconds,
            peak=seconds,
            end=None,
            score=float(record['score']),
            what=what,
            is_event=False,
            reason=reason,
        )
    )
