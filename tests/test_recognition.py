"""SMM in mmaction2's recognisers: every layout, any length, training by mmaction2's own tool."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import REPO
from mmaction.registry import DATASETS as ACTION_DATASETS
from mmaction.registry import MODELS as ACTION_MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmvad.datasets import FrameSource, VideoDataset
from mmvad.models import SMM, SMMMixer, SMMNeck
from mmvad.models.recognition import SMMHead
from mmvad.models.sequence import pooled_steps
from mmvad.preparation.plaza import ACTIONS, write_actions
from mmvad.registry import MODELS

TINY = dict(train_clips=1, test_clips=1, frames=8, size=32)


def run_python(script: str, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, '-c', script],
        env=dict(os.environ, PYTHONPATH=str(REPO), **env),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


@pytest.fixture(scope='module')
def clips(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('actions') / 'actions'
    write_actions(root, **TINY)
    return root


# ---------------------------------------------------------------- SMM over a sequence


def lti(smm: SMM, v: torch.Tensor) -> torch.Tensor:
    """The prediction after each step, by Eq. 3, 4 and 6 written out in float64."""
    a, b, c = (t.double() for t in (smm.A, smm.B, smm.C.weight))
    u = v.double() @ smm.encoder.weight.double().T + smm.encoder.bias.double()
    out = torch.zeros(*v.shape[:2], smm.num_components, dtype=torch.float64)
    for n in range(len(v)):
        own = [torch.zeros(len(a), dtype=torch.float64) for _ in range(len(a))]
        for t in range(v.shape[1]):
            for o in range(len(a)):
                drive = u[n, t].sum() if smm.drive == 'sum' else u[n, t, o]
                own[o] = a @ own[o] + b * drive
                out[n, t, o] = c[o] @ own[o]
    return out @ smm.decoder.weight.double().T + smm.decoder.bias.double()


@pytest.mark.parametrize('drive', ['sum', 'per_component'])
@pytest.mark.parametrize('length', [1, 3, 4, 5, 9])
def test_a_scan_is_the_recurrence(drive: str, length: int):
    torch.manual_seed(0)
    smm = SMM(6, 3, num_components=8, window=4, drive=drive, init_std=0.5)
    v = torch.randn(2, length, 6)
    found, _ = smm.scan(v)
    torch.testing.assert_close(found.double(), lti(smm, v), rtol=1e-4, atol=1e-5)
    state, last = smm.initial_state(2), None
    for step in v.unbind(dim=1):
        last, state = smm.step(step, state)
    torch.testing.assert_close(found[:, -1], last[:, -1], rtol=1e-4, atol=1e-5)


def test_a_scan_goes_on_from_a_state():
    torch.manual_seed(0)
    smm = SMM(5, num_components=8, window=3, drive='per_component', init_std=0.5)
    v = torch.randn(1, 12, 5)
    first, state = smm.scan(v[:, :7])
    second, _ = smm.scan(v[:, 7:9], state)
    torch.testing.assert_close(torch.cat([first, second], 1), smm.scan(v[:, :9])[0])


def test_long_sequences_stay_exact():
    """2,000 steps in float32 are those in float64: the state forgets."""
    torch.manual_seed(0)
    smm = SMM(4, num_components=16, window=5, drive='sum', init_std=0.5)
    exact = SMM(4, num_components=16, window=5, drive='sum').double()
    exact.load_state_dict(smm.state_dict())
    v = torch.randn(1, 2000, 4)
    with torch.no_grad():
        found, reference = smm.scan(v)[0], exact.scan(v.double())[0]
    assert found.isfinite().all()
    assert (found - reference).abs().max() < 1e-4 * reference.abs().max()


# ---------------------------------------------------------------- layouts


def test_layouts_are_the_same_steps():
    maps = torch.randn(2, 7, 3, 4, 5)  # (N, C, T, h, w)
    steps = torch.stack([maps[:, :, t].mean(dim=(2, 3)) for t in range(3)], dim=1)
    batch = maps.transpose(1, 2).reshape(6, 7, 4, 5)
    for x, number in [(maps, None), ([maps[:, :2], maps], None), (batch, 3), (steps, None)]:
        torch.testing.assert_close(pooled_steps(x, number), steps)
    with pytest.raises(ValueError, match='num_segs: expected what divides'):
        pooled_steps(batch, 4)


def test_neck_adds_to_every_cell_what_smm_adds_to_the_step():
    torch.manual_seed(0)
    neck = SMMNeck(7, num_components=8, window=4, init_std=0.5, num_segments=3)
    maps = torch.randn(2, 7, 3, 4, 5)
    out, losses = neck([torch.randn(2, 9, 3, 1, 1), maps])
    assert losses == {} and out.shape == maps.shape
    steps = maps.mean(dim=(3, 4)).transpose(1, 2)
    added = neck.mixer.smm.scan(steps)[0].transpose(1, 2)[..., None, None]
    torch.testing.assert_close(out, maps + added)
    batch = maps.transpose(1, 2).reshape(6, 7, 4, 5)
    torch.testing.assert_close(neck(batch)[0], out.transpose(1, 2).reshape(6, 7, 4, 5))
    neck.average = True
    torch.testing.assert_close(neck(maps)[0], out.mean(dim=2, keepdim=True))


RESNET = dict(type='ResNet', pretrained=None, depth=18, norm_eval=False)
RESNET_3D = dict(
    type='ResNet3d', pretrained=None, depth=18, conv1_kernel=(1, 3, 3), norm_eval=False
)
HEAD = dict(type='mmvad.SMMHead', num_classes=3, in_channels=512, topk=(1,), average_clips='prob')
SMM_NECK = dict(type='mmvad.SMMNeck', in_channels=512)
MODELS_2D_3D = {
    '2d': dict(type='Recognizer2D', backbone=RESNET, cls_head=HEAD),
    '2d clips': dict(type='Recognizer2D', backbone=RESNET, cls_head=dict(HEAD, num_segments=4)),
    '2d neck': dict(
        type='Recognizer2D',
        backbone=dict(RESNET, out_indices=(2, 3)),
        neck=dict(SMM_NECK, average=True),
        cls_head=dict(HEAD, type='TSNHead'),
    ),
    '2d neck and head': dict(
        type='Recognizer2D',
        backbone=dict(RESNET, out_indices=(2, 3)),
        neck=SMM_NECK,
        cls_head=HEAD,
    ),
    '3d': dict(type='Recognizer3D', backbone=RESNET_3D, cls_head=HEAD),
    '3d neck': dict(
        type='Recognizer3D',
        backbone=RESNET_3D,
        neck=SMM_NECK,
        cls_head=dict(HEAD, type='I3DHead'),
    ),
}


@pytest.mark.parametrize('name', MODELS_2D_3D)
def test_recognisers_learn_and_predict(name: str):
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmaction'):
        model = ACTION_MODELS.build(MODELS_2D_3D[name])
    shape = (2, 8, 3, 32, 32) if name.startswith('2d') else (2, 1, 3, 8, 32, 32)
    samples = [ActionDataSample().set_gt_label(n) for n in range(2)]
    # Of several clips a video only when testing.
    learned = (2, 4, 3, 32, 32) if name == '2d clips' else shape
    losses = model(torch.randn(learned), samples, mode='loss')
    losses['loss_cls'].backward()
    smm = next(m for m in model.modules() if isinstance(m, SMM))
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in smm.parameters())
    model.eval()
    with torch.no_grad():
        found = model(torch.randn(shape), samples, mode='predict')
    assert all(sample.pred_score.shape == (3,) for sample in found)


def mixer_sizes() -> dict[str, int]:
    sizes = {}
    for name in ('average', 'smm', 'gru', 'conv', 'tsm'):
        cfg = Config.fromfile(REPO / f'configs/recognition/{name}.py')
        mixer = MODELS.build(dict(cfg.model.cls_head.mixer, in_channels=512))
        sizes[name] = sum(p.numel() for p in mixer.parameters())
    return sizes


@pytest.mark.parametrize('name', ['average', 'smm', 'gru', 'conv', 'tsm'])
def test_models_of_the_configs_begin_from_nothing(name):
    """As a run begins: no weights are looked for."""
    cfg = Config.fromfile(REPO / f'configs/recognition/{name}.py')
    with DefaultScope.overwrite_default_scope('mmaction'):
        ACTION_MODELS.build(cfg.model).init_weights()


def test_equal_parameters():
    """What the configs compare differs in kind, not in size."""
    sizes = mixer_sizes()
    # Encoder and decoder with biases, C.
    assert sizes['smm'] == (512 * 64 + 64) + 64 * 64 + (64 * 512 + 512)
    assert all(abs(size / sizes['smm'] - 1) < 0.02 for size in sizes.values()), sizes


def test_smm_head_is_a_sequence_head_with_smm():
    head = SMMHead(3, 16, num_components=8, window=4)
    assert isinstance(head.mixer, SMMMixer) and head.mixer.smm.num_components == 8
    head.eval()
    x = torch.randn(2, 6, 16)
    expected = head.fc_cls((x + head.mixer.smm.scan(x)[0]).mean(dim=1))
    torch.testing.assert_close(head(x), expected)


@pytest.mark.slow
@pytest.mark.parametrize('first', ['mmaction.models', 'mmvad'])
def test_only_the_package_needs_an_import(first: str):
    """`custom_imports=['mmvad']` is all, whatever was imported before."""
    script = f"""
import importlib
try:
    importlib.import_module({first!r})
except ModuleNotFoundError as error:  # mmaction2 1.2.0's own gap, before mmvad closes it
    assert 'drn' in str(error)
from mmengine.utils import import_modules_from_strings
import_modules_from_strings(['mmvad'], allow_failed_imports=False)
from mmengine.registry import DefaultScope
from mmaction.registry import MODELS, DATASETS
DefaultScope.get_instance('test', scope_name='mmaction')
head = MODELS.build({HEAD!r})
print(type(head).__name__, DATASETS.get('mmvad.VideoDataset').__name__)
"""
    assert run_python(script) == 'SMMHead VideoDataset'


# ---------------------------------------------------------------- datasets


def pipeline(frames: int) -> list[dict]:
    return [
        dict(type='SampleFrames', clip_len=1, num_clips=frames, test_mode=True),
        dict(type='RawFrameDecode'),
        dict(type='FormatShape', input_format='NCHW'),
        dict(type='PackActionInputs'),
    ]


@pytest.mark.parametrize('names', ['{:03d}.jpg', '{}.jpg', 'img_{:05d}.jpg'])
@pytest.mark.parametrize('first', [0, 1])
def test_frame_folders_in_an_mmaction_pipeline(clips: Path, tmp_path: Path, names: str, first: int):
    """Frames decode as mmvad's own reader decodes them, whatever their names."""
    if names == '{}.jpg':
        names = '{:d}.jpg'
    source = clips / 'testing/frames/walk_000'
    folder = tmp_path / 'frames' / 'one'
    folder.mkdir(parents=True)
    for number in range(8):
        (folder / names.format(first + number)).symlink_to(source / f'{number:03d}.jpg')
    with DefaultScope.overwrite_default_scope('mmaction'):
        dataset = ACTION_DATASETS.build(
            dict(
                type='mmvad.VideoDataset',
                data_root=str(tmp_path),
                data_prefix=dict(img='frames'),
                pipeline=pipeline(8),
            )
        )
        inputs = dataset[0]['inputs']
    expected = np.stack([frame for frame in FrameSource(folder)]).transpose(0, 3, 1, 2)
    # mmaction2 decodes to RGB.
    assert np.array_equal(inputs.numpy(), expected[:, ::-1])


def test_images_that_are_not_numbered_are_refused_by_name(clips: Path, tmp_path: Path):
    folder = tmp_path / 'frames' / 'one'
    folder.mkdir(parents=True)
    for number in (0, 1, 3):
        (folder / f'{number}.jpg').symlink_to(clips / 'testing/frames/walk_000/000.jpg')
    args = dict(data_root=str(tmp_path), data_prefix=dict(img='frames'))
    with DefaultScope.overwrite_default_scope('mmaction'):
        dataset = VideoDataset(**args, pipeline=pipeline(2))
        with pytest.raises(ValueError, match=f'{folder}: images are not numbered without gaps'):
            dataset[0]
    assert VideoDataset(**args)[0]['total_frames'] == 3


def test_actions_are_the_same_again_and_whole(clips: Path, tmp_path: Path):
    write_actions(tmp_path / 'again', **TINY)
    files = sorted(p.relative_to(clips) for p in clips.rglob('*.jpg'))
    assert len(files) == 2 * len(ACTIONS) * 8
    assert all((clips / f).read_bytes() == (tmp_path / 'again' / f).read_bytes() for f in files)
    with pytest.raises(ValueError, match='was made with other settings: seed is 0, not 1'):
        write_actions(clips, **TINY | dict(seed=1))
    (tmp_path / 'taken').mkdir()
    (tmp_path / 'taken' / 'thesis.txt').touch()
    with pytest.raises(ValueError, match='holds files that are no part'):
        write_actions(tmp_path / 'taken', **TINY)


def test_actions_differ_by_motion(clips: Path):
    """Who stands still changes less from frame to frame than who runs or falls."""

    def change(action: str) -> float:
        frames = FrameSource(clips / f'testing/frames/{action}_000')
        middle = np.stack([f[4:28, 10:22] for f in frames]).astype(float)
        return float(np.abs(np.diff(middle, axis=0)).mean())

    assert change('still') < min(change('run'), change('fall'), change('cycle'))


# ---------------------------------------------------------------- mmaction2's own tool


@pytest.mark.slow
def test_mmaction2_trains_it(clips: Path, tmp_path: Path):
    """mmaction2's installed tools/train.py, on a config that it reads by itself."""
    tool = Path(sysconfig.get_path('purelib')) / 'mmaction/.mim/tools/train.py'
    cfg = Config.fromfile(REPO / 'configs/recognition/smm.py')
    cfg.merge_from_dict(
        {
            'num_segs': 4,
            'model.cls_head.num_segments': 4,
            'train_cfg.max_epochs': 1,
            'train_cfg.val_interval': 1,
            'train_dataloader.batch_size': 3,
            'train_dataloader.dataset.data_root': str(clips),
            'train_dataloader.dataset.actions': TINY,
            'train_dataloader.dataset.pipeline.0.num_clips': 4,
            'val_dataloader.dataset.data_root': str(clips),
            'val_dataloader.dataset.actions': TINY,
            'val_dataloader.dataset.pipeline.0.num_clips': 4,
            'default_hooks.logger.interval': 1,
            'default_hooks.checkpoint.interval': 1,
        }
    )
    cfg.dump(tmp_path / 'config.py')
    done = subprocess.run(
        [sys.executable, str(tool), 'config.py', '--work-dir', 'work'],
        cwd=tmp_path,
        env=dict(os.environ, PYTHONPATH=str(REPO)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (scalars,) = (tmp_path / 'work').rglob('scalars.json')
    lines = [json.loads(line) for line in scalars.read_text().splitlines()]
    assert sum('loss_cls' in line for line in lines) == 2
    assert 0 <= lines[-1]['acc/top1'] <= 1
    weights = torch.load(tmp_path / 'work/epoch_1.pth', weights_only=True)['state_dict']
    assert weights['cls_head.mixer.smm.encoder.weight'].shape == (64, 512)


# ---------------------------------------------------------------- documentation and tool


def test_the_guide_runs(tmp_path: Path):
    """Its blocks as they stand; its figures of parameters are those of the configs."""
    text = (REPO / 'docs/guides/smm_in_mmaction2.md').read_text()
    blocks = re.findall(r'^```python\n(.*?)^```$', text, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 5
    done = subprocess.run(
        [sys.executable, '-c', '\n'.join(blocks)],
        cwd=tmp_path,
        env=dict(os.environ, PYTHONPATH=str(REPO)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = dict(re.findall(r'^\| `(\w+)\.py` \|.*\| ([\d,]+) \|$', text, re.MULTILINE))
    assert {name: int(size.replace(',', '')) for name, size in rows.items()} == mixer_sizes()


def test_the_tool_of_long_sequences():
    tool = [sys.executable, str(REPO / 'tools/analysis_tools/smm_cost.py'), '--lengths']
    env = dict(os.environ, PYTHONPATH=str(REPO))
    done = subprocess.run([*tool, '50', '200'], env=env, capture_output=True, text=True)
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    assert [row[0] for row in rows] == ['50', '200']
    assert all(float(row[1]) > 0 and 0 < float(row[2]) < 1e-5 for row in rows)
    done = subprocess.run([*tool, '5'], env=env, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith('error: --lengths: 5, expected more')
