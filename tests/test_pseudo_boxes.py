"""Pseudo boxes from foreground, and the RPN that is trained on them."""

import importlib.util
import json
import sys

import cv2
import numpy as np
import pytest
from conftest import REPO, tiny_config
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from pycocotools.coco import COCO

from mmvad.datasets import FrameSource
from mmvad.proposals import MMDetProposer

RPN = 'configs/rpn/rpn_r18_fpn_pseudo.py'


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('pseudo_boxes', REPO / 'tools/pseudo_boxes.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def run(tool, tmp_path_factory):
    """Runs the tool on a config; what it writes."""

    def run(cfg, *args):
        folder = tmp_path_factory.mktemp('run')
        cfg.dump(folder / 'config.py')
        with pytest.MonkeyPatch.context() as patch:
            out = folder / 'out' / 'boxes.json'
            argv = ['pseudo_boxes.py', str(folder / 'config.py'), '--out', str(out), *args]
            patch.setattr(sys, 'argv', argv)
            with DefaultScope.overwrite_default_scope('mmvad'):
                tool.main(tool.make_parser().parse_args())
        return out

    return run


@pytest.fixture(scope='module')
def annotated(run, plaza, tmp_path_factory):
    """Annotation file of the tiny plaza, of every fourth frame."""
    return run(tiny_config(plaza, tmp_path_factory.mktemp('work')))


@pytest.fixture
def frames(tmp_path):
    """Writes one training video, of frames (F, H, W, 3); its config."""

    def write(video, **options):
        folder = tmp_path / 'data/training/frames/00'
        folder.mkdir(parents=True)
        for i, frame in enumerate(video):
            cv2.imwrite(str(folder / f'{i:03d}.png'), frame)
        cfg = tiny_config(tmp_path / 'data', tmp_path / 'work', 'ped2_cpu')
        cfg.merge_from_dict(options)
        return cfg

    return write


def walkers(sizes, count=24):
    """(F, 120, 200, 3) frames of a row of objects of sizes (N, 2), width and height, of which
    frame i shows object i modulo N."""
    video = np.full((count, 120, 200, 3), 90, np.uint8)
    for i in range(count):
        width, height = sizes[i % len(sizes)]
        x = 20 + 6 * i
        video[i, 100 - height : 100, x : x + width] = 200
    return video


class TestFile:
    def test_pycocotools_reads_it(self, annotated, plaza):
        coco = COCO(str(annotated))
        assert [c['name'] for c in coco.loadCats(coco.getCatIds())] == ['object']
        assert len(coco.getImgIds()) == 2 * 40 / 4
        assert {a['iscrowd'] for a in coco.anns.values()} == {0, 1}
        assert min(coco.anns) == 1 and len(coco.anns) == len(coco.dataset['annotations'])
        for annotation in coco.anns.values():
            image = coco.imgs[annotation['image_id']]
            assert (plaza / image['file_name']).is_file()
            x, y, width, height = annotation['bbox']
            assert x >= 0 and y >= 0
            assert x + width <= image['width'] == 160 and y + height <= image['height'] == 120
            # The mask fits the box exactly: augmentations make boxes of masks again.
            rows, columns = np.nonzero(coco.annToMask(annotation))
            assert (columns.min(), rows.min()) == (x, y)
            assert (columns.max() + 1, rows.max() + 1) == (x + width, y + height)
            assert annotation['area'] == len(rows)

    def test_mmdet_reads_it(self, annotated, plaza):
        from mmdet.registry import DATASETS

        with DefaultScope.overwrite_default_scope('mmdet'):
            dataset = DATASETS.build(
                dict(
                    type='CocoDataset',
                    ann_file=str(annotated),
                    data_prefix=dict(img=str(plaza)),
                    metainfo=dict(classes=('object',)),
                    pipeline=[
                        dict(type='LoadImageFromFile'),
                        dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
                        dict(type='PackDetInputs'),
                    ],
                )
            )
            items = [dataset[i]['data_samples'] for i in range(len(dataset))]
        crowd = sum(a['iscrowd'] for a in json.loads(annotated.read_text())['annotations'])
        assert sum(len(item.ignored_instances) for item in items) == crowd > 0
        assert sum(len(item.gt_instances) for item in items) > 0

    def test_default_place_is_the_work_dir(self, tool, frames, tmp_path, monkeypatch):
        frames(walkers([(10, 30)])).dump(tmp_path / 'config.py')
        monkeypatch.setattr(sys, 'argv', ['pseudo_boxes.py', str(tmp_path / 'config.py')])
        with DefaultScope.overwrite_default_scope('mmvad'):
            tool.main(tool.make_parser().parse_args())
        assert [p.name for p in (tmp_path / 'work').iterdir()] == ['pseudo_boxes.json']


class TestCrowd:
    def flags(self, run, cfg, *args):
        annotations = json.loads(run(cfg, '--every', '1', *args).read_text())['annotations']
        return {tuple(a['bbox'][2:]): a['iscrowd'] for a in annotations}

    def test_what_is_hardly_one_object(self, run, frames):
        sizes = [(10, 30), (11, 31), (10, 29), (12, 30), (34, 30), (10, 58), (10, 17), (5, 9)]
        cfg = frames(walkers(sizes), **{'proposer.blur': 0, 'proposer.close_size': (1, 1)})
        assert self.flags(run, cfg) == {
            (10, 30): 0,
            (11, 31): 0,
            (10, 29): 0,
            (12, 30): 0,
            (34, 30): 1,  # abreast
            (10, 58): 1,  # one behind another
            (10, 17): 1,  # a part; the speck of 5 x 9 is left out
        }

    def test_what_the_edge_cuts_off(self, run, frames):
        video = walkers([(10, 30)])
        video[5] = 90
        video[5, 70:100, :9] = 200
        cfg = frames(video, **{'proposer.blur': 0, 'proposer.close_size': (1, 1)})
        assert self.flags(run, cfg) == {(10, 30): 0, (9, 30): 1}

    def test_usual_sizes_follow_the_row(self, tool):
        rng = np.random.default_rng(0)
        foot = rng.uniform(40, 200, 600)
        height = foot / 4 * rng.uniform(0.95, 1.05, 600)
        merged = np.arange(600) % 5 < 3  # more blobs than not are of several objects
        height[merged] *= rng.uniform(1.4, 4, merged.sum())
        width = foot / 10 * np.where(merged, rng.uniform(1, 4, 600), 1)
        boxes = np.stack([0 * foot, foot - height, width, foot], axis=1)
        usual = tool.usual_sizes(boxes, np.array([60.0, 120.0, 180.0]), 1.3)
        np.testing.assert_allclose(usual, [(6, 15), (12, 30), (18, 45)], rtol=0.1)

    def test_a_single_box_is_usual(self, tool):
        box = np.array([[20.0, 30.0, 30.0, 60.0]])
        is_object, is_crowd = tool.classify(box, np.array([[100, 100]]), 1.3, 0.2)
        assert is_object.all() and not is_crowd.any()


class TestErrors:
    def test_no_objects(self, run, frames):
        cfg = frames(np.full((8, 60, 80, 3), 90, np.uint8))
        with pytest.raises(ValueError, match='data: the proposer found no objects in 2 training'):
            run(cfg)

    def test_video_files(self, run, tmp_path):
        (tmp_path / 'training').mkdir()
        path = tmp_path / 'training' / '00.avi'
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 10, (80, 60))
        for _ in range(8):
            writer.write(np.full((60, 80, 3), 90, np.uint8))
        writer.release()
        cfg = tiny_config(tmp_path, tmp_path / 'work', 'ped2_cpu')
        cfg.train_dataset.data_prefix = dict(video='training')
        with pytest.raises(ValueError, match=r'00\.avi: a video file.*folders of images'):
            run(cfg)

    def test_another_proposer(self, run, plaza, tmp_path):
        cfg = tiny_config(plaza, tmp_path, proposer=None)
        with pytest.raises(ValueError, match='expected a ForegroundProposer, got NoneType'):
            run(cfg)


@pytest.mark.slow
def test_rpn_trains_and_proposes(annotated, plaza, tmp_path):
    cfg = Config.fromfile(REPO / RPN)
    dataset = 'dataset.dataset.dataset'
    cfg.merge_from_dict(
        {
            'work_dir': str(tmp_path),
            f'train_dataloader.{dataset}.ann_file': str(annotated),
            f'train_dataloader.{dataset}.data_prefix.img': str(plaza),
            'train_dataloader.batch_size': 2,
            'train_cfg.max_iters': 2,
        }
    )
    with DefaultScope.overwrite_default_scope('mmdet'):
        Runner.from_cfg(cfg).train()
    last = tmp_path / 'iter_2.pth'
    assert (tmp_path / 'last_checkpoint').read_text() == str(last)
    proposer = MMDetProposer(
        str(REPO / RPN), str(last), score_thr=0.0, min_side=1, max_objects=9, device='cpu'
    )
    frame = FrameSource(plaza / 'training/frames/00')[0]
    boxes, objects = proposer.propose(frame)
    assert 1 <= len(objects) == len(boxes) <= 9
    assert (objects[:, :2] >= 0).all() and (objects[:, 2:] <= [160, 120]).all()
