"""Every reader with some damaged files; ``make test-faults`` tries many more."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import tiny_config
from damaged import READERS, Child, attempts
from scipy.io import savemat

from mmvad.apis import init_model
from mmvad.datasets.annotations import read_annotations
from mmvad.datasets.ground_truth.pixel_masks import check_pixel_masks
from mmvad.engine.components import is_registered
from mmvad.registry import MODELS, RUNNERS
from mmvad.structures import StageFolder, mat_files, read_captions, read_checkpoint

# Of a second and more a file.
SLOW = ('model_localvad', 'model_config_localvad')


@pytest.fixture(scope='module')
def child() -> Iterator[Child]:
    child = Child()
    yield child
    child.end()


@pytest.mark.parametrize('name', [name for name in READERS if name not in SLOW])
def test_damaged_files_are_refused_or_read(name, tmp_path, child):
    # Readers of .mat files start an interpreter for each.
    examples = 8 if READERS[name].starts else 50
    assert not attempts(name, tmp_path / name, child, examples).failures


@pytest.fixture(scope='module')
def whole(plaza, tmp_path_factory) -> Path:
    """The work dir of a run of the fast method."""
    work_dir = tmp_path_factory.mktemp('whole') / 'run'
    RUNNERS.build(tiny_config(plaza, work_dir, method='attributes')).train()
    return work_dir


@pytest.fixture
def run(whole, tmp_path) -> Path:
    """A copy of it, to be written to."""
    return Path(shutil.copytree(whole, tmp_path / 'run'))


def test_stored_attributes_that_are_not_finite_are_not_scored(plaza, run):
    """Not even where the manifest takes the file for what the stage left."""
    path = run / 'features/testing/attributes/01.npy'
    stat = path.stat()
    attributes = np.load(path, allow_pickle=False)
    attributes[3, 1] = np.nan
    np.save(path, attributes)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_size == stat.st_size
    with pytest.raises(ValueError, match='attributes/01.npy: holds values that are not finite'):
        RUNNERS.build(tiny_config(plaza, run, method='attributes')).train()


def test_keys_that_stand_twice(tmp_path):
    path = tmp_path / 'test.json'
    meta = '{"dataset": "d", "split": "s", "ground_truth": "g"}'
    entry = '{"video": "1", "path": "a", "num_frames": 9, "path": "b"}'
    path.write_text(f'{{"metainfo": {meta}, "data_list": [{entry}]}}')
    with pytest.raises(ValueError, match="test.json: .*key 'path' comes 2 times"):
        read_annotations(path)
    path.write_text('{"action": "a", "action": "b", "appearance": "c"}\n')
    with pytest.raises(ValueError, match="line 1: .*key 'action' comes 2 times"):
        read_captions(path)


def test_captions_may_hold_any_character(tmp_path):
    """Some of which end a line to Unicode; an editor may write a byte order mark."""
    path = tmp_path / '1.jsonl'
    record = dict.fromkeys(('action', 'appearance', 'background', 'object'), 'a\u2028b\x85c')
    path.write_text(json.dumps(record, ensure_ascii=False) + '\n', encoding='utf-8-sig')
    assert read_captions(path) == [record]


def test_a_mat_file_takes_no_more_memory_than_there_is_for_it(tmp_path, monkeypatch):
    """A file of 200 bytes may claim gigabytes, and one of 200 kilobytes hold them."""
    savemat(tmp_path / 'gt.mat', dict(gt=np.zeros((25 << 20,))), do_compression=True)
    assert (tmp_path / 'gt.mat').stat().st_size < 1 << 20
    assert mat_files.read_mat(tmp_path / 'gt.mat', 'gt').size == 25 << 20
    monkeypatch.setattr(mat_files, '_MOST_BYTES', 250 << 20)
    with pytest.raises(ValueError, match='gt.mat: not a MATLAB file scipy can read: MemoryError'):
        mat_files.read_mat(tmp_path / 'gt.mat', 'gt')


def test_masks_of_a_mat_file_are_looked_at(tmp_path):
    cells = np.empty((1, 3), object)
    cells[0] = [np.zeros((4, 5), np.uint8)] * 3
    savemat(tmp_path / '1_label.mat', dict(volLabel=cells))
    check_pixel_masks(tmp_path / '1_label.mat', (3, 4, 5))
    with pytest.raises(
        ValueError, match=r'1_label.mat: masks .* \(3, 4, 5\), expected \(4, 4, 5\)'
    ):
        check_pixel_masks(tmp_path / '1_label.mat', (4, 4, 5))


def test_a_mat_file_that_ends_its_reader(tmp_path, monkeypatch):
    """As scipy itself does on some damaged ones."""
    files = [tmp_path / name for name in ('1.mat', '2.mat')]
    for file in files:
        savemat(file, dict(gt=np.arange(3), text='abc'))
    assert [value.tolist() for value in mat_files.read_mats(files, 'gt')] == [[[0, 1, 2]]] * 2
    assert list(mat_files.mat_shapes(files[:1], 'text')) == [(1,)]
    with pytest.raises(ValueError, match="1.mat: has no variable 'volLabel'"):
        mat_files.read_mat(files[0], 'volLabel')
    child = mat_files._CHILD.replace('value = ', "file.endswith('2.mat') and os.abort(); value = ")
    monkeypatch.setattr(mat_files, '_CHILD', 'import os' + child)
    with pytest.raises(ValueError, match='2.mat: not a MATLAB file .* was ended by SIGABRT'):
        list(mat_files.read_mats(files, 'gt'))


def test_weights_that_the_disk_altered(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save(dict(weight=torch.arange(1000.0)), path)
    data = bytearray(path.read_bytes())
    data[data.index(torch.tensor(500.0).numpy().tobytes())] ^= 64
    path.write_bytes(data)
    with pytest.raises(ValueError, match="a.pth: cannot be .*data/0' in it is damaged") as refused:
        read_checkpoint(path)
    assert 'weights_only' not in str(refused.value)


@pytest.mark.parametrize('name', ['os.mkdir', 'mmdet.os.mkdir', 'builtins.exec', 'this'])
def test_a_model_file_runs_nothing(run, tmp_path, name):
    """MMEngine's registries import what a type names, and call it."""
    path = run / 'attributes.pth'
    content = torch.load(path, weights_only=True)
    config = json.loads(content['meta']['config'])
    for part in (config['model'], config['proposer']):
        kept = dict(part)
        part.clear()
        part.update(type=name, path=str(tmp_path / 'made'))
        content['meta']['config'] = json.dumps(config)
        torch.save(content, path)
        with pytest.raises(ValueError, match=f"attributes.pth: .*'{name}' is no registered"):
            init_model(path)
        part.clear()
        part.update(kept)
    assert not (tmp_path / 'made').exists()


@pytest.mark.parametrize(
    'options',
    [
        {'model.backbone.type': 'os.mkdir', 'model.backbone._delete_': True},
        {'model.backbone': dict(_delete_=True, path='made')},
        {'model.neck': [dict(type='os.mkdir')]},
    ],
)
def test_options_of_a_detector_build_nothing_else(plaza, run, tmp_path, options):
    """Neither those in a model file, nor those that would be written into one."""
    path = run / 'attributes.pth'
    content = torch.load(path, weights_only=True)
    config = json.loads(content['meta']['config'])
    config['proposer'] = dict(type='MMDetProposer', config='a', checkpoint='b', cfg_options=options)
    content['meta']['config'] = json.dumps(config)
    torch.save(content, path)
    words = r'proposer.cfg_options.*: .* sets a .*; put it into a detector config file'
    with pytest.raises(ValueError, match=f'attributes.pth: .*{words}'):
        init_model(path)
    cfg = tiny_config(plaza, tmp_path / 'work', method='attributes')
    cfg.proposer = config['proposer']
    with pytest.raises(ValueError, match=f'^{words}'):
        RUNNERS.build(cfg)


@pytest.mark.parametrize(
    'name',
    ['LocalVAD', 'mmvad.LocalVAD', 'mmvad.models.localvad.LocalVAD', 'GELU', 'mmdet.ResNet'],
)
def test_registered_components(name):
    assert is_registered(name, MODELS)


def test_a_manifest_removes_nothing_but_its_output(tmp_path):
    (tmp_path / 'other').write_text('of somebody else')
    stage = StageFolder(tmp_path / 'stage', 'key')
    stage.open()
    (stage.path / 'a').write_text('output')
    stage.finish()
    manifest = stage.path / 'manifest.json'
    record = json.loads(manifest.read_text())
    record['files'] |= {'../other': [1, 1, None], 'a': [1, 1, None]}
    manifest.write_text(json.dumps(record))
    stage.open()
    assert not (stage.path / 'a').exists() and (tmp_path / 'other').exists()
