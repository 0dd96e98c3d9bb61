"""Videos that cannot be used: left out where the dataset says so, and told."""

from __future__ import annotations

from collections.abc import Mapping

from mmvad.datasets import VideoDataset
from mmvad.structures import FileDigests, WorkDir, digest, remembered, write_json

from .guard import make_work_dir


def leave_out_broken(videos: VideoDataset, work_dir: WorkDir, digests: FileDigests) -> None:
    """Leave out videos that cannot be read to their end, with ``on_error='skip'``.

    Args:
        videos: Of one split.
        work_dir: Where it is kept what came of reading all frames, which takes long.
        digests: By which a video is known again.
    """
    if videos.on_error != 'skip':
        return
    make_work_dir(work_dir)
    verdicts: dict[str, str] = remembered(work_dir.examined)

    def verdict(video: str) -> str:
        key = digest(digests.of(videos.files(video)), videos.value_range, videos.limits)
        if key not in verdicts:
            verdicts[key] = videos.examine(video)
            write_json(work_dir.examined, verdicts)
        return verdicts[key]

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
