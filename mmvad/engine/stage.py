"""What a stage is: one step of a method, which says what it needs, leaves and depends on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger

from mmvad.datasets import VideoDataset
from mmvad.structures import StageFolder, WorkDir

from .processes import Processes

SPLITS = ('training', 'testing')


@dataclass(frozen=True)
class Output:
    """What a stage left, as others get it.

    Args:
        path: Its folder or file; for a stage that a model file stands in for, that file.
        content: Hash of what it holds.
    """

    path: Path
    content: str


@dataclass
class Job:
    """One run of a stage, for one split where it goes through several.

    Args:
        name: ``stage`` or ``stage/split``.
        split: ``'training'``, ``'testing'``, or None.
        inputs: Name of each need to its output.
        folder: Where to write.
        work_dir: Names files outside of the folder.
        videos: Gives the videos of a split.
        config: The parts of the config that the stage names, by their dotted keys.
        runtime: What an MMEngine runner needs of the config: ``default_hooks``, ``env_cfg``,
            ``visualizer``, ``log_processor``, ``log_level``, ``randomness``.
        seed: Of the run.
        logger: For what a person should see.
        run_name: Unique in this process.
        seconds: Gives the seconds that each stage has taken so far.
        whole_config: All of the config, for the record.
        resume_from: Checkpoint that the user names in place of the stage's latest one.
        processes: Those of the run; outside of a ``shared`` stage only the main one comes by.
    """

    name: str
    split: str | None
    inputs: Mapping[str, Output]
    folder: StageFolder
    work_dir: WorkDir
    videos: Callable[[str], VideoDataset]
    config: Mapping[str, Any]
    runtime: Mapping[str, Any]
    seed: int
    logger: MMLogger
    run_name: str
    seconds: Callable[[], dict[str, float]]
    whole_config: Config
    resume_from: str | None = None
    processes: Processes = field(default_factory=Processes)

    @property
    def path(self) -> Path:
        """The folder to write to."""
        return self.folder.path


class BaseStage(ABC):
    """One step of a method. Register a subclass in ``STAGES`` and name it in the config's
    ``stages``, whose keys are the stages' names.

    A subclass says, as class attributes:

    - ``needs``: names of outputs of other stages; ``'tubes/{split}'`` is the one of the same
      split, ``'tubes/training'`` that of the training split;
    - ``leaves``: patterns of the files it writes, relative to its folder;
    - ``splits``: those it makes an output for, one by one; empty: a single output;
    - ``config``: dotted keys of the parts of the whole config that shape its output. It gets these
      parts, and no others; those of ``optional`` may be missing;
    - ``reads_frames``: the split whose frames it reads besides what it needs, if any:
      ``'{split}'``, ``'training'`` or ``'testing'``;
    - ``seeded``: whether its output depends on the seed;
    - ``speed_only``: arguments of its constructor that change how fast it goes, not what comes out;
    - ``hashed``, ``editable``: see :class:`~mmvad.structures.StageFolder`;
    - ``in_model``: whether a complete model file holds what it leaves, so that testing that file
      does not need the stage;
    - ``trains``: whether it can start from a checkpoint that the user names;
    - ``always``: whether it runs every time, complete or not;
    - ``evaluates``: whether it makes the figures that training and testing end with;
    - ``shared``: of several processes, whether all run it, each its part: what
      ``job.processes.share_out`` gives it of the videos, or of each batch in training. Otherwise
      the main process does, and the others wait.

    Args:
        name: Its key in the config; a subclass takes its other arguments as the config has them.
    """

    needs: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ('**/*',)
    splits: tuple[str, ...] = ()
    config: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    reads_frames: str | None = None
    seeded: bool = False
    speed_only: tuple[str, ...] = ()
    hashed: bool = True
    editable: bool = False
    in_model: bool = False
    trains: bool = False
    always: bool = False
    evaluates: bool = False
    shared: bool = False
    #: Name of its folder below the work dir; None: that of the stage.
    folder: str | None = None

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = self.folder or name

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.always and cls.in_model:
            raise TypeError(f'{cls.__name__}: a stage that always runs cannot be in the model')

    def check(self, cfg: Config) -> None:  # noqa: B027 (most have nothing to check)
        """Refuse settings that do not fit each other, before any stage runs.

        Raises:
            ValueError: Naming the key, what was found and what was expected.
        """

    def check_videos(self, cfg: Config, videos: Mapping[str, VideoDataset]) -> None:  # noqa: B027
        """Refuse videos that do not fit the settings, before any stage runs.

        Args:
            cfg: The whole config.
            videos: Split to its videos.

        Raises:
            ValueError: Naming the video, what was found and what was expected.
        """

    def prepare(self, config: Mapping[str, Any]) -> None:  # noqa: B027 (most need nothing more)
        """Get ready what it needs besides the outputs of others, such as weights or a device, where
        it is going to run; before any stage does, and before old output is moved aside.

        What is built here may be kept for :meth:`run`.

        Args:
            config: The parts of the config that it names.

        Raises:
            OSError: If a file is missing or cannot be downloaded.
            ValueError: Naming the key, what was found and what was expected.
        """

    def given(self, config: Mapping[str, Any]) -> bool:
        """Whether the output is not made but put there by the user."""
        return False

    def check_given(self, job: Job) -> None:  # noqa: B027
        """Refuse a given output that is not what :meth:`run` would leave."""

    def check_model(self, config: Mapping[str, Any], path: Path) -> None:  # noqa: B027
        """Refuse a model file that cannot stand in for what it leaves, before any stage runs.

        Args:
            config: The parts of the config that it names.
            path: The file.

        Raises:
            ValueError: Naming the file and what does not fit.
        """

    def apart(self, config: Mapping[str, Any]) -> bool:
        """Whether what it leaves of a video, see :meth:`files_of`, depends on no other video: it
        is then kept where others come or go.

        Args:
            config: The parts of the config that it names.
        """
        return False

    def files_of(self, folder: Path, video: str) -> list[Path]:
        """Those of its files that are of one video alone; empty where it does not go by videos."""
        return []

    def output(self, folder: Path) -> Path:
        """What others get of its folder: the folder, or the one file that matters."""
        return folder

    def content(self, path: Path) -> str | None:
        """A hash of what its output, or a model file in its place, holds that matters to others;
        None: that of its files."""
        return None

    @abstractmethod
    def run(self, job: Job) -> dict[str, Any] | None:
        """Do the work: write to ``job.path``, going on where an earlier run stopped.

        Returns:
            What to keep in the manifest or, where it ``evaluates``, the figures.
        """


def plain(cfg: Any) -> Any:
    """A part of a config as a plain dict, which who gets it may keep and change."""
    return cfg.to_dict() if isinstance(cfg, ConfigDict) else cfg


def part_of(cfg: Config | Mapping[str, Any], key: str) -> Any:
    """The part of a config at a dotted key.

    Raises:
        ValueError: If there is none; the message names the key.
    """
    part: Any = cfg
    for number, name in enumerate(names := key.split('.')):
        try:
            part = part[name]
        except (KeyError, TypeError) as error:
            raise ValueError(f'{".".join(names[: number + 1])}: missing in the config') from error
    return part
