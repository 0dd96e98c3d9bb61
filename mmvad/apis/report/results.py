"""What a work dir holds of a test, or of what was watched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmvad.apis.watching import RECORD
from mmvad.engine import read_tested
from mmvad.evaluation.score_files import read_boxes, read_scores
from mmvad.structures import Event, WorkDir, read_events
from mmvad.structures.array_files import damage_named
from mmvad.structures.text_files import parse_json, read_text
from mmvad.visualization.page import PageObjects


@dataclass(frozen=True)
class Results:
    """All that is there.

    Attributes:
        work_dir: Where it is from.
        scores: Video to final frame scores (F,); empty where only events were kept.
        raw: Video to the same before smoothing, as far as they are there.
        objects: Video to its boxes.
        tested: Video to what ``tested.json`` says of it.
        config: Text of the settings; '' where they are not known.
        metrics: What ``metrics.json`` holds.
        reasons: Records of ``why.json``.
        events: Of ``events.jsonl``.
        watched: What ``watch.json`` holds.
    """

    work_dir: WorkDir
    scores: Mapping[str, np.ndarray] = field(default_factory=dict)
    raw: Mapping[str, np.ndarray] = field(default_factory=dict)
    objects: Mapping[str, PageObjects] = field(default_factory=dict)
    tested: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    config: str = ''
    metrics: Mapping[str, Any] = field(default_factory=dict)
    reasons: list[dict[str, Any]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    watched: Mapping[str, Any] = field(default_factory=dict)

    @property
    def threshold(self) -> float | None:
        """Above which final score there is an alarm; None where nothing says."""
        for said in (self.metrics.get('protocol', {}).get('alarms') or {}, self.watched):
            if isinstance(threshold := said.get('threshold'), (int, float)):
                return float(threshold)
        found = {event.threshold for event in self.events}
        return found.pop() if len(found) == 1 else None

    @property
    def self_check(self) -> Mapping[str, Any]:
        """What the self-check found; empty without one."""
        return self.metrics.get('protocol', {}).get('self_check') or {}

    @property
    def videos(self) -> list[str]:
        """Names of all videos, those with scores first."""
        return list(dict.fromkeys([*self.scores, *(event.video for event in self.events)]))


def find_work_dir(name: str | Path, root: str | Path = 'work_dirs') -> Path:
    """The folder that a name means.

    Args:
        name: A work dir, or the name that a model was given. If what it holds is a model alone, the
            last folder below its ``watch/`` is meant, which begins with the date.
        root: Folder of the models that have names.

    Raises:
        FileNotFoundError: If there is none.
    """
    folder = next((place for place in (Path(name), Path(root) / name) if place.is_dir()), None)
    if folder is None:
        raise FileNotFoundError(f'{name}: no such work dir, nor below {root}/')
    place = WorkDir(folder)
    if not place.scores('_').parent.is_dir() and not place.events.is_file():
        watched = sorted(path.parent for path in folder.glob('watch/*/events.jsonl'))
        return watched[-1] if watched else folder
    return folder


def read_results(root: str | Path) -> Results:
    """Read a work dir of ``tools/train.py`` or ``tools/test.py``, or the folder that a watch wrote.

    Args:
        root: As :func:`find_work_dir` takes it.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds neither scores nor events, or a file in it is damaged; the message
            names the file.
        OSError: If a file cannot be read.
    """
    place = WorkDir(find_work_dir(root))
    folder = place.scores('_').parent
    scores = read_scores(folder) if any(folder.rglob('*.npy')) else {}
    events = read_events(place.events) if place.events.is_file() else []
    if not scores and not place.events.is_file():
        raise ValueError(
            f'{place.root}: holds neither scores/ nor events.jsonl: expected the work dir of a run '
            'that was tested, or the folder of what was watched'
        )
    tested = read_tested(place.tested) if place.tested.is_file() else {}
    metrics = _object(place.metrics)
    channel = tested.get('channel') or metrics.get('protocol', {}).get('score') or 'all'
    for video, row in tested.get('videos', {}).items():
        if video in scores and len(scores[video]) != row['frames']:
            raise ValueError(
                f'{place.scores(video)}: {len(scores[video])} scores, but {place.tested} says '
                f'{row["frames"]} frames'
            )
    return Results(
        work_dir=place,
        scores=scores,
        raw=_raw(place, scores),
        objects=_objects(place, scores, channel),
        tested=tested.get('videos', {}),
        config=tested.get('config', ''),
        metrics=metrics,
        reasons=_reasons(place),
        events=events,
        watched=_object(place.root / RECORD),
    )


def _raw(place: WorkDir, scores: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    folder = place.raw_scores('_').parent
    if not folder.is_dir() or not any(folder.rglob('*.npy')):
        return {}
    found = read_scores(folder)
    return {video: v for video, v in found.items() if len(scores.get(video, ())) == len(v)}


def _objects(
    place: WorkDir, scores: Mapping[str, np.ndarray], channel: str
) -> dict[str, PageObjects]:
    folder = place.objects('_').parent
    if not folder.is_dir() or not any(folder.rglob('*.npz')):
        return {}
    lengths = {video: len(values) for video, values in scores.items()}
    found, objects = read_boxes(folder, list(scores), channel, lengths), {}
    for number, video in enumerate(scores):
        rows = np.flatnonzero(found.videos == number)
        rows = rows[np.argsort(found.frames[rows], kind='stable')]
        objects[video] = PageObjects(found.frames[rows], found.boxes[rows], found.scores[rows])
    return objects


def _object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is no file."""
    if not path.is_file():
        return {}
    content = parse_json(read_text(path), path)
    if not isinstance(content, dict):
        raise ValueError(f'{path}: expected a JSON object, got {type(content).__name__}')
    return content


def _reasons(place: WorkDir) -> list[dict[str, Any]]:
    records = _object(place.why).get('objects', [])
    for number, record in enumerate(records):
        with damage_named(f'{place.why}: objects.{number}', 'the record of an object'):
            record['video'], int(record['frame']), float(record['score'])
            for term in record['terms'].values():
                float(term['share'])
    return records
