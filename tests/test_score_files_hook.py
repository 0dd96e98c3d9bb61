"""Score files of an ordinary MMEngine runner, for methods of objects and of whole frames."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset
from mmengine.evaluator import DumpResults
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement, InstanceData
from sklearn.metrics import roc_auc_score

from mmvad.engine.score_files import ScoreFilesHook, write_score_files
from mmvad.evaluation import VADMetric
from mmvad.evaluation.functional import ScorePolicy, VideoScores, score_video
from mmvad.evaluation.score_files import read_boxes, read_scores

FIRST = 2
VIDEOS = {'a b, c.avi': 12, 'night.1': 9, 'Scene 1/03': 7}
LABELS = {video: np.arange(length) % 6 > 2 for video, length in VIDEOS.items()}


class TinyDataset(BaseDataset):
    """All frames that can be scored, with a number each in place of an image."""

    METAINFO = dict(videos=VIDEOS, first_scored=FIRST, labels=LABELS)

    def __init__(self, videos=tuple(VIDEOS), **kwargs):
        self.names = videos
        super().__init__(**kwargs)

    def load_data_list(self):
        rng = np.random.default_rng(0)
        return [
            dict(video=video, frame=frame, inputs=float(rng.normal() + LABELS[video][frame]))
            for video in self.names
            for frame in range(FIRST, VIDEOS[video])
        ]


class WholeFrames(BaseModel):
    """A method that scores whole frames: no boxes, one channel."""

    def forward(self, inputs, video, frame, sample_idx, mode):
        return [
            dict(video=name, frame=number, pred_scores=dict(energy=value))
            for name, number, value in zip(video, frame, inputs, strict=True)
        ]


class Objects(BaseModel):
    """A method that scores objects: one that stands, and one that walks in odd frames."""

    def forward(self, inputs, video, frame, sample_idx, mode):
        out = []
        for name, number, value in zip(video, frame, inputs, strict=True):
            boxes = torch.tensor([[0.0, 0, 9, 9], [50, 50, 70, 90]])
            boxes[1, [0, 2]] += number
            sample = BaseDataElement(metainfo=dict(video=name, frame=number))
            sample.pred_instances = InstanceData(
                bboxes=boxes,
                tubes=torch.tensor([2 * number, 2 * number + 1]),
                motion=torch.tensor([0.0, value]),
                all=torch.tensor([value - 1, 2 * value]),
            )[: 1 + number % 2]
            out.append(sample)
        return out


def run(
    folder: Path, model: BaseModel, metainfo: dict | None = None, **evaluator
) -> tuple[dict, VADMetric]:
    """Figures and metric of a test whose files go to ``folder / 'out'``."""
    videos = tuple(metainfo['videos']) if metainfo else tuple(VIDEOS)
    runner = Runner(
        model=model,
        work_dir=str(folder / 'runs'),
        test_dataloader=dict(
            batch_size=4,
            collate_fn=dict(type='default_collate'),
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=TinyDataset(videos, metainfo=metainfo),
        ),
        test_cfg=dict(),
        test_evaluator=dict(type='mmvad.VADMetric', **evaluator),
        custom_hooks=[ScoreFilesHook(str(folder / 'out'))],
        experiment_name=f'{folder.name}_{os.urandom(4).hex()}',
        log_level='ERROR',
    )
    return runner.test(), runner.test_evaluator.metrics[0]


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file()}


def test_whole_frames_in_an_ordinary_runner(tmp_path):
    metrics, _ = run(tmp_path, WholeFrames(), smoothing=dict(type='causal', sigma=1))
    out = tmp_path / 'out'
    assert files_below(out) == {
        'videos.csv',
        *(f'scores/{video}.npy' for video in VIDEOS),
        *(f'scores/raw/{video}.npy' for video in VIDEOS),
    }
    raw = {video: np.zeros(length, np.float32) for video, length in VIDEOS.items()}
    for item in TinyDataset().load_data_list():
        raw[item['video']][item['frame']] = item['inputs']
    final = {}
    for video, scores in raw.items():
        scores[:FIRST] = scores[FIRST]
        stored = np.load(out / f'scores/raw/{video}.npy', allow_pickle=False)
        np.testing.assert_array_equal(stored, scores)
        final[video] = np.load(out / f'scores/{video}.npy', allow_pickle=False)
        assert stored.dtype == final[video].dtype == np.float32
    truth = np.concatenate(list(LABELS.values()))
    for name, scores in (('auc/micro', final), ('auc/micro_raw', raw)):
        expected = 100 * roc_auc_score(truth, np.concatenate(list(scores.values())))
        assert metrics[name] == pytest.approx(expected)

    with open(out / 'videos.csv', newline='', encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    assert [row['video'] for row in rows] == list(VIDEOS)
    for row in rows:
        label = LABELS[row['video']]
        assert (int(row['frames']), int(row['abnormal_frames'])) == (len(label), label.sum())
        for key, scores in (('auc', final), ('auc_raw', raw)):
            assert row[key] == f'{100 * roc_auc_score(label, scores[row["video"]]):.2f}'


def test_objects_in_an_ordinary_runner(tmp_path):
    smoothing, tracking = dict(type='gaussian', sigma=1), dict(sigma=2)
    metrics, _ = run(tmp_path, Objects(), smoothing=smoothing, tracking=tracking)
    out = tmp_path / 'out'
    assert {name for name in files_below(out) if name.startswith('objects')} == {
        f'objects/{video}.npz' for video in VIDEOS
    }
    assert not [name for name in files_below(out) if 'tmp' in name]
    policy = ScorePolicy(smoothing, tracking)
    inputs = {(d['video'], d['frame']): d['inputs'] for d in TinyDataset().load_data_list()}
    final = {}
    for video, length in VIDEOS.items():
        with np.load(out / f'objects/{video}.npz', allow_pickle=False) as stored:
            table = dict(stored)
        dtypes = {name: column.dtype for name, column in table.items()}
        whole = dict.fromkeys(('frames', 'tubes', 'tracks'), np.dtype(np.int32))
        numbers = dict.fromkeys(('boxes', 'all', 'motion'), np.dtype(np.float32))
        assert dtypes == whole | numbers
        tubes = [2 * f + n for f in range(FIRST, length) for n in range(1 + f % 2)]
        assert table['tubes'].tolist() == tubes
        assert table['frames'].tolist() == [tube // 2 for tube in tubes]
        values = [inputs[video, tube // 2] for tube in tubes]
        both = [2 * v if tube % 2 else v - 1 for v, tube in zip(values, tubes, strict=True)]
        np.testing.assert_array_equal(table['all'], np.float32(both))
        # The one that stands is one track; the other is missing in every second frame.
        assert len(np.unique(table['tracks'])) == 2
        # The files give the scores again.
        lowest = min(float(np.load(path)['all'].min()) for path in (out / 'objects').rglob('*.npz'))
        again = score_video(
            table['frames'], dict(all=table['all']), length, dict(all=lowest), FIRST,
            table['boxes'], policy=policy,
        )  # fmt: skip
        final[video] = np.load(out / f'scores/{video}.npy', allow_pickle=False)
        np.testing.assert_array_equal(final[video], again.final['all'])
        raw = np.load(out / f'scores/raw/{video}.npy', allow_pickle=False)
        np.testing.assert_array_equal(raw, again.raw['all'])
    truth = np.concatenate(list(LABELS.values()))
    expected = 100 * roc_auc_score(truth, np.concatenate(list(final.values())))
    assert metrics['auc/micro'] == pytest.approx(expected)


def test_what_an_earlier_test_left_is_removed(tmp_path):
    run(tmp_path, Objects())
    out = tmp_path / 'out'
    (out / 'notes.txt').write_text('mine')
    np.save(out / 'other.npy', np.zeros(1))
    fewer = dict(videos={'night.1': 9}, labels={})
    run(tmp_path, WholeFrames(), metainfo=fewer)
    assert files_below(out) == {
        'scores/night.1.npy',
        'scores/raw/night.1.npy',
        'notes.txt',
        'other.npy',
    }


def test_other_tools_read_the_files(tmp_path):
    plain = dict(videos={'night.1': 9, 'a b, c.avi': 12}, labels={})
    _, metric = run(tmp_path, Objects(), metainfo=plain)
    out = tmp_path / 'out'
    found = read_scores(out / 'scores')
    assert set(found) == set(plain['videos'])
    np.testing.assert_array_equal(found['night.1'], metric.scored['night.1'].final['all'])
    boxes = read_boxes(out / 'objects', list(plain['videos']), 'all')
    assert len(boxes.frames) == sum(
        len(metric.scored[v].objects['frames']) for v in plain['videos']
    )


def test_a_runner_without_the_metric_is_refused(tmp_path):
    class Lost:
        test_evaluator = type('Evaluator', (), dict(metrics=[DumpResults(str(tmp_path / 'a.pkl'))]))

    with pytest.raises(ValueError, match=r"expected a VADMetric .* found \['DumpResults'\]"):
        ScoreFilesHook(tmp_path).before_test_epoch(Lost)
    Lost.test_evaluator.metrics.append(VADMetric())
    ScoreFilesHook(tmp_path).before_test_epoch(Lost)


@pytest.mark.parametrize(
    ('videos', 'words'),
    [
        (['../up'], "'../up': expected a name that is a path below"),
        (['/etc/x'], "'/etc/x': expected a name that is a path below"),
        (['01', 'raw/01'], "'raw/01': another video has the file .*scores/raw/01.npy"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(tmp_path, videos, words):
    scores = score_video([0], dict(s=[1.0]), 2, dict(s=0))
    with pytest.raises(ValueError, match=words):
        write_score_files(tmp_path / 'out', dict.fromkeys(videos, scores), 's')
    assert files_below(tmp_path) == set()


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    old = score_video([0], dict(s=[1.0]), 2, dict(s=0))
    write_score_files(tmp_path, dict(a=old), 's')
    before = {name: (tmp_path / name).read_bytes() for name in files_below(tmp_path)}

    def broken(path, *args, **kwargs):
        Path(path).write_bytes(b'half')
        raise OSError('disk full')

    monkeypatch.setattr(np, 'save', broken)
    new = score_video([0], dict(s=[2.0]), 2, dict(s=0))
    with pytest.raises(OSError, match='disk full'):
        write_score_files(tmp_path, dict(a=new), 's')
    assert {name: (tmp_path / name).read_bytes() for name in files_below(tmp_path)} == before


def test_files_of_other_videos_stay_unless_the_folder_is_the_tests_alone(tmp_path):
    run(tmp_path, Objects())
    before = files_below(tmp_path / 'out')
    (tmp_path / 'out/metrics.json').write_text('{}')
    scored = {'more': VideoScores({'all': np.zeros(3)}, {}, {'all': np.zeros(3)}, None)}
    write_score_files(tmp_path / 'out', scored, 'all')
    # Figures are of the scores that were there.
    kept = before - {'videos.csv'}
    assert kept < before
    assert files_below(tmp_path / 'out') == kept | {'scores/more.npy', 'scores/raw/more.npy'}
