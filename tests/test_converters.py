"""Converters of UCSD, Avenue and ShanghaiTech: every layout in miniature, and the real files."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from scipy.io import savemat

from mmvad.datasets import VideoDataset
from mmvad.datasets.annotations import read_annotations
from mmvad.datasets.ground_truth.labels import read_labels
from mmvad.preparation.converting import find_videos
from mmvad.registry import DATASETS

REPO = Path(__file__).parents[1]
SCRIPTS = REPO / 'tools/dataset_converters'


def convert(name, root, **options):
    runpy.run_path(str(SCRIPTS / f'{name}.py'))['convert'](root, **options)
    return (read_annotations(root / f'{split}.json') for split in ('training', 'testing'))


def write_frames(folder, count, names='{:03d}.jpg', first=0):
    folder.mkdir(parents=True)
    for i in range(first, first + count):
        cv2.imwrite(str(folder / names.format(i)), np.full((12, 16, 3), i, np.uint8))


def write_video(file, count):
    file.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*'MJPG'), 10, (32, 24))
    for i in range(count):
        writer.write(np.full((24, 32, 3), i * 9, np.uint8))
    writer.release()


def write_masks(folder, labels, names='{:03d}.bmp'):
    folder.mkdir(parents=True)
    (folder / '._001.bmp').write_bytes(b'no picture')
    for i, label in enumerate(labels, 1):
        mask = np.zeros((12, 16), np.uint8)
        mask[4:8, 4:8] = 255 * label
        cv2.imwrite(str(folder / names.format(i)), mask)


def write_intervals(file, *videos):
    """``gt`` of every video as a list of 1-based inclusive (start, end)."""
    cells = np.empty((1, len(videos)), object)
    for i, intervals in enumerate(videos):
        cells[0, i] = np.array(intervals, np.uint8).T
    savemat(file, dict(gt=cells))


def intervals(videos):
    return {video.video: video.intervals for video in videos}


def no_files(root):
    return not [*root.glob('*.json'), *root.glob('.annotations*')]


class TestUCSD:
    LABELS = {1: [0, 0, 1, 1, 1, 0], 2: [1, 0, 0, 1, 1]}
    INTERVALS = {1: ((2, 5),), 2: ((0, 1), (3, 5))}
    SCRIPT = """\
        TestVideoFile = {};
        % TestVideoFile{end+1}.gt_frame = [1:6];
        TestVideoFile{end+1}.gt_frame = [3:5];
        TestVideoFile{end+1}.gt_frame = [1, 4 : 5]; % two stretches
    """

    def frames(self, root):
        for name in ('1', '10', '9'):
            write_frames(root / 'training/frames' / name, 4, names='{}.png')
        for number, label in self.LABELS.items():
            write_frames(root / f'testing/frames/{number:02d}', len(label))
        write_intervals(root / 'ped2.mat', [(3, 5)], [(1, 1), (4, 5)])

    def masks(self, root, numbers=(1, 2)):
        for number in numbers:
            name = '{:03d}.bmp' if number == 1 else 'frame{:03d}.bmp'
            write_masks(root / f'Test{number:03d}_gt', self.LABELS[number], name)

    def original(self, root, masks=(1, 2), script='UCSDped2.m'):
        write_frames(root / 'Train/Train001', 4, names='{:03d}.tif', first=1)
        for number, label in self.LABELS.items():
            write_frames(root / f'Test/Test{number:03d}', len(label), '{:03d}.tif', first=1)
        (root / 'Train/Train001/._001.tif').write_bytes(b'no picture')
        (root / 'Test/._Test001').write_bytes(b'')
        self.masks(root / 'Test', masks)
        (root / 'Test' / script).write_text(self.SCRIPT)
        (root / 'Test/._UCSDped1.m').write_bytes(b'\0')

    def test_frame_folders_with_both_sources(self, tmp_path, capsys):
        root = tmp_path / 'ped2'
        self.frames(root)
        self.masks(root / 'testing')
        (_, training), (metainfo, testing) = convert('ucsd', root)
        assert [(video.video, video.num_frames) for video in training] == [
            ('1', 4),
            ('9', 4),
            ('10', 4),
        ]
        assert intervals(testing) == {'01': self.INTERVALS[1], '02': self.INTERVALS[2]}
        assert testing[0].pixel_masks == 'testing/Test001_gt' and testing[0].scene == 'ped2'
        assert metainfo == dict(
            dataset='ucsd_ped2',
            split='testing',
            ground_truth='intervals of ped2.mat, the same as testing/Test<NNN>_gt',
        )
        lines = capsys.readouterr().out.splitlines()
        assert lines[3].split() == ['testing', '2', '11', '6']
        assert 'warning: testing: 11 frames, published are 2,010' in lines
        videos = VideoDataset(data_root=str(root), ann_file='testing.json')
        assert videos.labels['02'].tolist() == self.LABELS[2] and len(videos.source('02')) == 5

    @pytest.mark.parametrize('inner', ['UCSDped2', ''])
    def test_the_original_tree_below_or_at_the_root(self, tmp_path, inner):
        root = tmp_path / 'UCSDped2'
        self.original(root / inner)
        (_, (train,)), (metainfo, testing) = convert('ucsd', root)
        start = f'{inner}/' if inner else ''
        assert (train.path, train.num_frames) == (f'{start}Train/Train001', 4)
        assert intervals(testing) == {'Test001': self.INTERVALS[1], 'Test002': self.INTERVALS[2]}
        assert [video.pixel_masks for video in testing] == [
            f'{start}Test/Test001_gt',
            f'{start}Test/Test002_gt',
        ]
        assert metainfo['ground_truth'].startswith(f'intervals of {start}Test/UCSDped2.m, the same')

    def test_ped1_has_masks_of_some_videos(self, tmp_path):
        root = tmp_path / 'data'
        self.original(root / 'UCSDped1', masks=[2], script='UCSDped1.m')
        _, (metainfo, testing) = convert('ucsd', root)
        assert intervals(testing) == {'Test001': self.INTERVALS[1], 'Test002': self.INTERVALS[2]}
        assert [video.pixel_masks for video in testing] == [None, 'UCSDped1/Test/Test002_gt']
        assert metainfo['dataset'] == 'ucsd_ped1' and 'of 1 of 2 videos' in metainfo['ground_truth']
        with pytest.raises(ValueError, match='no labels of 1 videos: Test001'):
            convert('ucsd', root, labels='masks')

    def test_one_source_is_enough(self, tmp_path):
        root = tmp_path / 'ped2'
        self.frames(root)
        _, (metainfo, testing) = convert('ucsd', root)
        assert testing[1].intervals == self.INTERVALS[2] and testing[1].pixel_masks is None
        (root / 'ped2.mat').unlink()
        self.masks(root / 'testing')
        _, (metainfo, testing) = convert('ucsd', root)
        assert testing[1].intervals == self.INTERVALS[2]
        assert metainfo['ground_truth'] == 'pixel masks in testing/Test<NNN>_gt'

    def test_sources_that_differ_are_named_and_one_can_be_picked(self, tmp_path):
        root = tmp_path / 'ped2'
        self.frames(root)
        self.masks(root / 'testing')
        write_intervals(root / 'ped2.mat', [(3, 6)], [(1, 1), (4, 5)])
        message = (
            r'video 01: ped2.mat and testing/Test<NNN>_gt differ, frames 5 to 5 \(numbered from 0'
        )
        with pytest.raises(ValueError, match=message):
            convert('ucsd', root)
        assert no_files(root)
        _, (_, testing) = convert('ucsd', root, labels='intervals')
        assert testing[0].intervals == ((2, 6),) and testing[0].pixel_masks is None
        _, (_, testing) = convert('ucsd', root, labels='masks')
        assert testing[0].intervals == ((2, 5),) and testing[0].pixel_masks

    def test_labels_and_videos_that_do_not_fit_are_named(self, tmp_path):
        root = tmp_path / 'ped2'
        self.frames(root)
        self.masks(root / 'testing')
        mask = root / 'testing/Test002_gt/frame005.bmp'
        picture = mask.read_bytes()
        mask.unlink()
        with pytest.raises(ValueError, match='video 02 has 5 frames but 4 labels'):
            convert('ucsd', root)
        mask.write_bytes(picture)
        write_masks(root / 'testing/Test007_gt', [1])
        with pytest.raises(ValueError, match='labels of 1 videos not there: Test007_gt'):
            convert('ucsd', root)
        (root / 'testing/frames/02').rename(root / 'testing/frames/07')
        with pytest.raises(ValueError, match='ped2.mat: has labels by the order .* got 1, 7'):
            convert('ucsd', root, labels='intervals')
        write_frames(root / 'testing/frames/02', 5)
        with pytest.raises(ValueError, match='ped2.mat: gt has 2 cells for 3|expected videos 1 to'):
            convert('ucsd', root, labels='intervals')
        assert no_files(root)

    def test_folders_that_are_not_as_known_are_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match='looked for training/frames, .*UCSDped2/Test'):
            convert('ucsd', tmp_path)
        root = tmp_path / 'walk'
        self.frames(root)
        (root / 'ped2.mat').unlink()
        with pytest.raises(FileNotFoundError, match='no labels; looked for ped1.mat'):
            convert('ucsd', root)
        self.masks(root / 'testing')
        with pytest.raises(ValueError, match='Ped1 or Ped2.*found neither'):
            convert('ucsd', root)
        both = tmp_path / 'both'
        for name in ('UCSDped1', 'UCSDped2'):
            self.original(both / name, script=f'{name}.m')
        with pytest.raises(ValueError, match='holds Ped1 and Ped2'):
            convert('ucsd', both)
        (both / 'UCSDped1/Test').rename(both / 'away')
        with pytest.raises(
            FileNotFoundError, match='UCSDped1/Test: no such folder, but there is Train'
        ):
            convert('ucsd', both / 'UCSDped1')

    def test_lines_of_the_script_that_are_off_are_named(self, tmp_path):
        file = tmp_path / 'UCSDped2.m'
        for line, words in {
            'TestVideoFile{end+1}.gt_frame = [3:9];': 'video a: interval 3 to 9, .*1 to 6',
            'TestVideoFile{end+1}.gt_frame = [5:3];': 'interval 5 to 3',
            'TestVideoFile{end+1}.gt_frame = [3:x];': r'line 1: expected TestVideoFile\{end\+1\}',
            'TestVideoFile{4}.gt_frame = [3:5];': 'line 1: expected',
            'TestVideoFile = {};': 'has lines for 0 videos, expected 1',
        }.items():
            file.write_text(line)
            with pytest.raises(ValueError, match=words):
                read_labels('ucsd_m', file, {'a': 6})

    def test_the_real_ped2(self, shared, tmp_path, capsys):
        root = tmp_path / 'ped2'
        root.mkdir()
        for path in (shared / 'ped2').iterdir():
            (root / path.name).symlink_to(path)
        (_, training), (metainfo, testing) = convert('ucsd', root)
        assert (len(training), sum(video.num_frames for video in training)) == (16, 2550)
        assert (len(testing), sum(video.num_frames for video in testing)) == (12, 2010)
        assert sum(int(video.labels.sum()) for video in testing) == 1648
        assert all(video.pixel_masks for video in testing)
        assert 'ped2.mat' in metainfo['ground_truth'] and '_gt' in metainfo['ground_truth']
        table = capsys.readouterr().out
        assert table.count('as published') == 2 and 'warning' not in table

    def test_the_config_of_ped1_reads_what_is_written(self, tmp_path):
        root = tmp_path / 'ped1'
        self.original(root, masks=[2], script='UCSDped1.m')
        convert('ucsd', root)
        cfg = Config.fromfile(REPO / 'configs/localvad/ped1.py')
        for part in (cfg.train_dataset, cfg.test_dataset):
            videos = DATASETS.build({**part, 'data_root': str(root)})
        assert videos.labels['Test001'].tolist() == self.LABELS[1]


class TestAvenue:
    LABELS = {'01': [0, 1, 1, 0, 1], '02': [1, 1, 0, 0]}

    def masks(self, root, **labels):
        folder = root / 'ground_truth_demo/testing_label_mask'
        folder.mkdir(parents=True, exist_ok=True)
        for video, label in (labels or self.LABELS).items():
            cells = np.empty((1, len(label)), object)
            for i, value in enumerate(label):
                cells[0, i] = np.full((3, 4), value, np.uint8)
            savemat(folder / f'{int(video.strip("v"))}_label.mat', dict(volLabel=cells))

    def videos(self, root):
        write_video(root / 'training_videos/03.avi', 6)
        for video, label in self.LABELS.items():
            write_video(root / f'testing_videos/{video}.avi', len(label))

    def frames(self, root):
        write_frames(root / 'training/frames/03', 6)
        for video, label in self.LABELS.items():
            write_frames(root / 'testing/frames' / video, len(label), names='{}.jpg')

    @pytest.mark.parametrize('layout', ['videos', 'frames'])
    def test_videos_or_frames_with_masks(self, tmp_path, layout):
        getattr(self, layout)(tmp_path)
        self.masks(tmp_path)
        (_, (train,)), (metainfo, testing) = convert('avenue', tmp_path)
        assert (
            train.path == dict(videos='training_videos/03.avi', frames='training/frames/03')[layout]
        )
        assert (train.video, train.num_frames, train.scene) == ('03', 6, 'avenue')
        assert intervals(testing) == {'01': ((1, 3), (4, 5)), '02': ((0, 2),)}
        assert testing[0].pixel_masks == 'ground_truth_demo/testing_label_mask/1_label.mat'
        assert 'pixel masks in ground_truth_demo' in metainfo['ground_truth']
        videos = VideoDataset(data_root=str(tmp_path), ann_file='testing.json')
        assert len(videos.source('02')) == 4

    def test_intervals_are_used_without_masks_or_when_asked_for(self, tmp_path):
        self.frames(tmp_path)
        write_intervals(tmp_path / 'avenue.mat', [(2, 3), (5, 5)], [(1, 3)])
        _, (metainfo, testing) = convert('avenue', tmp_path)
        assert metainfo['ground_truth'] == 'intervals of avenue.mat'
        assert intervals(testing) == {'01': ((1, 3), (4, 5)), '02': ((0, 3),)}
        assert testing[0].pixel_masks is None
        self.masks(tmp_path)
        _, (_, testing) = convert('avenue', tmp_path)
        assert testing[1].intervals == ((0, 2),)
        _, (_, testing) = convert('avenue', tmp_path, labels='intervals')
        assert testing[1].intervals == ((0, 3),)

    def test_labels_and_videos_that_do_not_fit_are_named(self, tmp_path):
        self.videos(tmp_path)
        self.masks(tmp_path, v1=[0, 1, 0, 0, 1])
        with pytest.raises(ValueError, match='testing_label_mask: no labels of 1 videos: 2'):
            convert('avenue', tmp_path)
        self.masks(tmp_path, v2=[0, 1, 1])
        with pytest.raises(ValueError, match='video 02 has 4 frames but 3 labels'):
            convert('avenue', tmp_path)
        (tmp_path / 'ground_truth_demo/testing_label_mask/2_label.mat').write_bytes(b'')
        with pytest.raises(ValueError, match='2_label.mat: not a MATLAB file'):
            convert('avenue', tmp_path)
        self.masks(tmp_path, v2=[0, 1, 1, 0], v21=[1])
        with pytest.raises(ValueError, match='labels of 1 videos not there: 21'):
            convert('avenue', tmp_path)
        assert no_files(tmp_path)

    def test_folders_that_are_not_as_known_are_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match='no training videos; looked for training_vid'):
            convert('avenue', tmp_path)
        self.videos(tmp_path)
        with pytest.raises(FileNotFoundError, match='no labels; looked for ground.*, avenue.mat'):
            convert('avenue', tmp_path)
        self.masks(tmp_path)
        for file in (tmp_path / 'training_videos').iterdir():
            file.unlink()
        with pytest.raises(ValueError, match='training_videos: expected folders .* found none'):
            convert('avenue', tmp_path)
        (tmp_path / 'training_videos/a.avi').write_bytes(b'no video')
        with pytest.raises(ValueError, match='a.avi: cannot be opened as a video'):
            convert('avenue', tmp_path)
        assert no_files(tmp_path)

    def test_the_real_sample(self, shared, tmp_path, capsys):
        for path in (shared / 'avenue_sample').iterdir():
            (tmp_path / path.name).symlink_to(path)
        (_, training), (_, testing) = convert('avenue', tmp_path)
        assert [video.video for video in training] == ['12']
        counts = {video.video: (video.num_frames, int(video.labels.sum())) for video in testing}
        assert counts == {'08': (36, 36), '21': (76, 53)}
        table = capsys.readouterr().out
        assert 'warning: testing: 89 abnormal frames, published are 3,712' in table
        assert table.splitlines()[-1].startswith('next: run tools/dataset_doctor.py')


class TestShanghaiTech:
    def tree(self, root, videos=True):
        for name in ('01_001', '02_001'):
            if videos:
                write_video(root / f'training/videos/{name}.avi', 5)
            else:
                write_frames(root / 'training/frames' / name, 5)
        write_frames(root / 'testing/frames/01_0014', 6)
        write_frames(root / 'testing/frames/03_0031', 4)
        (root / 'testing/test_frame_mask').mkdir()
        self.label(root, '01_0014', [0, 0, 1, 1, 0, 1])
        self.label(root, '03_0031', [0, 0, 0, 0])

    def label(self, root, video, label):
        np.save(root / f'testing/test_frame_mask/{video}.npy', np.array(label, np.int8))

    def pixels(self, root, video, *shape):
        (root / 'testing/test_pixel_mask').mkdir(exist_ok=True)
        np.save(root / f'testing/test_pixel_mask/{video}.npy', np.zeros(shape, bool))

    @pytest.mark.parametrize('videos', [True, False])
    def test_training_videos_or_frames(self, tmp_path, videos):
        self.tree(tmp_path, videos)
        self.pixels(tmp_path, '01_0014', 6, 12, 16)
        (_, training), (metainfo, testing) = convert('shanghaitech', tmp_path)
        assert [(video.scene, video.num_frames) for video in training] == [('01', 5), ('02', 5)]
        assert training[0].path.startswith('training/videos' if videos else 'training/frames')
        assert intervals(testing) == {'01_0014': ((2, 4), (5, 6)), '03_0031': ()}
        assert [video.pixel_masks for video in testing] == [
            'testing/test_pixel_mask/01_0014.npy',
            None,
        ]
        assert metainfo['ground_truth'] == 'frame labels in testing/test_frame_mask'

    def test_labels_and_videos_that_do_not_fit_are_named(self, tmp_path):
        self.tree(tmp_path)
        self.pixels(tmp_path, '01_0014', 7, 12, 16)
        with pytest.raises(ValueError, match=r'video 01_0014 has 6 frames; .* got \(7, 12, 16\)'):
            convert('shanghaitech', tmp_path)
        self.pixels(tmp_path, '01_0014', 6, 12, 16)
        self.pixels(tmp_path, '09_0001', 6, 12, 16)
        with pytest.raises(ValueError, match='test_pixel_mask: labels of .* not there: 09_0001'):
            convert('shanghaitech', tmp_path)
        self.label(tmp_path, '03_0031', [0, 1, 1])
        with pytest.raises(ValueError, match='video 03_0031 has 4 frames but 3 labels'):
            convert('shanghaitech', tmp_path)
        self.label(tmp_path, '04_0001', [0])
        with pytest.raises(ValueError, match='test_frame_mask: labels of .* not there: 04_0001'):
            convert('shanghaitech', tmp_path)
        write_frames(tmp_path / 'testing/frames/04_0002', 4)
        with pytest.raises(ValueError, match='test_frame_mask: no labels of 1 videos: 04_0002'):
            convert('shanghaitech', tmp_path)
        assert no_files(tmp_path)

    def test_names_without_a_scene_and_empty_folders_are_named(self, tmp_path):
        self.tree(tmp_path)
        write_video(tmp_path / 'training/videos/extra.avi', 5)
        with pytest.raises(ValueError, match="video 'extra': expected a name such as 01_0014"):
            convert('shanghaitech', tmp_path)
        (tmp_path / 'training/videos/extra.avi').unlink()
        (tmp_path / 'testing/frames/01_0015').mkdir()
        self.label(tmp_path, '01_0015', [])
        with pytest.raises(ValueError, match='01_0015: holds no frames'):
            convert('shanghaitech', tmp_path)
        with pytest.raises(FileNotFoundError, match='looked for training/videos, training/frames'):
            convert('shanghaitech', tmp_path / 'testing')
        assert no_files(tmp_path)

    def test_the_real_labels(self, shared, tmp_path, capsys):
        """All label files; a frame is an empty file here, since frames are listed, not decoded."""
        folder = shared / 'annotations/shanghaitech/test_frame_mask'
        files = sorted(folder.glob('*.npy'))
        empty = tmp_path / 'frames'
        empty.mkdir()
        longest = 0
        for file in files:
            frames = tmp_path / 'testing/frames' / file.stem
            frames.mkdir(parents=True)
            count = len(np.load(file))
            for i in range(longest, count):
                (empty / f'{i:03d}.jpg').touch()
            longest = max(longest, count)
            for i in range(count):
                (frames / f'{i:03d}.jpg').hardlink_to(empty / f'{i:03d}.jpg')
        (tmp_path / 'testing/test_frame_mask').symlink_to(folder)
        write_frames(tmp_path / 'training/frames/01_001', 5)
        _, (_, testing) = convert('shanghaitech', tmp_path)
        assert (len(testing), sum(video.num_frames for video in testing)) == (107, 40791)
        assert sum(int(video.labels.sum()) for video in testing) == 17326
        assert len({video.scene for video in testing}) == 12
        assert 'as published' in capsys.readouterr().out
        # 40,791 names are too many to leave behind.
        shutil.rmtree(tmp_path / 'testing/frames')


class TestCommandLine:
    def run(self, script, *arguments):
        return subprocess.run(
            [sys.executable, str(SCRIPTS / f'{script}.py'), *map(str, arguments)],
            capture_output=True,
            text=True,
        )

    def test_writes_and_says_so(self, tmp_path):
        TestShanghaiTech().tree(tmp_path)
        done = self.run('shanghaitech', tmp_path)
        assert done.returncode == 0, done.stderr
        assert f'wrote {tmp_path}/training.json, {tmp_path}/testing.json' in done.stdout
        assert read_annotations(tmp_path / 'testing.json')[0]['dataset'] == 'shanghaitech'

    @pytest.mark.parametrize('script', ['ucsd', 'avenue', 'shanghaitech'])
    def test_errors_are_one_line(self, tmp_path, script):
        for root, words in ((tmp_path / 'nowhere', 'no such folder'), (tmp_path, 'looked for')):
            done = self.run(script, root)
            assert done.returncode == 1 and not done.stdout
            assert re.fullmatch(f'error: .*{words}.*\n', done.stderr)


def test_one_split_that_is_off_keeps_both_from_being_written(tmp_path):
    TestShanghaiTech().tree(tmp_path)
    convert('shanghaitech', tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.glob('*.json')}
    assert len(before) == 2
    write_video(tmp_path / 'training/videos/02_002.avi', 5)
    for content in (b'broken', b''):
        (tmp_path / 'testing/test_frame_mask/03_0031.npy').write_bytes(content)
        with pytest.raises(ValueError, match='03_0031.npy: not a plain'):
            convert('shanghaitech', tmp_path)
    assert {file: file.read_bytes() for file in tmp_path.glob('*.json')} == before


def test_two_videos_of_one_name_are_named(tmp_path):
    write_frames(tmp_path / '01', 2)
    write_video(tmp_path / '01.avi', 5)
    with pytest.raises(ValueError, match='01.avi: there is also 01, a video of this name'):
        find_videos(tmp_path)
