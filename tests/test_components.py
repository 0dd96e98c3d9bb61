"""The classes that configs name, their arguments, and the settings that shape a result."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.hooks import CheckpointHook
from mmengine.optim import CosineAnnealingLR
from torch.optim import AdamW

from mmvad.datasets.transforms import CropTubes
from mmvad.engine.components import (
    accepted_arguments,
    argument_names,
    component,
    component_class,
    registered_names,
    registry_of,
    shaping_settings,
)
from mmvad.proposals import BaseProposer, ForegroundProposer
from mmvad.registry import DATASETS, HOOKS, MODELS, OPTIMIZERS, PROPOSERS, TRANSFORMS

CROP = 'mmvad.datasets.transforms.crops.CropTubes'


class ToyBase:
    speed_only = ('keep',)
    file_arguments = ('weights',)

    def __init__(self, size: int = 1, keep: int = 2, weights: object = None) -> None: ...


class ToyReader(ToyBase):
    speed_only = ('workers',)
    file_arguments = ('words',)

    def __init__(self, workers: int = 0, words: object = None, **kwargs) -> None:
        super().__init__(**kwargs)


class ToyKeeper:
    """One whose own ``keep`` and ``num_workers`` change what comes out."""

    def __init__(self, keep: int = 1, num_workers: int = 1, part: object = None) -> None: ...


@pytest.fixture(autouse=True)
def toys() -> Iterator[None]:
    TRANSFORMS.register_module(module=ToyReader)
    MODELS.register_module(module=ToyKeeper)
    yield
    del TRANSFORMS.module_dict['ToyReader'], MODELS.module_dict['ToyKeeper']


def settings(cfg: object) -> object:
    """Shaping settings with a content for a digest; JSON must hold them."""
    shaped = shaping_settings(cfg, lambda path: f'content {path.read_text()}')
    return json.loads(json.dumps(shaped))


# -------------------------------------------------------------------- classes


@pytest.mark.parametrize(
    ('type_', 'expected'),
    [
        ('CropTubes', CropTubes),
        ('mmvad.CropTubes', CropTubes),
        (CropTubes, CropTubes),
        (CROP, CropTubes),
        ('CheckpointHook', CheckpointHook),
        ('mmengine.CheckpointHook', CheckpointHook),
        ('AdamW', AdamW),
        ('torch.optim.AdamW', AdamW),
        ('CosineAnnealingLR', CosineAnnealingLR),
        ('ForegroundProposer', ForegroundProposer),
    ],
)
def test_class_is_found(type_, expected):
    assert component_class(type_) is expected


@pytest.mark.parametrize(
    'type_', ['mmaction.ResNet', 'mmdet.RPN', 'mmcv.cnn.bricks.ConvModule', 'BN', 'Kaiming']
)
def test_class_of_a_sibling_is_found(type_):
    found = component_class(type_)
    assert found.__module__.startswith(('mmaction.', 'mmdet.', 'mmcv.', 'torch.', 'mmengine.'))


@pytest.mark.parametrize(
    'type_',
    [
        'CropTube',
        'mmvad.CropTube',
        'mmaction.CropTubes',
        'no_such_project.Thing',
        'mmvad.engine',
        'gaussian',
        '',
        '.',
        './weights.pth',
        'a..b',
        None,
        3,
        'default_collate',
    ],
)
def test_no_class_is_quietly_none(type_, capfd, recwarn):
    assert component_class(type_) is None
    assert capfd.readouterr() == ('', '')
    assert not recwarn.list


def test_functions_are_components_but_no_classes():
    assert component('default_collate') is default_collate
    assert component_class(default_collate) is None


def test_bare_name_imports_no_module_of_that_name():
    """MMEngine's own look-up would run Python's `this`."""
    script = (
        'import sys; from mmvad.engine.components import component\n'
        "assert component('this') is None and 'this' not in sys.modules\n"
        "assert component('CropTubes') and 'open_clip' not in sys.modules"
    )
    subprocess.run([sys.executable, '-c', script], check=True)


def test_registry_decides_between_namesakes():
    class Namesake: ...

    MODELS.register_module(module=Namesake)
    DATASETS.register_module(name='Namesake', module=ToyKeeper)
    try:
        assert component_class('Namesake', MODELS) is Namesake
        assert component_class('Namesake', DATASETS) is ToyKeeper
        assert component_class('Namesake', TRANSFORMS) is not None
    finally:
        del MODELS.module_dict['Namesake'], DATASETS.module_dict['Namesake']


def test_scope_goes_first():
    assert component_class('ResNet') is None
    assert component('ResNet', scope='mmaction').__module__.startswith('mmaction')
    assert component('CropTubes', scope='mmaction') is CropTubes


@pytest.mark.parametrize(
    ('key', 'expected'),
    [
        ('custom_hooks', HOOKS),
        ('train_dataset', DATASETS),
        ('pipeline', TRANSFORMS),
        ('optimizer', OPTIMIZERS),
        ('proposer', PROPOSERS),
        ('crop_size', None),
    ],
)
def test_registry_of_a_key(key, expected):
    assert registry_of(key) is expected


def test_registered_names():
    assert {'CropTubes', 'AdamW', 'CheckpointHook'} <= registered_names()
    assert 'CropTubes' in registered_names(TRANSFORMS)
    assert 'AdamW' not in registered_names(TRANSFORMS)
    component('mmaction.ResNet')
    assert 'mmaction.ResNet' in registered_names(MODELS, 'mmaction')


# -------------------------------------------------------------------- arguments


def test_arguments_follow_kwargs_to_the_base():
    assert accepted_arguments(ToyReader) == {'workers', 'words', 'size', 'keep', 'weights'}
    proposer = accepted_arguments(ForegroundProposer)
    assert {'threshold', 'min_overlap'} <= proposer
    assert accepted_arguments(BaseProposer) < proposer
    # LinearLR's own constructor is that of two bases.
    assert {'start_factor', 'begin', 'by_epoch'} <= accepted_arguments(component_class('LinearLR'))


def test_arguments_follow_kwargs_in_the_order_of_inheritance():
    class Left(ToyBase):
        def __init__(self, left: int = 0, **rest) -> None:
            super(Left, self).__init__(**rest)  # noqa: UP008

    class Right(ToyBase):
        def __init__(self, right: int = 0) -> None: ...

    class Both(Left, Right): ...

    assert accepted_arguments(Both) == {'left', 'right'}


def test_arguments_without_end():
    class Swallows(ToyBase):
        def __init__(self, size: int, **kwargs) -> None:
            super().__init__(size)
            self.extra = kwargs

    class Reads(ToyBase):
        def __init__(self, **kwargs) -> None:
            self.more = kwargs.pop('more', 0)
            super().__init__(**kwargs)

    class Skips(ToyReader):
        def __init__(self, **kwargs) -> None:
            super(ToyReader, self).__init__(**kwargs)

    class Hidden:
        def __init__(*args, **kwargs) -> None: ...

    for cls in (Swallows, Reads, Skips, Hidden, CheckpointHook, dict):
        assert accepted_arguments(cls) is None, cls
    # What is declared is known all the same.
    assert argument_names(Reads) == ({'size', 'keep', 'weights'}, True)
    assert 'interval' in argument_names(CheckpointHook)[0]


def test_arguments_of_plain_classes_and_functions():
    class Bare: ...

    assert accepted_arguments(Bare) == frozenset()
    assert 'self' not in accepted_arguments(AdamW)
    assert accepted_arguments(default_collate) == {'data_batch'}


# -------------------------------------------------------------------- settings


def test_only_what_a_class_calls_speed_is_dropped():
    reader = dict(type='ToyReader', size=3, keep=5, workers=4)
    assert settings(reader) == dict(type=f'{__name__}.ToyReader', size=3)
    keeper = dict(type='ToyKeeper', keep=5, num_workers=4, part=reader)
    assert settings(keeper) == dict(
        type=f'{__name__}.ToyKeeper', keep=5, num_workers=4, part=settings(reader)
    )
    assert settings(dict(keep=5, workers=4)) == dict(keep=5, workers=4)
    unknown = dict(type='NobodyKnows', keep=5)
    assert settings(unknown) == unknown


def test_dataloaders_lose_their_speed_at_their_own_level():
    loader = dict(
        batch_size=4,
        num_workers=2,
        persistent_workers=True,
        prefetch_factor=3,
        pin_memory=True,
        timeout=9,
        dataset=dict(type='ToyKeeper', num_workers=2),
        collate_fn=dict(type='default_collate'),
    )
    shaped = settings(dict(train_dataloader=loader, other=dict(num_workers=1)))
    assert shaped['other'] == dict(num_workers=1)
    assert shaped['train_dataloader'].keys() == loader.keys() - {
        'prefetch_factor', 'pin_memory', 'timeout'
    }  # fmt: skip
    assert shaped['train_dataloader']['dataset']['num_workers'] == 2


@pytest.mark.parametrize('type_', ['mmvad.CropTubes', CropTubes, CROP])
def test_type_however_it_is_named(type_):
    assert settings(dict(type=type_, size=(32, 32))) == dict(type=CROP, size=[32, 32])
    assert settings(dict(type='CropTubes', size=[32, 32])) == dict(type=CROP, size=[32, 32])


def test_scope_is_part_of_the_name():
    scoped = dict(type='ResNet', depth=18, _scope_='mmaction')
    assert settings(scoped) == settings(dict(type='mmaction.ResNet', depth=18))


def test_files_by_their_content(tmp_path: Path):
    first, second = tmp_path / 'first.pth', tmp_path / 'second.pth'
    first.write_text('A')
    second.write_text('A')
    one = settings(dict(type='ToyReader', weights=str(first), words=dict(a=str(first), b='tag')))
    two = settings(dict(type='ToyReader', weights=second, words=dict(a=str(second), b='tag')))
    assert one == two
    assert one['weights'] == 'content A' and one['words'] == dict(a='content A', b='tag')
    second.write_text('B')
    assert settings(dict(type='ToyReader', weights=str(second))) != settings(
        dict(type='ToyReader', weights=str(first))
    )
    assert settings(dict(type='ToyReader', words=[str(first), 'x']))['words'] == ['content A', 'x']


@pytest.mark.parametrize(
    'name', ['https://host/a.pth', 'mmdet::rpn/rpn.py', 'laion2b', '', 'x' * 5000]
)
def test_what_is_no_file_stays(name):
    assert settings(dict(type='ToyReader', weights=name))['weights'] == name


def test_folder_and_undeclared_file_stay(tmp_path: Path):
    file = tmp_path / 'file'
    file.write_text('A')
    shaped = settings(dict(type='ToyReader', weights=str(tmp_path), size=str(file)))
    assert shaped['weights'] == str(tmp_path) and shaped['size'] == str(file)


def test_config_file_counts_with_its_bases(tmp_path: Path):
    base, config = tmp_path / 'base.py', tmp_path / 'config.py'
    base.write_text('a = 1\n')
    config.write_text("_base_ = './base.py'\nb = 2\n")
    part = dict(type='ToyReader', weights=str(config))
    before = settings(part)
    config.write_text("# Said otherwise.\n_base_ = ['./base.py']\nb = 1 + 1\n")
    assert settings(part) == before
    base.write_text('a = 2\n')
    assert settings(part) != before


@pytest.mark.parametrize('suffix', ['.yaml', '.json'])
def test_configs_of_other_formats_count_with_their_bases(tmp_path: Path, suffix):
    base, config = tmp_path / f'base{suffix}', tmp_path / f'config{suffix}'
    base.write_text('{"a": 1}')
    config.write_text(json.dumps(dict(_base_=f'./base{suffix}', b=2)))
    part = dict(type='ToyReader', weights=str(config))
    before = settings(part)
    base.write_text('{"a": 2}')
    assert settings(part) != before


def test_weights_that_components_of_others_start_from_count(tmp_path: Path):
    first, second = tmp_path / 'first.pth', tmp_path / 'second.pth'
    first.write_text('A')
    second.write_text('A')
    init = dict(type='BranchBackbone', init_cfg=dict(type='Pretrained', checkpoint=str(first)))
    resnet = dict(type='mmaction.ResNet', depth=18, pretrained=str(first))
    before = [settings(part) for part in (init, resnet)]
    moved = [
        dict(init, init_cfg=dict(type='Pretrained', checkpoint=str(second))),
        dict(resnet, pretrained=str(second)),
    ]
    assert [settings(part) for part in moved] == before
    first.write_text('B')
    assert all(settings(part) != held for part, held in zip((init, resnet), before, strict=True))
    assert settings(dict(resnet, pretrained='torchvision://resnet18'))['pretrained'] == (
        'torchvision://resnet18'
    )


def test_a_folder_of_a_clip_counts_as_what_it_holds(tmp_path: Path):
    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'open_clip_config.json').write_text('{}')
        (tmp_path / name / 'model.safetensors').write_text('A')
    one, two = (
        settings(dict(type='CLIPCaptioner', model=f'local-dir:{tmp_path / name}')) for name in 'ab'
    )
    assert one == two and str(tmp_path) not in one['model']
    (tmp_path / 'b/model.safetensors').write_text('B')
    assert settings(dict(type='CLIPCaptioner', model=f'local-dir:{tmp_path / "b"}')) != one
    for name in ('ViT-B-32', 'hf-hub:lab/tiny', 'local-dir:nowhere'):
        assert settings(dict(type='CLIPCaptioner', model=name))['model'] == name


def test_configs_and_plain_dicts_are_equal():
    part = dict(crops=[dict(type='ToyReader', size=(1, 2), keep=1)], none=None, on=True)
    assert settings(Config(dict(part=part))) == settings(dict(part=part))
    assert settings(Config(dict(part=part)).part) == settings(part)


def test_strange_values_are_strings_without_addresses():
    class Odd: ...

    values = [np.mean, Odd, Odd(), Path('a/b'), lambda: 0]
    shaped = settings(values)
    assert shaped == settings([np.mean, Odd, Odd(), Path('a/b'), lambda: 0])
    assert all(isinstance(value, str) and '0x' not in value for value in shaped)
    assert shaped[0].endswith('.mean') and shaped[3] == 'a/b'
    assert settings({1: (2, [3])}) == {'1': [2, [3]]}
