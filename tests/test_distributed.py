"""The metric as a test hook under torchrun: the figures of one process, each frame once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

WORKER = """
import json, sys
import numpy as np, torch, torch.distributed as dist
import mmvad
from mmengine.dataset import BaseDataset
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement, InstanceData
from mmvad.engine.score_files import ScoreFilesHook

VIDEOS = {'a': 37, 'b': 20, 'c': 24}
rng = np.random.default_rng(0)
LABELS = {video: np.zeros(length, np.uint8) for video, length in VIDEOS.items()}
LABELS['a'][10:20] = LABELS['b'][5:] = 1
FRAMES = [(video, frame) for video, length in VIDEOS.items() for frame in range(5, length)]
SCORES = {pair: rng.normal(size=2) + LABELS[pair[0]][pair[1]] for pair in FRAMES}


class Frames(BaseDataset):
    METAINFO = dict(videos=VIDEOS, first_scored=5, labels=LABELS)

    def load_data_list(self):
        return [dict(video=video, frame=frame) for video, frame in FRAMES]


class Model(BaseModel):
    seen = []

    def forward(self, video, frame, sample_idx, mode):
        out = []
        for name, number in zip(video, frame):
            self.seen.append((name, number))
            scores = torch.from_numpy(SCORES[name, number])
            boxes = torch.tensor([[0.0, 0, 9, 9], [50, 50, 60, 60]]) + 0.1 * number
            sample = BaseDataElement(metainfo=dict(video=name, frame=number))
            sample.pred_instances = InstanceData(bboxes=boxes, s=scores)
            out.append(sample)
        return out


if sys.argv[2] == 'several':
    dist.init_process_group('gloo')
runner = Runner(
    model=Model(),
    work_dir=sys.argv[1] + '/runs',
    test_dataloader=dict(
        batch_size=4,
        collate_fn=dict(type='pseudo_collate'),
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=Frames(),
    ),
    test_cfg=dict(),
    test_evaluator=dict(
        type='mmvad.VADMetric',
        tracking=dict(sigma=2.0),
        smoothing=dict(type='gaussian', sigma=1),
        floors=dict(s=-3.0),
        collect_device='cpu',
    ),
    custom_hooks=[ScoreFilesHook(sys.argv[1] + '/out')],
    log_level='ERROR',
)
metrics = runner.test()
if not dist.is_initialized() or dist.get_rank() == 0:
    metrics['seen'] = len(Model.seen)
    json.dump(metrics, open(sys.argv[1] + '/metrics.json', 'w'))
"""


def evaluate(folder: Path, processes: int) -> dict:
    folder.mkdir()
    script = folder / 'worker.py'
    script.write_text(WORKER)
    start = [sys.executable]
    if processes > 1:
        start += ['-m', 'torch.distributed.run', f'--nproc_per_node={processes}', '--standalone']
    mode = 'several' if processes > 1 else 'one'
    done = subprocess.run(
        [*start, script, folder, mode], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / 'metrics.json').read_text())


def test_several_processes_give_the_figures_of_one(tmp_path):
    one = evaluate(tmp_path / 'one', 1)
    assert one.pop('seen') == one['frames'] - 15 == 66
    # 66 frames do not part evenly in four: the sampler hands two of them out twice.
    several = evaluate(tmp_path / 'several', 4)
    assert several.pop('seen') == 17
    assert several == pytest.approx(one)
    for name in ('a', 'b', 'c'):
        files = [tmp_path / part / f'out/scores/{name}.npy' for part in ('one', 'several')]
        assert files[0].read_bytes() == files[1].read_bytes()
        files = [tmp_path / part / f'out/objects/{name}.npz' for part in ('one', 'several')]
        one, several = (dict(np.load(file)) for file in files)
        assert sorted(one) == sorted(several) == ['boxes', 'frames', 's', 'tracks']
        for column in one:
            np.testing.assert_array_equal(one[column], several[column])
