"""Videos that cannot be used: left out where the dataset says so, and told."""

from __future__ import annotations

from collections.abc import Mapping

from mmvad import __version__, release
from mmvad.datasets import VideoDataset
from mmvad.structures import (
    FileDigests,
    NoSpaceError,
    WorkDir,
    digest,
    remembered,
    write_json,
)

from .guard import make_work_dir


def leave_out_broken(videos: VideoDataset, work_dir: WorkDir, digests: FileDigests) -> None:
    """Leave out videos that cannot be read to their end, and copies of others, with
    ``on_error='skip'``.

    Who has seen the other has seen the copy, so that nothing could be held out.

    Args:
        videos: Of one split.
        work_dir: Where it is kept which videos could be read to their end, which takes long.
        digests: By which a video is known again.
    """
    if videos.on_error != 'skip':
        return
    make_work_dir(work_dir)
    whole = remembered(work_dir.examined)
    first_of: dict[str, str] = {}

    def verdict(video: str) -> str:
        try:
            held = digests.of(videos.files(video))
        except NoSpaceError:
            raise  # of the work dir, which remembers what files hold
        except OSError as error:
            return str(error)
        if (first := first_of.setdefault(held, video)) != video:
            return f'{video}: a copy of {first}'
        # All that a verdict depends on: the code, and how many frames the annotation tells.
        key = digest(
            held,
            videos.lengths[video],
            videos.value_range,
            videos.limits,
            release(__version__),
        )
        if whole.get(key) is True:
            return ''
        found = videos.examine(video)
        # Only what is whole stays so: an error of reading may have passed by the next run.
        if not found:
            whole[key] = True
            write_json(work_dir.examined, whole)
        return found

    videos.leave_out(verdict)


def told(datasets: Mapping[str, VideoDataset]) -> list[str]:
    """What was left out, a text a split, and why."""
    texts = []
    for split, videos in datasets.items():
        if videos.skipped:
            count = len(videos.skipped) + len(videos.lengths)
            lines = [f'  {video}: {why}' for video, why in videos.skipped.items()]
            head = f'{len(lines)} of {count} {split} videos are left out (on_error=skip):'
            texts.append('\n'.join([head, *lines]))
    return texts
