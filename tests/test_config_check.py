"""Misspelt configs are refused with a proposal; right ones pass."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.model import BaseModel

from mmvad.engine.config_check import check_config, check_options
from mmvad.registry import MODELS

REPO = Path(__file__).parents[1]
CONFIGS = [
    path
    for path in sorted((REPO / 'configs').rglob('*.py'))
    if '_base_' not in path.parts and 'runner_type' in Config.fromfile(path)
]
KNOWN = [
    'runner_type', 'default_scope', 'train_dataset', 'test_dataset', 'proposer', 'captioner',
    'model', 'stages', 'default_hooks', 'custom_hooks', 'env_cfg', 'visualizer', 'vis_backends',
    'log_processor', 'log_level', 'randomness', 'work_dir', 'load_from', 'resume',
]  # fmt: skip


class ToyScorer(BaseModel):
    def __init__(self, neighbours: int = 3, dims: int = 8) -> None: ...


class ToyModel(BaseModel):
    def __init__(
        self,
        scorer: dict,
        backbone: dict | None = None,
        norm_cfg: dict | None = None,
        smoothing: dict | None = None,
        train_cfg: dict | None = None,
        cfg_options: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None: ...


@pytest.fixture(autouse=True, scope='module')
def toys() -> Iterator[None]:
    for module in (ToyScorer, ToyModel):
        # In mmvad's package, where the parts of a component are built of just what their dicts say.
        module.__module__ = 'mmvad.toys'
        MODELS.register_module(module=module)
    yield
    del MODELS.module_dict['ToyScorer'], MODELS.module_dict['ToyModel']


def right() -> dict:
    """A config without a mistake, with all that may stand in one."""
    stage = dict(
        train_stride=2,
        train_dataloader=dict(
            batch_size=4,
            num_workers=0,
            drop_last=True,
            num_batch_per_epoch=3,
            collate_fn=dict(type='default_collate'),
            sampler=dict(type='DefaultSampler', shuffle=True),
            dataset=dict(
                type='VideoDataset',
                data_root='data',
                test_mode=True,
                pipeline=[
                    dict(type='LoadTubeFrames', depth=1),
                    dict(type='CropTubes', size=(8, 8)),
                ],
            ),
        ),
        train_cfg=dict(max_epochs=3, by_epoch=True),
        val_cfg=dict(fp16=False),
        optim_wrapper=dict(
            type='OptimWrapper',
            optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.1),
            clip_grad=dict(type='norm', max_norm=1.0),
            accumulative_counts=2,
            constructor='DefaultOptimWrapperConstructor',
            paramwise_cfg=dict(norm_decay_mult=0.0, custom_keys=dict(head=dict(lr_mult=0.1))),
        ),
        param_scheduler=[
            dict(
                type='LinearLR', start_factor=0.1, by_epoch=True, end=1, convert_to_iter_based=True
            )
        ],
        custom_hooks=[dict(type='EMAHook', priority='LOW', momentum=1e-3)],
    )
    return dict(
        default_scope='mmvad',
        crop_size=(8, 8),
        conv_cfg=dict(type='Conv2d', whatever=1),
        train_dataset=dict(type='VideoDataset', data_root='data', data_prefix=dict(img='a')),
        proposer=dict(type='ForegroundProposer', threshold=20, min_overlap=0.3),
        model=dict(
            type='ToyModel',
            scorer=dict(type='ToyScorer', neighbours=3),
            backbone=dict(
                type='mmaction.ResNet',
                depth=18,
                norm_cfg=dict(type='BN', requires_grad=True),
            ),
            norm_cfg=dict(type='BN', requires_grad=True),
            smoothing=dict(type='gaussian', sigma=3),
            train_cfg=dict(rpn=dict(allowed_border=-1)),
            cfg_options=dict(model=dict(type='Anything', at=1)),
            init_cfg=dict(type='Normal', layer='Linear', override=dict(type='Constant', name='x')),
        ),
        stages=dict(
            first=stage,
            second=dict(
                train_cfg=dict(by_epoch=False, max_iters=3),
                optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1), type='AmpOptimWrapper',
                                   dtype='float16', loss_scale='dynamic', clip_grad=None),
            ),
        ),
        default_hooks=dict(
            timer=dict(type='IterTimerHook'),
            checkpoint=dict(type='CheckpointHook', interval=1, priority='VERY_LOW'),
            param_scheduler=dict(type='ParamSchedulerHook'),
        ),
        env_cfg=dict(cudnn_benchmark=False, mp_cfg=dict(opencv_num_threads=1), dist_cfg=dict()),
        randomness=dict(seed=0, deterministic=True, diff_rank_seed=False),
        log_processor=dict(window_size=20, by_epoch=True),
        visualizer=None,
    )  # fmt: skip


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_real_config_passes(path: Path):
    check_config(Config.fromfile(path), KNOWN)


def test_right_config_passes():
    check_config(right(), KNOWN)
    check_config(Config(right()), KNOWN)


TYPOS = [
    ('proposer.thresold', 1, 'ForegroundProposer', 'threshold'),
    ('proposer.min_overlp', 1, 'ForegroundProposer', 'min_overlap'),
    ('train_datset', {}, '', 'train_dataset'),
    ('randomnes', {}, '', 'randomness'),
    ('train_dataset.dataroot', 'x', 'VideoDataset', 'data_root'),
    ('train_dataset.test_mod', True, 'VideoDataset', 'test_mode'),
    ('randomness.sead', 1, '', 'seed'),
    ('env_cfg.cudnn_benchmrk', True, '', 'cudnn_benchmark'),
    ('log_processor.windowsize', 9, 'LogProcessor', 'window_size'),
    ('model.scorer.neighbors', 3, 'ToyScorer', 'neighbours'),
    ('model.backbone.dept', 3, 'ResNet', 'depth'),
    ('model.norm_cfg.momentm', 0.1, 'BatchNorm2d', 'momentum'),
    ('model.init_confg', None, 'ToyModel', 'init_cfg'),
    ('model.type', 'ToyModl', '', 'ToyModel'),
    ('default_hooks.checkpoint.intervall', 1, 'CheckpointHook', 'interval'),
    ('default_hooks.param_scheduler.type', 'ParamSchedulrHook', '', 'ParamSchedulerHook'),
    ('stages.first.custom_hooks.0.priorty', 'LOW', 'EMAHook', 'priority'),
    ('stages.first.optim_wrapper.optimizer.learning_rate', 1, 'AdamW', 'lr'),
    ('stages.first.optim_wrapper.clip_gradient', {}, 'OptimWrapper', 'clip_grad'),
    ('stages.second.optim_wrapper.loss_scal', 1, 'AmpOptimWrapper', 'loss_scale'),
    ('stages.first.param_scheduler.0.start_fctor', 1, 'LinearLR', 'start_factor'),
    ('stages.first.train_cfg.max_epoch', 1, 'EpochBasedTrainLoop', 'max_epochs'),
    ('stages.second.train_cfg.max_iter', 1, 'IterBasedTrainLoop', 'max_iters'),
    ('stages.first.train_dataloader.num_worker', 1, 'a dataloader', 'num_workers'),
    ('stages.first.train_dataloader.sampler.shufle', True, 'DefaultSampler', 'shuffle'),
    ('stages.first.train_dataloader.collate_fn.type', 'default_colate', '', 'default_collate'),
    ('stages.first.train_dataloader.dataset.pipeline.1.sise', 1, 'CropTubes', 'size'),
    ('stages.first.train_dataloader.dataset.pipeline.1.type', 'CropTube', '', 'CropTubes'),
    ('stages.first.train_dataloader.dataset.pipeline.1.type', 'croptubes', '', 'CropTubes'),
    ('stages.first.train_dataloader.dataset.pipeline.0.type', 'mmaction.SampleFrame', '',
     'mmaction.SampleFrames'),
    ('conv_cfg.padding_mod', 'zeros', 'Conv2d', 'padding_mode'),
]  # fmt: skip


@pytest.mark.parametrize(('key', 'value', 'who', 'meant'), TYPOS, ids=[typo[0] for typo in TYPOS])
def test_typo_is_refused_with_what_was_meant(key, value, who, meant):
    cfg = Config(right())
    cfg.merge_from_dict({key: value})
    with pytest.raises(ValueError) as caught:
        check_config(cfg, KNOWN)
    message = str(caught.value)
    assert message.startswith(f'{key}: {who}')
    assert message.endswith(f'; did you mean {meant!r}?')
    assert '\n' not in message


def test_nothing_near_names_what_there_is():
    cfg = right()
    cfg['proposer']['zzz'] = 1
    with pytest.raises(ValueError, match=r'^proposer\.zzz: .*known are .*threshold'):
        check_config(cfg, KNOWN)
    cfg = right()
    cfg['model']['scorer']['type'] = 'Zzz'
    with pytest.raises(ValueError, match=r"^model\.scorer\.type: nothing is registered as 'Zzz'$"):
        check_config(cfg, KNOWN)


def test_own_variables_are_free():
    cfg = dict(right(), branch=dict(type='ToyScorer', new=1), data_root='x', val_dataset={})
    check_config(cfg, KNOWN)
    with pytest.raises(ValueError, match=r'^crop_size: no such setting'):
        check_config(cfg, KNOWN, free=False)


def test_words_of_other_projects_are_theirs():
    """mmdet's models take out of their parts' dicts what they like, and have types of their own."""
    detector = dict(
        type='mmdet.RPN',
        backbone=dict(type='ResNet', depth=18),
        rpn_head=dict(type='RPNHead', roi_layer=dict(type='RoIAlign', output_size=7)),
        test_cfg=dict(rpn=dict(nms=dict(type='nms', iou_threshold=0.5))),
    )
    check_config(dict(model=detector), ['model'])
    # But a slip is one there too.
    detector['backbone']['dept'] = 1
    with pytest.raises(ValueError, match=r"^model\.backbone\.dept: .*'depth'"):
        check_config(dict(model=detector), ['model'])


def test_scope_is_heeded():
    part = dict(type='ResNet', depth=18, _scope_='mmaction')
    check_config(dict(model=part), ['model'])
    del part['_scope_']
    check_config(dict(model=part, default_scope='mmaction'), ['model'])
    with pytest.raises(ValueError, match=r"^model\.type: nothing is registered as 'ResNet'"):
        check_config(dict(model=part), ['model'])


def test_several_optimizers_and_their_schedulers():
    cfg = right()
    stage = cfg['stages']['first']
    stage['optim_wrapper'] = dict(a=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1)))
    stage['param_scheduler'] = dict(a=[dict(type='StepLR', step_size=1)])
    check_config(cfg, KNOWN)
    stage['param_scheduler']['a'][0]['stepsize'] = 1
    with pytest.raises(ValueError, match=r"param_scheduler\.a\.0\.stepsize: .*'step_size'"):
        check_config(cfg, KNOWN)


def test_config_is_left_as_it_was():
    cfg = right()
    before = copy.deepcopy(cfg)
    check_config(cfg, KNOWN)
    assert cfg == before


@pytest.mark.parametrize(
    'option',
    [
        'proposer.threshold',
        'proposer.not_there_yet',
        'load_from',
        'crop_size',
        'stages.first.param_scheduler.0.end',
        'stages.first.train_dataloader.dataset.pipeline.1.size',
        'stages.third.new.key',
    ],
)
def test_option_that_fits(option):
    cfg = Config(right())
    check_options({option: 1}, cfg, KNOWN)
    cfg.merge_from_dict({option: 1})


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('propser.threshold', "the config has no 'propser'; did you mean 'proposer'?"),
        ('crop_sise', "the config has no 'crop_sise'; did you mean 'crop_size'?"),
        ('load_fom', "the config has no 'load_fom'; did you mean 'load_from'?"),
        (
            'stages.first.param_scheduler.1.end',
            "stages.first.param_scheduler is a list of 1, it has no '1'",
        ),
        (
            'stages.first.param_scheduler.end',
            "stages.first.param_scheduler is a list of 1, it has no 'end'",
        ),
        ('visualizer.type', "visualizer is None, it has no 'type'"),
        ('crop_size.0', "crop_size is (8, 8), it has no '0'"),
    ],
)
def test_option_that_fits_nowhere(option, message):
    with pytest.raises(ValueError, match=f'^{re.escape(f"{option}: {message}")}$'):
        check_options({option: 1}, Config(right()), KNOWN)


def test_option_may_replace_a_value():
    cfg = Config(right())
    options = {'visualizer._delete_': True, 'visualizer.type': 'Visualizer'}
    check_options(options, cfg, KNOWN)
    cfg.merge_from_dict(options)
    check_config(cfg, KNOWN)
