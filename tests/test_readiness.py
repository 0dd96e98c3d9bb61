"""Everything that a run needs is there before its first stage begins, or nothing is touched."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from conftest import tiny_config
from mmengine.logging import HistoryBuffer

from mmvad.captions import AttributeCaptioner
from mmvad.registry import CAPTIONERS, RUNNERS
from mmvad.structures import StageFolder


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    """A finished work dir, without MMEngine's own checkpoints."""
    work_dir = tmp_path / 'work'
    shutil.copytree(finished, work_dir, ignore=shutil.ignore_patterns('epoch_*.pth'))
    return work_dir


def held(work_dir: Path) -> dict[str, int]:
    """What stages left, by size and time; nothing of logs and notes."""
    return {
        str(path.relative_to(work_dir)): path.stat().st_mtime_ns
        for path in work_dir.rglob('*')
        if path.is_file() and path.suffix in ('.npz', '.npy', '.pth', '.jsonl')
    }


def refused(work_dir: Path, plaza: Path, message: str, **options) -> None:
    """A run ends in one line, and everything is where it was."""
    before = held(work_dir)
    cfg = tiny_config(plaza, work_dir, **options)
    with pytest.raises((ValueError, OSError), match=message):
        RUNNERS.build(cfg).train()
    assert held(work_dir) == before
    assert not list(work_dir.rglob('*.stale*'))


def test_mixed_precision_without_a_gpu(copied, plaza):
    if torch.cuda.is_available():
        pytest.skip('there is a GPU')
    for stage in ('spatial', 'temporal'):
        refused(
            copied, plaza, rf'stages.{stage}.optim_wrapper: no AmpOptimWrapper .*--amp needs a GPU',
            **{f'stages.{stage}.optim_wrapper.type': 'AmpOptimWrapper'},
        )  # fmt: skip


def test_weights_of_the_captioner_are_missed_before_tubes_are_looked_for(plaza, tmp_path):
    pytest.importorskip('open_clip')
    clip = dict(type='CLIPCaptioner', model='ViT-B-32', pretrained='absent.pt', _delete_=True)
    refused(
        tmp_path,
        plaza,
        r"pretrained: expected a file of weights .* got 'absent.pt'",
        captioner=clip,
    )
    assert not (tmp_path / 'proposals').exists()


def test_weights_of_the_detector_are_missed_before_boxes_are_moved_aside(copied, plaza):
    detector = dict(
        type='MMDetProposer',
        config='mmdet::rpn/rpn_r50_fpn_1x_coco.py',
        checkpoint='absent.pth',
        _delete_=True,
    )
    refused(copied, plaza, 'absent.pth: no such checkpoint', proposer=detector)


def test_weights_of_what_measures_are_missed_before_tubes_are_looked_for(plaza, tmp_path):
    seen = dict(
        type='MeasureTokens', config='mmdet::rpn/rpn_r50_fpn_1x_coco.py', checkpoint='absent.pth'
    )
    refused(tmp_path, plaza, 'absent.pth: no such checkpoint', **{'model.tube.measure.seen': seen})
    assert not (tmp_path / 'proposals').exists()


def test_what_fails_as_it_starts_leaves_what_was_there(copied, plaza):
    """Only with its data a loader shows that no batch is full: old output is back in its place."""
    options = {'stages.spatial.train_dataloader.batch_size': 500}
    refused(copied, plaza, 'stages.spatial.train_dataloader.batch_size: 500 is more', **options)


def test_a_model_file_is_put_back_beside_its_folder(tmp_path):
    def folder(key: str) -> StageFolder:
        return StageFolder(tmp_path / 'calibrate', key, ('../model.pth', 'check.json'))

    folder('a').open()
    (tmp_path / 'model.pth').write_text('weights')
    (tmp_path / 'calibrate/check.json').write_text('{}')
    folder('a').finish()
    other = folder('b')
    stale = other.open()
    assert not (tmp_path / 'model.pth').exists()
    assert other.put_back(stale)
    assert folder('a').complete and (tmp_path / 'model.pth').read_text() == 'weights'
    # What left something has started.
    stale = other.open()
    (tmp_path / 'calibrate/check.json').write_text('{}')
    assert not other.put_back(stale) and stale.is_dir()


def test_given_captions_are_missed_before_tubes_are_looked_for(plaza, tmp_path):
    refused(tmp_path, plaza, 'captions: holds no output of the stage captions', captioner=None)
    assert not (tmp_path / 'proposals').exists()


def test_a_captioner_is_built_once(finished, plaza, tmp_path):
    built = []

    @CAPTIONERS.register_module(force=True)
    class CountedCaptioner(AttributeCaptioner):
        def __init__(self) -> None:
            super().__init__()
            built.append(self)

    shutil.copytree(finished / 'proposals', tmp_path / 'proposals')
    captioner = dict(type='CountedCaptioner', _delete_=True)
    cfg = tiny_config(plaza, tmp_path, captioner=captioner, stage='captions')
    RUNNERS.build(cfg).train()
    assert (tmp_path / 'captions/00.jsonl').is_file() and len(built) == 1
    # Nor at all where nothing is left to describe.
    RUNNERS.build(tiny_config(plaza, tmp_path, captioner=captioner, stage='captions')).train()
    assert len(built) == 1


class TestResume:
    """``--stage spatial --resume FILE`` with what was trained elsewhere."""

    def test_a_checkpoint_that_mmengine_left(self, finished, copied, plaza, tmp_path):
        content = torch.load(finished / 'spatial/epoch_1.pth', weights_only=True)
        scalars = content['message_hub']['log_scalars']
        content['message_hub']['log_scalars'] = {
            name: HistoryBuffer(
                stored['history'].tolist(), stored['counts'].tolist(), stored['max_length']
            )
            for name, stored in scalars.items()
        }
        torch.save(content, tmp_path / 'elsewhere.pth')
        cfg = tiny_config(
            plaza, copied, stage='spatial', resume=True, load_from=str(tmp_path / 'elsewhere.pth')
        )
        RUNNERS.build(cfg).train()
        # Gone on from its first epoch, it ends where the undisturbed run did.
        ours, theirs = (
            torch.load(root / 'spatial/branches.pth', weights_only=True)['state_dict']
            for root in (copied, finished)
        )
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)

    @pytest.mark.parametrize(
        ('name', 'message'),
        [
            ('localvad.pth', r'localvad.pth: cannot be gone on from: it has no meta.epoch'),
            ('spatial/branches.pth', r'branches.pth: cannot be gone on from'),
            ('temporal/epoch_1.pth', r'epoch_1.pth: made by another config.*weights missing'),
        ],
    )
    def test_what_is_no_checkpoint_of_the_stage(self, finished, copied, plaza, name, message):
        options = dict(stage='spatial', resume=True, load_from=str(finished / name))
        refused(copied, plaza, message, **options)
        # Nor is old output lost where other settings would replace it.
        refused(copied, plaza, message, **options, **{'stages.spatial.train_cfg.max_epochs': 3})
