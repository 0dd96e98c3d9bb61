"""A model of one's own camera watches: recordings, or one live source."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmvad.structures import write_json
from mmvad.visualization.video import video_encoder

from .alarm_events import HOLD
from .clips import ClipWriter
from .drift import USUAL_AN_HOUR, Drift
from .event_writer import CLIPS, EventWriter
from .inferencer import VADInferencer
from .model_folder import MODELS_ROOT, alarm_of, find_model_file
from .pacing import PacedFrames
from .reasons import Reasons
from .sources import LiveSource, is_live
from .stream import StreamScorer
from .view_drift import ViewDrift
from .watch_files import watch_files
from .watch_stream import StreamCounts, StreamWatch
from .webhook import Webhook

#: Below the folder that is written to: what was watched, how, and what became of its frames.
RECORD = 'watch.json'


@dataclass(frozen=True)
class WatchSettings:
    """How to watch.

    Args:
        false_alarms: An hour, that the threshold allows; see
            :func:`~mmvad.apis.model_folder.alarm_of`.
        threshold: Above which score there is an event; None: by ``false_alarms``.
        hold: Seconds below the threshold after which an event is over.
        status: Seconds between two lines on how a stream goes; 0: none.
        every_frame: Leave no frame of a stream out; it then lags behind where it is faster.
        clips: Seconds before and after an event that its clip has; None: there are none.
        webhook: Address that every line of the event file is posted to, see
            :class:`~mmvad.apis.webhook.Webhook`.
        pipe, size, rate, timeout, give_up: Of a live source, see
            :class:`~mmvad.apis.sources.LiveSource`.
    """

    false_alarms: float = 1.0
    threshold: float | None = None
    hold: float = HOLD
    status: float = 60.0
    every_frame: bool = False
    clips: float | None = None
    webhook: str | None = None
    pipe: str = 'mjpeg'
    size: tuple[int, int] | None = None
    rate: float = 25.0
    timeout: float = 10.0
    give_up: float | None = None


@dataclass(frozen=True)
class Watched:
    """What came of it.

    Args:
        out: The folder with events, scores and pictures.
        threshold: Above which score there was an event.
        events: How many.
        left_out: Recordings that were not watched, and why.
        counts: Of a stream's frames; None of recordings.
    """

    out: Path
    threshold: float
    events: int
    left_out: dict[str, str]
    counts: StreamCounts | None = None

    @property
    def line(self) -> str:
        """All of it in one line."""
        parts = [f'{self.events} events above {self.threshold:.2f}']
        if self.counts is not None:
            parts = [self.counts.line, f'threshold {self.threshold:.2f}']
        if self.left_out:
            parts.append(f'{len(self.left_out)} recordings left out')
        return f'{", ".join(parts)}: {self.out}'


def watch(
    model: str | Path,
    sources: Sequence[str],
    out: str | Path | None = None,
    settings: WatchSettings | None = None,
    root: str | Path = MODELS_ROOT,
    device: str | None = None,
    tell: Callable[[str], None] = print,
    show_progress: bool = True,
) -> Watched:
    """Watch, until the recordings or the live source are at their end.

    Args:
        model: Name of a model, its folder, or the model file.
        sources: Video files and folders, or one live source: ``-``, a camera's number, an address.
        out: Folder to write to; None: one of this moment below the model's.
        settings: How.
        root: Folder of the models that have names.
        device: Where the model runs.
        tell: Takes what a person should know.
        show_progress: Whether to show a bar of recordings.

    Raises:
        FileNotFoundError: If there is no such model or recording.
        ValueError: If the model is damaged or of another version, nothing can be watched, or
            sources do not go together.
        SourceError: If a live source cannot be opened, or is gone for good.
    """
    settings = settings or WatchSettings()
    live = [source for source in sources if is_live(source)]
    if not sources or (live and len(sources) > 1):
        raise ValueError(
            'sources: expected recordings, or one live source (a command for each camera), got '
            f'{", ".join(sources) or "none"}'
        )
    # Before the model, which takes a while.
    for source in () if live else sources:
        if not Path(source).exists():
            raise FileNotFoundError(f'{source}: no such video file or folder')
    path = find_model_file(model, root)
    inferencer = VADInferencer(path, device=device)
    scorer = StreamScorer(inferencer) if live else None
    policy = inferencer.policy if scorer is None else scorer.policy
    threshold = settings.threshold
    if threshold is None:
        threshold, _ = alarm_of(
            path, inferencer.model, inferencer.channel, policy, settings.false_alarms
        )
    if settings.clips is not None:
        # Where there is no encoder, before anything is watched.
        video_encoder()
        if not 0 <= settings.clips <= 60:
            raise ValueError(f'clips: expected 0 to 60 seconds, got {settings.clips!r}')
    out = path.parent / 'watch' / time.strftime('%Y%m%d_%H%M%S') if out is None else Path(out)
    reasons = Reasons(inferencer.model, inferencer.channel, path)
    hook = None if settings.webhook is None else Webhook(settings.webhook, tell)
    writer = EventWriter(out, threshold, reasons, tell, [] if hook is None else [hook])
    record = dict(model=str(path), threshold=threshold, hold=settings.hold)
    try:
        if scorer is None:
            found = watch_files(
                inferencer, sources, writer, settings.hold, show_progress, settings.clips
            )
            left_out, counts = dict(inferencer.skipped), None
            # Where they are, for who looks at the scores later.
            places = [str(Path(source).resolve()) for source in sources]
            record |= dict(videos=found, left_out=left_out, sources=places)
            for why in left_out.values():
                tell(f'left out: {why}')
        else:
            left_out = {}
            drift = _drift(path, scorer, tell)
            view = ViewDrift(tell, path.parent.name or 'NAME')
            counts = _watch_stream(scorer, live[0], writer, settings, tell, record, drift, view)
    finally:
        writer.close()
        if hook is not None:
            hook.close()
            record['webhook'] = dict(sent=hook.sent, dropped=hook.dropped)
        write_json(out / RECORD, dict(record, events=writer.count))
    if left_out and not record['videos']:
        raise ValueError(f'none of the recordings can be watched: {next(iter(left_out.values()))}')
    return Watched(out, threshold, writer.count, left_out, counts)


def _drift(path: Path, scorer: StreamScorer, tell: Callable[[str], None]) -> Drift | None:
    """None where the model file does not say what is usual."""
    try:
        bound, _ = alarm_of(path, scorer.model, scorer.channel, scorer.policy, USUAL_AN_HOUR)
    except ValueError:
        return None
    return Drift(bound, tell, path.parent.name or 'NAME')


def _watch_stream(
    scorer: StreamScorer,
    source: str,
    writer: EventWriter,
    settings: WatchSettings,
    tell: Callable[[str], None],
    record: dict,
    drift: Drift | None,
    view: ViewDrift,
) -> StreamCounts:
    live = LiveSource(
        source,
        settings.pipe,
        settings.size,
        settings.rate,
        settings.timeout,
        settings.give_up,
        tell,
    )
    paced = PacedFrames(live, settings.every_frame)
    clips = None
    if settings.clips is not None:
        clips = ClipWriter(writer.out / CLIPS, settings.clips, settings.clips, tell)
    stream = StreamWatch(
        scorer, paced, writer, settings.hold, settings.status, tell, clips, drift, view
    )
    try:
        return stream.run()
    finally:
        record['stream'] = stream.summary
