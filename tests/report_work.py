"""Work dirs that a page is made of, without a run."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from mmvad.structures import Event, EventObject
from mmvad.visualization import write_video

#: A name that HTML, JSON and file systems each read in their own way.
ODD = 'yard <b>&amp; "gate"</b> \u00e4\u65e5'
FRAMES, FPS = 100, 20.0


def write(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content) if not isinstance(content, str) else content)


def save(path: Path, content: np.ndarray | dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, dict):
        np.savez(path, **content)
    else:
        np.save(path, content)


def why_record(frame: int) -> dict:
    return dict(
        rank=1, video=ODD, frame=frame, score=9.5, smoothed=6.0, box=[20, 20, 60, 80],
        picture='why/01.jpg',
        terms=dict(
            speed=dict(
                share=0.75, surprisal=7.0, weight=1.0,
                values=[
                    dict(name='velocity', unit='px', value=9.25, usual=[0, 2], share=0.8),
                    dict(name='width', unit='pixels', value=40.0, usual=[30, 50], share=0.2),
                ],
                nearest=[dict(video='<i>n</i>', frame=3, box=[0, 0, 1, 1], distance=1.25)],
            ),
            tokens=dict(share=0.25, surprisal=3.0, weight=1.0, heat=[[0.5, 0.1], [0.1, 0.3]]),
        ),
    )  # fmt: skip


def make_work(tmp_path: Path) -> Path:
    """What a test with labels leaves, of two videos of five seconds; a box in every frame."""
    root, rows = tmp_path / 'work', {}
    for number, video in enumerate(('deep/plain', ODD)):
        file = tmp_path / f'videos/{number}.mp4'
        write_video((np.full((96, 128, 3), 2 * n, np.uint8) for n in range(FRAMES)), file, FPS)
        scores = np.linspace(1, 3, FRAMES, dtype=np.float32)
        if number:
            scores[40:60] = 6.0
            scores[50] = 7.5
        save(root / f'scores/{video}.npy', scores)
        save(root / f'scores/raw/{video}.npy', scores + 1)
        frames = np.arange(FRAMES, dtype=np.int32)
        boxes = np.stack([frames, frames, frames + 20, frames + 30], axis=1) / 2
        save(root / f'objects/{video}.npz', dict(frames=frames, boxes=boxes, all=scores + 1))
        rows[video] = dict(
            path=str(file), frames=FRAMES, fps=FPS, known=True, value_range=None,
            abnormal=[[45, 60]] if number else [],
        )  # fmt: skip
    write(root / 'tested.json', dict(channel='all', config='seed = 0  # <script>', videos=rows))
    kinds = dict(faster=dict(auc=80.0, auc_low=70.0, auc_high=90.0, found_1_percent=12.5))
    protocol = dict(score='all', alarms=dict(threshold=5.0), self_check=dict(kinds=kinds))
    write(root / 'metrics.json', {'auc/micro': 91.25, 'abnormal_frames': 15, 'protocol': protocol})
    write(root / 'why.json', dict(channel='all', objects=[why_record(50)]))
    (root / 'why').mkdir()
    cv2.imwrite(str(root / 'why/01.jpg'), np.zeros((40, 60, 3), np.uint8))
    return root


def an_event(number: int, start: float, **more) -> Event:
    first, peak, last = (round(FPS * t) for t in (start, start + 0.5, start + 1))
    given = dict(
        id=f'<{number}>', state='closed', source='/nowhere.mp4', video='cam "1"', start=start,
        peak=start + 0.5, end=start + 1, start_frame=first, peak_frame=peak, end_frame=last,
        score=6.5, threshold=5.0, kind='motion', why='It moves & jumps.',
        shares=dict(speed=0.3, motion=0.7), objects=(EventObject((1, 2, 30, 40), 8.0, 3),),
    )  # fmt: skip
    return Event(**(given | more))
