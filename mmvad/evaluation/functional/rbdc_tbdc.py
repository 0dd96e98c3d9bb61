"""Region-based and track-based detection criteria: are the abnormal regions found, and the tracks?

The criteria are those of Ramachandra & Jones, "Street Scene: A new dataset and evaluation protocol
for video anomaly detection" (WACV 2020).

Shape letters: n objects of all videos, R regions of the ground truth, D detections, T points of
the curves; F frames of one video of H x W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.integrate import trapezoid
from scipy.ndimage import find_objects, label

from mmvad.evaluation.functional.tracks import link_objects

#: Fewest pixels of a region that is made of a mask, where nobody says otherwise. Regions of UCSD
#: Ped2 go down to 22 pixels, where an object leaves the frame, those of CUHK Avenue to thousands;
#: Ped2's one speck is a single pixel.
MIN_REGION_AREA = 10

# Pairs of a region and a detection that are compared at once: some 50 MB.
_PAIRS = 1 << 18


@dataclass(frozen=True)
class Regions:
    """The abnormal regions of the ground truth: each a box of one track in one frame.

    Attributes:
        videos: Number of the video (n,) int64; any numbers that tell the videos apart.
        frames: Frame index in the video (n,) int64, from 0 up.
        boxes: (n, 4) float64 xyxy, pixels. The corners are points of the plane: a box that covers
            one pixel has x2 = x1 + 1.
        tracks: Number of the track (n,) int64. The same number in another video is another track.

    Raises:
        ValueError: A field has another shape or type, a frame is negative, a box is not finite or
            has no area, or a track has two boxes in a frame.
    """

    videos: np.ndarray
    frames: np.ndarray
    boxes: np.ndarray
    tracks: np.ndarray

    def __post_init__(self) -> None:
        _check_fields(self)
        order = np.lexsort((self.frames, self.tracks, self.videos))
        keys = np.stack([self.videos, self.tracks, self.frames])[:, order]
        twice = np.flatnonzero((keys[:, 1:] == keys[:, :-1]).all(axis=0))
        if len(twice):
            video, track, frame = keys[:, twice[0]].tolist()
            raise ValueError(
                f'tracks: expected at most one box a frame, but track {track} of video {video} '
                f'has several in frame {frame}'
            )


@dataclass(frozen=True)
class Detections:
    """Scored boxes of all test videos.

    Attributes:
        videos: Number of the video (n,) int64, as in :class:`Regions`.
        frames: Frame index in the video (n,) int64, as in :class:`Regions`.
        boxes: (n, 4) float64 xyxy, pixels, as in :class:`Regions`.
        scores: Anomaly scores (n,) float64, higher is more abnormal.

    Raises:
        ValueError: A field has another shape or type, a frame is negative, a box is not finite or
            has no area, or a score is not finite.
    """

    videos: np.ndarray
    frames: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray

    def __post_init__(self) -> None:
        _check_fields(self)


@dataclass(frozen=True)
class RegionTrackAUC:
    """Region- and track-level figures and the two curves below which they are the areas.

    The curves begin at (0, 0), where nothing is detected, and have one more point for every score
    that occurs, highest first. They are not cut where the areas are.

    Attributes:
        rbdc: Area under ``region_rate`` for 0 to 1 false positives a frame, in [0, 1].
        tbdc: Area under ``track_rate`` for 0 to 1 false positives a frame, in [0, 1].
        false_positives_per_frame: False-positive regions per test frame (T,), ascending.
        region_rate: Share of the regions that are hit (T,), in [0, 1].
        track_rate: Share of the tracks that are hit (T,), in [0, 1].
        thresholds: Lowest score that counts (T,), descending from infinity.
    """

    rbdc: float
    tbdc: float
    false_positives_per_frame: np.ndarray
    region_rate: np.ndarray
    track_rate: np.ndarray
    thresholds: np.ndarray


def region_track_auc(
    truth: Regions,
    detections: Detections,
    num_frames: int,
    iou: float = 0.1,
    share: float = 0.1,
) -> RegionTrackAUC:
    """RBDC and TBDC of a test set.

    At a threshold, the detections are the boxes whose score is not below it.

    - A region is hit if a detection of its frame has an IoU of at least ``iou`` with it. One
      detection may hit several regions; more than one detection of a region counts no more.
    - A track is hit if at least the share ``share`` of its regions is.
    - A detection is a false positive if its IoU with every region of its frame is below ``iou``,
      so each detection in a frame without regions is one.

    Both rates are drawn over the false positives per test frame. The areas end at 1 false positive
    a frame. Boxes of the same score come in together, and the curve is straight between two
    points, at the cut too. A curve that ends before 1 goes on flat; without detections both areas
    are 0. Coordinates are points, not pixel indices: where both ends of a box count as pixels
    inside it, add 1 to x2 and y2 first.

    Args:
        truth: All abnormal regions of the test set.
        detections: All scored boxes of the test set.
        num_frames: Number of frames of all test videos, those without regions included.
        iou: Lowest IoU of a hit, above 0 up to 1; beta in the code that is in use for published
            figures (Georgescu et al.).
        share: Lowest share of a hit track's regions, above 0 up to 1; alpha there.

    Raises:
        ValueError: There is no region, the regions and detections lie in more frames than
            ``num_frames``, or an option is out of range.
    """
    for name, value in (('iou', iou), ('share', share)):
        if not (isinstance(value, (int, float)) and 0 < value <= 1):
            raise ValueError(f'{name}: expected a number above 0 up to 1, got {value!r}')
    if not (isinstance(num_frames, (int, np.integer)) and num_frames >= 1):
        raise ValueError(f'num_frames: expected a whole number from 1 up, got {num_frames!r}')
    if not len(truth.frames):
        raise ValueError('truth: it has no regions, and a detection rate needs at least one')
    truth_keys, detection_keys = _frame_keys(truth, detections)
    present = len(np.unique(np.concatenate([truth_keys, detection_keys])))
    if present > num_frames:
        raise ValueError(
            f'num_frames: {num_frames}, but the regions and detections lie in {present} frames'
        )

    region_scores, hits = _match(truth, truth_keys, detections, detection_keys, iou)
    track_scores = _track_scores(truth, region_scores, share)
    thresholds = np.append(np.inf, np.unique(detections.scores)[::-1])
    false_positives = _count_from(detections.scores[~hits], thresholds)
    region_rate = _count_from(region_scores, thresholds) / len(region_scores)
    track_rate = _count_from(track_scores, thresholds) / len(track_scores)
    return RegionTrackAUC(
        rbdc=_area(false_positives, region_rate, num_frames),
        tbdc=_area(false_positives, track_rate, num_frames),
        false_positives_per_frame=false_positives / num_frames,
        region_rate=region_rate,
        track_rate=track_rate,
        thresholds=thresholds,
    )


@dataclass(frozen=True)
class Components:
    """The connected components of one video's pixel masks, frame after frame.

    Attributes:
        frames: Frame index (n,) int64, ascending.
        boxes: (n, 4) float64 xyxy, pixels, as in :class:`Regions`.
        areas: Number of pixels (n,) int64, from 1 up.
    """

    frames: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray

    def specks(self, min_region_area: int) -> np.ndarray:
        """Which of them are too small for a region, (n,) bool; see :func:`regions_from_masks`."""
        return self.areas < check_min_region_area(min_region_area)


def check_min_region_area(value: int) -> int:
    """The value, if it is a number of pixels.

    Raises:
        ValueError: It is not a whole number from 0 up.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
        raise ValueError(
            f'min_region_area: expected a whole number of pixels from 0 up, got {value!r}'
        )
    return int(value)


def regions_from_masks(
    masks: np.ndarray, video: int = 0, min_region_area: int = MIN_REGION_AREA
) -> Regions:
    """Regions of one video from its pixel masks: a stand-in where no tracks are annotated.

    Every connected component of a frame (pixels that touch at a side or a corner) is a region,
    and :func:`~mmvad.evaluation.functional.link_objects` links them into tracks by their overlap.
    Two objects that touch are one region, an object behind a pole is two, and a track ends where
    its object is hidden for long: figures with such tracks, and TBDC above all, are **not
    comparable with published ones**, which use tracks drawn by hand.

    A component of fewer than ``min_region_area`` pixels, a *speck*, is no region, and takes no part
    in the linking. That **departs from the raw masks**: a slip of whoever drew them would be a
    track of its own, as much as any other, and one that no detection of an object can hit, whose
    box is too large for the IoU. Regions and tracks that are drawn by hand hold no specks. A frame
    with nothing but specks is a frame without regions, in which every detection is a false
    positive, and a track of nothing but specks is none. Labels of frames are not touched: the frame
    is as abnormal as before.

    Args:
        masks: (F, H, W) bool or uint8, nonzero where a pixel is abnormal.
        video: Number of the video.
        min_region_area: Fewest pixels of a region; 0: every component is one, however small.

    Raises:
        ValueError: ``masks`` has another shape or type, or ``min_region_area`` is no number of
            pixels.
    """
    return regions_from_components(mask_components(masks), video, min_region_area)


def regions_from_components(
    found: Components, video: int = 0, min_region_area: int = MIN_REGION_AREA
) -> Regions:
    """Regions of one video from what its masks hold; see :func:`regions_from_masks`."""
    kept = ~found.specks(min_region_area)
    frames, boxes = found.frames[kept], found.boxes[kept]
    return Regions(np.full(len(frames), video), frames, boxes, link_objects(frames, boxes))


def mask_components(masks: np.ndarray) -> Components:
    """Connected components of one video's masks, specks included.

    Args:
        masks: (F, H, W) bool or uint8, nonzero where a pixel is abnormal.

    Raises:
        ValueError: ``masks`` has another shape or type.
    """
    masks = np.asarray(masks)
    if masks.ndim != 3 or masks.dtype not in (np.bool_, np.uint8):
        raise ValueError(
            f'masks: expected (F, H, W) bool or uint8, got {masks.shape} {masks.dtype}'
        )
    frames, boxes, areas = [], [], []
    for frame, mask in enumerate(masks):
        rows = np.flatnonzero(mask.any(axis=1))
        if not len(rows):
            continue
        columns = np.flatnonzero(mask.any(axis=0))
        # Objects are small beside the frame, and labelling takes the same time for every pixel.
        top, left = int(rows[0]), int(columns[0])
        inside = mask[top : rows[-1] + 1, left : columns[-1] + 1]
        numbers, count = label(inside, structure=np.ones((3, 3)))
        frames += [frame] * count
        boxes += [
            [left + x.start, top + y.start, left + x.stop, top + y.stop]
            for y, x in find_objects(numbers)
        ]
        areas += np.bincount(numbers.ravel())[1:].tolist()
    return Components(
        np.array(frames, dtype=np.int64),
        np.array(boxes, dtype=np.float64).reshape(-1, 4),
        np.array(areas, dtype=np.int64),
    )


def _frame_keys(truth: Regions, detections: Detections) -> tuple[np.ndarray, np.ndarray]:
    """One number a frame of a video, for the regions (R,) and the detections (D,)."""
    # Ranks instead of the numbers themselves: their product cannot overflow.
    _, videos = np.unique(np.append(truth.videos, detections.videos), return_inverse=True)
    _, frames = np.unique(np.append(truth.frames, detections.frames), return_inverse=True)
    keys = videos * (frames.max() + 1) + frames
    return keys[: len(truth.frames)], keys[len(truth.frames) :]


def _match(
    truth: Regions,
    truth_keys: np.ndarray,
    detections: Detections,
    detection_keys: np.ndarray,
    iou: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Best score of the detections that hit a region (R,), -inf without one; hits at all (D,)."""
    region_scores = np.full(len(truth_keys), -np.inf)
    hits = np.zeros(len(detection_keys), dtype=bool)
    order = np.argsort(detection_keys, kind='stable')
    sorted_keys = detection_keys[order]
    starts = np.searchsorted(sorted_keys, truth_keys, side='left')
    counts = np.searchsorted(sorted_keys, truth_keys, side='right') - starts
    # The pairs of a region and a detection of its frame are numbered region after region, so that
    # a chunk of them may begin and end anywhere. Those of a region end before its entry here.
    ends = np.cumsum(counts)
    for first in range(0, int(ends[-1]), _PAIRS):
        pairs = np.arange(first, min(first + _PAIRS, int(ends[-1])))
        regions = np.searchsorted(ends, pairs, side='right')
        others = order[starts[regions] + pairs - (ends - counts)[regions]]
        hit = _paired_iou(truth.boxes[regions], detections.boxes[others]) >= iou
        regions, others = regions[hit], others[hit]
        np.maximum.at(region_scores, regions, detections.scores[others])
        hits[others] = True
    return region_scores, hits


def _paired_iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """IoU (n,) of each box (n, 4) with the one in the same place of ``others`` (n, 4)."""
    sides = np.minimum(boxes[:, 2:], others[:, 2:]) - np.maximum(boxes[:, :2], others[:, :2])
    common = np.maximum(sides, 0).prod(axis=1)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    other_area = (others[:, 2:] - others[:, :2]).prod(axis=1)
    return common / (area + other_area - common)


def _track_scores(truth: Regions, region_scores: np.ndarray, share: float) -> np.ndarray:
    """Highest threshold at which each track is hit; -inf for a track that never is."""
    # Track after track, and in each the best region first.
    order = np.lexsort((-region_scores, truth.tracks, truth.videos))
    tracks = np.stack([truth.videos, truth.tracks])[:, order]
    starts = np.flatnonzero(np.append(True, (tracks[:, 1:] != tracks[:, :-1]).any(axis=0)))
    lengths = np.diff(np.append(starts, len(order)))
    # A share of exactly this is enough, but share * length may be rounded up past a whole number
    # (0.1 * 70 > 7), and the quotient is not.
    needed = np.ceil(share * lengths).astype(np.int64)
    needed -= (needed > 1) & ((needed - 1) / lengths >= share)
    return region_scores[order[starts + needed - 1]]


def _count_from(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Number of scores that are not below each threshold (T,)."""
    return len(scores) - np.searchsorted(np.sort(scores), thresholds, side='left')


def _area(false_positives: np.ndarray, rates: np.ndarray, num_frames: int) -> float:
    """Area under a curve (T,) up to ``num_frames`` false positives, as a share of the whole."""
    inside = np.searchsorted(false_positives, num_frames, side='right')
    # Beyond its last point the curve is flat, which is what interp goes on with. Of points with
    # the same number of false positives only the last counts for what follows.
    last = slice(inside - 1, inside + 1)
    end = np.interp(num_frames, false_positives[last], rates[last])
    x = np.append(false_positives[:inside], num_frames)
    return float(trapezoid(np.append(rates[:inside], end), x) / num_frames)


def _check_fields(record: Regions | Detections) -> None:
    """Checks the fields and puts int64 and float64 arrays in their place."""
    count = None
    for name, value in vars(record).items():
        array = np.asarray(value)
        if count is None and array.ndim == 1:
            count = len(array)
        shape = (count, 4) if name == 'boxes' else (count,)
        if array.shape != shape:
            wanted = '(n,)' if count is None else f'{shape} as there are {count} videos'
            raise ValueError(f'{name}: expected shape {wanted}, got {array.shape}')
        whole = name not in ('boxes', 'scores')
        # An empty list is an array of floats.
        if whole and count and not np.issubdtype(array.dtype, np.integer):
            raise ValueError(f'{name}: expected whole numbers, got {array.dtype}')
        array = array.astype(np.int64 if whole else np.float64)
        if name == 'frames' and count and array.min() < 0:
            raise ValueError(f'frames: expected numbers from 0 up, got {array.min()}')
        if name == 'boxes':
            good = np.isfinite(array).all(axis=1) & (array[:, :2] < array[:, 2:]).all(axis=1)
            wanted = 'finite numbers with x1 < x2 and y1 < y2'
        else:
            good, wanted = np.isfinite(array), 'finite numbers'
        if not good.all():
            first = int(np.flatnonzero(~good)[0])
            raise ValueError(f'{name}: expected {wanted}, got {array[first]} at index {first}')
        object.__setattr__(record, name, array)
