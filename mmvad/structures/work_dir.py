"""The one place that knows the name of every file below a work dir."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: Folders of a work dir that a test writes, and no stage may.
RESERVED = ('scores', 'objects', 'plots', 'annotated', 'why', 'report')


def tubes_path(folder: Path, video: str) -> Path:
    """The tubes of a video, an ``.npz`` that :class:`~mmvad.structures.ObjectTubes` writes."""
    return Path(folder) / f'{video}.npz'


def captions_path(folder: Path, video: str, stride: int = 1) -> Path:
    """The captions of a video's tubes; those of tubes that are fast-forwarded, taking every
    ``stride``-th frame, in folders of their own."""
    return Path(folder) / ('' if stride == 1 else f'stride_{stride}') / f'{video}.jsonl'


def measurement_path(folder: Path, name: str, video: str) -> Path:
    """One measurement of a video's tubes, an ``.npy`` with a row a tube."""
    return Path(folder) / name / f'{video}.npy'


@dataclass(frozen=True)
class WorkDir:
    """Names of the files of one run.

    Args:
        root: The work dir.
    """

    root: Path

    def stage(self, folder: str, split: str | None = None) -> Path:
        """What a stage leaves, of one split where it goes through several."""
        return self.root / folder / (split or '')

    def log(self, stamp: str) -> Path:
        """The log of one run."""
        return self.root / f'{stamp}.log'

    def config(self, name: str) -> Path:
        """The whole config of the last run, bases and options in it; ``name`` is the file's."""
        return self.root / f'{name}.py'

    @property
    def lock(self) -> Path:
        """Held by the kernel while a run is at work; the file itself says nothing."""
        return self.root / '.run.lock'

    @property
    def holder(self) -> Path:
        """Which process holds the lock, for who finds it taken."""
        return self.root / '.run.json'

    @property
    def digests(self) -> Path:
        """What is remembered of files' contents, see :class:`~mmvad.structures.FileDigests`."""
        return self.root / 'digests.json'

    @property
    def examined(self) -> Path:
        """What came of reading all frames of videos, by what their files hold."""
        return self.root / 'examined.json'

    @property
    def metrics(self) -> Path:
        """Figures, seconds and protocol of the last test."""
        return self.root / 'metrics.json'

    @property
    def tested(self) -> Path:
        """Which videos the last test scored, where they were, and by which settings."""
        return self.root / 'tested.json'

    @property
    def events(self) -> Path:
        """What happened when, see :class:`~mmvad.structures.EventFile`."""
        return self.root / 'events.jsonl'

    @property
    def report(self) -> Path:
        """The folder of the page to hand on."""
        return self.root / 'report'

    @property
    def videos(self) -> Path:
        """A table of the test videos."""
        return self.root / 'videos.csv'

    def scores(self, video: str) -> Path:
        """(F,) float32: final scores of a video's frames."""
        return self.root / 'scores' / f'{video}.npy'

    def raw_scores(self, video: str) -> Path:
        """(F,) float32: the same without post-processing."""
        return self.root / 'scores' / 'raw' / f'{video}.npy'

    def objects(self, video: str) -> Path:
        """The scored objects of a video."""
        return self.root / 'objects' / f'{video}.npz'

    def plot(self, video: str) -> Path:
        """A video's score over time."""
        return self.root / 'plots' / f'{video}.png'

    def annotated(self, video: str) -> Path:
        """A video with its objects' scores drawn into it."""
        return self.root / 'annotated' / f'{video}.mp4'

    @property
    def overview(self) -> Path:
        """Frames and scores of the video with the clearest change of score."""
        return self.root / 'overview.png'

    @property
    def why(self) -> Path:
        """Why the objects of highest score have it."""
        return self.root / 'why.json'

    def why_picture(self, rank: int, video: str, frame: int) -> Path:
        """The same of one of them, as a picture; ``rank`` from 1 up."""
        return self.root / 'why' / f'{rank:02d}_{video.replace("/", "_")}_{frame}.jpg'

    @property
    def why_overview(self) -> Path:
        """All of them side by side."""
        return self.root / 'why' / 'overview.jpg'
