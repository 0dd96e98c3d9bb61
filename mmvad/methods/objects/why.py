"""Why objects score high: what each term says of them, and the training objects they are most like.

Shape letters: k objects that are shown, n objects of a video, K training objects beside each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import isqrt
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmvad.datasets import MeasurementDataset, VideoDataset
from mmvad.engine.components import component_class
from mmvad.evaluation.functional import VideoScores
from mmvad.models import ObjectVAD, ScoreTerm
from mmvad.motion import Reading
from mmvad.registry import TRANSFORMS
from mmvad.structures import ObjectOrigins, WorkDir, write_json
from mmvad.visualization import (
    TermPicture,
    WhyPicture,
    draw_objects,
    object_crop,
    plot_why,
    plot_why_overview,
)

_NEAREST = 3
# Seconds between two happenings of a video: a frame has the score of one object, and a track that
# broke off goes on as another.
_APART = 2.0
# Frames a second, where a video does not say.
_USUAL_RATE = 25.0
# Training objects near in place and height that say what is usual there, and of these per cent.
_AROUND = 200
_USUAL = (5, 95)


@dataclass(frozen=True)
class Happening:
    """The object that stands for one.

    Args:
        video: Its video.
        row: Its row in the video's table of objects.
    """

    video: str
    row: int


def remove_why(work_dir: WorkDir) -> None:
    """Remove what an earlier test left."""
    work_dir.why.unlink(missing_ok=True)
    for path in work_dir.why_overview.parent.glob('*.jpg'):
        path.unlink()


def write_why(
    work_dir: WorkDir,
    model: ObjectVAD,
    dataset: MeasurementDataset,
    scored: Mapping[str, VideoScores],
    channel: str,
    count: int,
    training: VideoDataset,
    origins: ObjectOrigins | None,
    tell: Callable[[str], None],
) -> None:
    """Write ``why.json``, and a picture of each object and one of all in ``why/``.

    The record holds the ``channel`` and ``objects``, highest first: where each was found, its
    score, before and after smoothing along its track, and of each term its surprisal, its weight
    and its ``share`` of what adds up. A term that compares with training objects adds the
    ``nearest``; of what was measured in units, ``values`` with what is usual where the object is,
    and each value's share of the squared distance to the nearest; of tokens, ``heat``: the share
    of each cell.

    Args:
        work_dir: Where to write.
        model: What gave the scores.
        dataset: The measurements of the test split.
        scored: Video to its scores.
        channel: The one that gave the final score.
        count: Of how many objects, one a happening; fewer where there are not so many.
        training: The training videos, for pictures; those that are not at hand any more are left
            out.
        origins: Where the objects are from that the model was calibrated on; None: not known.
        tell: Takes what a person should know of pictures that are left out.
    """

    # Not of all: a video file is read through to know its frames.
    def apart(video: str) -> int:
        return round(_APART * (_rate(dataset.videos, video) or _USUAL_RATE))

    happenings = pick_happenings(scored, channel, count, apart)
    records = explain(model, dataset, scored, channel, happenings, origins)
    if origins is None and happenings:
        tell('the model file does not say where training objects are from: none is shown')
    _draw(work_dir, dataset, training, records, tell)
    write_json(work_dir.why, dict(channel=channel, objects=records))


def pick_happenings(
    scored: Mapping[str, VideoScores], channel: str, count: int, apart: Callable[[str], int]
) -> list[Happening]:
    """The objects of highest score, one a happening.

    Happenings are ordered by the highest score smoothed along tracks; a track counts once, and of
    two that are less than ``apart`` frames from each other in a video, the higher. The one that is
    picked has the highest score of its track about there before smoothing.

    Args:
        scored: Video to its scores.
        channel: The one to go by.
        count: At most so many.
        apart: From a video to a number of frames.
    """
    tables = {video: found for video, found in scored.items() if len(found.objects['frames'])}
    if not tables:
        return []
    left = {video: found.smoothed[channel].astype(float) for video, found in tables.items()}
    picked = []
    while len(picked) < count:
        video = max(left, key=lambda name: left[name].max())
        peak = int(left[video].argmax())
        if left[video][peak] == -np.inf:
            break
        table = tables[video].objects
        near = np.abs(table['frames'] - table['frames'][peak]) < apart(video)
        same = np.arange(len(near)) == peak
        if 'tracks' in table:
            same = table['tracks'] == table['tracks'][peak]
        there = np.flatnonzero(near & same & np.isfinite(left[video]))
        picked.append(Happening(video, int(there[table[channel][there].argmax()])))
        left[video][near | same] = -np.inf
    return picked


@torch.no_grad()
def explain(
    model: ObjectVAD,
    dataset: MeasurementDataset,
    scored: Mapping[str, VideoScores],
    channel: str,
    happenings: Sequence[Happening],
    origins: ObjectOrigins | None,
) -> list[dict[str, Any]]:
    """The record of each happening; see :func:`write_why`."""
    if not happenings:
        return []
    tubes = [int(scored[h.video].objects['tubes'][h.row]) for h in happenings]
    parts = [
        dataset.rows(h.video, slice(tube, tube + 1))
        for h, tube in zip(happenings, tubes, strict=True)
    ]
    values = model.all_quantities({name: torch.cat([p[name] for p in parts]) for name in parts[0]})
    surprisals = model.scorer(values)
    weights = model.scorer.channel_weights(channel)
    added = model.scorer.parts(surprisals, channel)
    sums = sum(added.values())
    boxes = [dataset.tubes[h.video].objects[t] for h, t in zip(happenings, tubes, strict=True)]
    records = [
        _found(rank, happening, scored[happening.video], channel, box, dataset.videos)
        for rank, (happening, box) in enumerate(zip(happenings, boxes, strict=True), 1)
    ]
    for name, term in model.scorer.terms.items():
        weight = weights.get(name, 0.0)
        told = said(term, values[term.of], boxes, origins, readings_of(model, term.of))
        for i, (record, more) in enumerate(zip(records, told, strict=True)):
            surprisal, total = float(surprisals[name][i]), float(sums[i])
            share = float(added[name][i]) / total if name in added and total > 0 else 0.0
            record['terms'][name] = dict(
                surprisal=_short(surprisal), weight=weight, share=_short(share), **more
            )
    return records


def _found(
    rank: int,
    happening: Happening,
    scores: VideoScores,
    channel: str,
    box: np.ndarray,
    videos: VideoDataset,
) -> dict[str, Any]:
    """Where an object was found, and its scores."""
    table, row = scores.objects, happening.row
    frame, rate = int(table['frames'][row]), _rate(videos, happening.video)
    return dict(
        rank=rank,
        video=happening.video,
        frame=frame,
        seconds=None if rate is None else _short(frame / rate),
        box=[_short(edge) for edge in box],
        tube=int(table['tubes'][row]),
        track=int(table['tracks'][row]) if 'tracks' in table else None,
        score=_short(table[channel][row]),
        smoothed=_short(scores.smoothed[channel][row]),
        terms={},
    )


def _rate(videos: VideoDataset, video: str) -> float | None:
    """Frames a second; None of folders of images, which do not say, and of what cannot be opened
    again, which is told where it is to be shown."""
    try:
        source = videos.source(video)
    except (ValueError, OSError):
        return None
    return source.fps if source.in_order else None


def said(
    term: ScoreTerm,
    values: Tensor,
    boxes: Sequence[np.ndarray],
    origins: ObjectOrigins | None,
    readings: Sequence[Reading],
) -> list[dict[str, Any]]:
    """What a term says of each object beside its surprisal.

    Args:
        term: The term.
        values: (n, ...) of the quantity it looks at.
        boxes: Of the n objects, xyxy, pixels.
        origins: Where the training objects are from; None: not known.
        readings: What the numbers of the quantity mean, see :func:`readings_of`.

    Returns:
        Of each object, where they are known: ``nearest``, ``heat`` and ``values``; see
        :func:`write_why`.
    """
    told: list[dict[str, Any]] = [{} for _ in boxes]
    nearest, parts = term.nearest(values, _NEAREST), term.parts(values)
    if nearest is not None and origins is not None:
        for more, distances, numbers in zip(told, *(f.tolist() for f in nearest), strict=True):
            places = [origins.place(number) for number in numbers]
            more['nearest'] = [
                dict(
                    video=video,
                    frame=frame,
                    box=[_short(edge) for edge in box],
                    distance=_short(distance),
                )
                for (video, frame, box), distance in zip(places, distances, strict=True)
            ]
    if parts is not None:
        total = parts.flatten(1).sum(dim=1).clamp(min=torch.finfo(parts.dtype).tiny)
        parts = (parts / total.view(-1, *[1] * (parts.ndim - 1))).cpu().numpy()
        # Cells of a square grid, from left to right and from top to bottom.
        if parts.ndim == 3 and isqrt(parts.shape[1]) ** 2 == parts.shape[1]:
            side = isqrt(parts.shape[1])
            for more, cells in zip(told, parts.sum(axis=2), strict=True):
                more['heat'] = np.round(cells.reshape(side, side).astype(float), 4).tolist()
    if values.ndim == 2 and len(readings) == values.shape[1]:
        usual = _usual(term, boxes, origins)
        for i, more in enumerate(told):
            more['values'] = _told(
                readings,
                values[i].float().cpu().numpy(),
                None if usual is None else usual[i],
                None if parts is None else parts[i],
            )
    return told


def _usual(
    term: ScoreTerm, boxes: Sequence[np.ndarray], origins: ObjectOrigins | None
) -> list[np.ndarray] | None:
    """Of each object (2, F): between which numbers most training objects near it are."""
    seen = term.seen()
    if seen is None or origins is None:
        return None
    values, numbers = (found.cpu().numpy() for found in seen)
    return [
        np.percentile(values[origins.near(box, numbers, _AROUND)], _USUAL, axis=0) for box in boxes
    ]


def _told(
    readings: Sequence[Reading],
    numbers: np.ndarray,
    usual: np.ndarray | None,
    shares: np.ndarray | None,
) -> list[dict[str, Any]]:
    """Measured numbers (F,) in their units."""
    told = []
    for column, reading in enumerate(readings):
        row = dict(name=reading.name, unit=reading.unit, value=_short(reading(numbers[column])))
        if usual is not None:
            row['usual'] = [_short(reading(bound)) for bound in usual[:, column]]
        if shares is not None:
            row['share'] = _short(shares[column])
        told.append(row)
    return told


def readings_of(model: ObjectVAD, quantity: str) -> Sequence[Reading]:
    """What the numbers of a quantity say; empty where nobody does."""
    cfg = model.tube.measure.get(quantity)
    # Not all are built: some take a detector's files.
    measures = None if cfg is None else component_class(cfg['type'], TRANSFORMS)
    return TRANSFORMS.build(cfg).readings if hasattr(measures, 'readings') else ()


def _short(number: float) -> float:
    return round(float(number), 4)


# ---------------------------------------------------------------- pictures


def _draw(
    work_dir: WorkDir,
    dataset: MeasurementDataset,
    training: VideoDataset,
    records: Sequence[dict[str, Any]],
    tell: Callable[[str], None],
) -> None:
    """Draw each object and all of them; into the records goes which picture is of which."""
    crops = _training_crops(training, records, tell)
    shown = []
    at = {(record['video'], record['frame']): record for record in records}
    for place, frame in _frames(dataset.videos, at, 'test', tell):
        record = at[place]
        path = work_dir.why_picture(record['rank'], *place)
        picture = _picture(record, frame, crops)
        plot_why(picture, path)
        record['picture'] = path.relative_to(work_dir.root).as_posix()
        shown.append((record['rank'], picture))
    for record in records:
        record.setdefault('picture', None)
    if shown:
        ordered = [picture for _, picture in sorted(shown, key=itemgetter(0))]
        plot_why_overview(ordered, work_dir.why_overview)


def _training_crops(
    training: VideoDataset, records: Sequence[dict[str, Any]], tell: Callable[[str], None]
) -> dict[tuple, np.ndarray]:
    """Video, frame and box of the nearest training objects to their pictures."""
    wanted: dict[tuple[str, int], set[tuple]] = {}
    for record in records:
        for term in record['terms'].values():
            for found in term.get('nearest', ()):
                place = found['video'], found['frame']
                wanted.setdefault(place, set()).add(tuple(found['box']))
    return {
        (*place, box): object_crop(frame, np.array(box))
        for place, frame in _frames(training, wanted, 'training', tell)
        for box in wanted[place]
    }


def _frames(
    videos: VideoDataset,
    places: Iterable[tuple[str, int]],
    split: str,
    tell: Callable[[str], None],
) -> Iterator[tuple[tuple[str, int], np.ndarray]]:
    """The frames at some places, (video, frame) each, as far as they can be read: a picture is not
    worth a test's end."""
    for video, group in groupby(sorted(places), itemgetter(0)):
        try:
            if video not in videos.lengths:
                raise ValueError('there is no such video')
            source = videos.source(video)
            for place in group:
                yield place, source[place[1]]
        except (ValueError, LookupError, OSError) as error:
            tell(f'{split} video {video!r} cannot be shown: {error}')


def _picture(
    record: Mapping[str, Any], frame: np.ndarray, crops: Mapping[tuple, np.ndarray]
) -> WhyPicture:
    """What is drawn of an object."""
    box, score = np.array(record['box']), record['score']
    scene = draw_objects(
        frame, box[None], [score], (score - 1, score), scale=max(1, round(480 / len(frame)))
    )
    when = '' if record['seconds'] is None else f' ({record["seconds"]:.1f} s)'
    ordered = sorted(record['terms'].items(), key=lambda item: -item[1]['share'])
    return WhyPicture(
        title=f'{record["rank"]}: video {record["video"]}, frame {record["frame"]}{when}',
        score=score,
        scene=scene,
        crop=object_crop(frame, box),
        terms=[
            TermPicture(
                name=name,
                surprisal=term['surprisal'],
                weight=term['weight'],
                share=term['share'],
                lines=[_line(value) for value in term.get('values', ())],
                heat=object_crop(frame, box, np.array(term['heat'])) if 'heat' in term else None,
                nearest=[
                    (
                        crops.get((found['video'], found['frame'], tuple(found['box']))),
                        f'video {found["video"]}, frame {found["frame"]}\n'
                        f'distance {found["distance"]:.3g}',
                    )
                    for found in term.get('nearest', ())
                ],
            )
            for name, term in ordered
        ],
    )


def _line(value: Mapping[str, Any]) -> str:
    """One measured value in words."""
    text = f'{value["name"]} {value["value"]:.3g} {value["unit"]}'
    if 'usual' in value:
        low, high = value['usual']
        text += f'\n      usual there {low:.3g} to {high:.3g}'
    if 'share' in value:
        text += f'; {value["share"]:.0%} of the difference'
    return text
