"""A model file notes what the files held that its config names."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import tiny_config
from mmengine.config import Config

from mmvad.methods.objects import model_file
from mmvad.methods.objects.model_file import (
    build_model,
    read_model_file,
    trained_model,
    write_model_file,
)
from mmvad.registry import MODELS

DETECTOR = 'mmdet::rpn/rpn_r50_fpn_1x_coco.py'


def config(folder: Path, weights: str, boxes: str = 'boxes.pth') -> Config:
    """Of a model that measures by a detector's weights, with boxes by another's."""
    return tiny_config(
        'data',
        folder / 'work',
        method='attributes',
        proposer=dict(
            type='MMDetProposer', config=DETECTOR, checkpoint=str(folder / boxes), _delete_=True
        ),
        **{
            'model.tube.measure.seen': dict(
                type='MeasureTokens', config=DETECTOR, checkpoint=str(folder / weights)
            )
        },
    )


@pytest.fixture
def written(tmp_path) -> Path:
    for name in ('maps.pth', 'boxes.pth'):
        (tmp_path / name).write_text('old')
    cfg = config(tmp_path, 'maps.pth')
    write_model_file(tmp_path / 'model.pth', MODELS.build(cfg.model), cfg, seed=0)
    return tmp_path / 'model.pth'


def test_weights_that_are_moved_are_the_same(written, tmp_path):
    shutil.copy(tmp_path / 'maps.pth', tmp_path / 'moved.pth')
    (tmp_path / 'maps.pth').touch()
    for name in ('maps.pth', 'moved.pth'):
        assert build_model(config(tmp_path, name), written) is not None


def test_other_weights_at_the_same_place_are_refused(written, tmp_path):
    (tmp_path / 'maps.pth').write_text('new')
    line = r'model.pth: .*model.tube.measure.seen.checkpoint: the file holds something else'
    with pytest.raises(ValueError, match=line):
        build_model(config(tmp_path, 'maps.pth'), written)
    made_by, content = read_model_file(written)
    with pytest.raises(ValueError, match=line):
        trained_model(made_by, content, written)


def test_other_weights_of_the_boxes_are_told(written, tmp_path, monkeypatch):
    told: list[str] = []
    monkeypatch.setattr(model_file, 'print_log', lambda text, *_: told.append(text))
    made_by, content = read_model_file(written)
    trained_model(made_by, content, written)
    assert not told
    (tmp_path / 'boxes.pth').write_text('new')
    trained_model(made_by, content, written)
    (text,) = told
    assert 'model.pth: proposer.checkpoint: the file holds something else' in text
