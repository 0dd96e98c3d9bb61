"""Converters of UBnormal, UCF-Crime and XD-Violence on miniature trees, their label files, real
ones too."""

import importlib.util
import json
import shutil
from collections import Counter
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from conftest import REPO
from mmengine.config import Config

from mmvad.datasets import VideoDataset
from mmvad.datasets.annotations import read_annotations
from mmvad.preparation.interval_files import (
    ObjectTrack,
    merge_intervals,
    read_names,
    read_ubnormal_tracks,
    read_ucf_crime,
    read_ucf_crime_list,
    read_xd_violence,
    strip_suffix,
    xd_violence_label,
)
from mmvad.preparation.interval_videos import index_videos

UCF_LABELS = 'Temporal_Anomaly_Annotation_for_Testing_Videos.txt'


def script(name):
    path = REPO / 'tools/dataset_converters' / f'{name}.py'
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='session')
def clip(tmp_path_factory):
    """A video of 12 frames, 32 x 24 pixels."""
    path = tmp_path_factory.mktemp('clip') / 'clip.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 10, (32, 24))
    for i in range(12):
        writer.write(np.full((24, 32, 3), i * 20, np.uint8))
    writer.release()
    return path


@pytest.fixture
def put(clip, tmp_path):
    """Puts videos (names with a suffix) or folders of 12 frames (without) into the dataset."""

    def put(*paths):
        for path in paths:
            target = tmp_path / path
            if strip_suffix(path) == path:
                target.mkdir(parents=True)
                for i in range(12):
                    cv2.imwrite(str(target / f'{i}.png'), np.full((24, 32, 3), i, np.uint8))
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(clip, target)

    return put


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(f'{line}\n' for line in lines))
    return path


def read(root, split):
    """Metainfo and ``{video: annotation}``; the dataset loads them and finds all frames."""
    metainfo, videos = read_annotations(root / f'{split}.json')
    dataset = VideoDataset(data_root=str(root), ann_file=f'{split}.json')
    for video in dataset.lengths:
        assert len(dataset.source(video)) == 12
    assert metainfo['split'] == split
    return metainfo, {video.video: video for video in videos}


def outputs(root):
    return sorted(path.name for path in root.glob('*.json')) + sorted(
        path.name for path in root.glob('.*')
    )


class TestRealFiles:
    def test_ucf_crime_labels(self, shared):
        folder = shared / 'annotations/ucf_crime'
        rows = read_ucf_crime(folder / UCF_LABELS)
        assert len(rows) == len({row.video for row in rows}) == 290
        assert not any(row.notes for row in rows)
        classes = Counter(row.category for row in rows)
        assert len(classes) == 14 and classes['Normal'] == 150
        assert sum(len(row.intervals) for row in rows) == 156
        assert rows[0].video == 'Abuse028_x264' and rows[0].intervals == ((164, 240),)
        assert all((row.category == 'Normal') == (not row.intervals) for row in rows)

    def test_ucf_crime_lists(self, shared):
        folder = shared / 'annotations/ucf_crime'
        train = read_ucf_crime_list(folder / 'Anomaly_Train.txt')
        test = read_ucf_crime_list(folder / 'Anomaly_Test.txt')
        assert len(train) == 1610
        assert sum(video.category == 'Normal' for video in train) == 800
        rows = {row.video: row.category for row in read_ucf_crime(folder / UCF_LABELS)}
        assert {video.video: video.category for video in test} == rows
        assert not {video.video for video in train} & set(rows)

    def test_xd_violence_labels(self, shared):
        rows = read_xd_violence(shared / 'annotations/xd_violence/annotations.txt')
        # With 300 normal videos, which have no row, these are the 800.
        assert len(rows) == 500 and sum(len(row.intervals) for row in rows) == 1238
        # The odd rows, all of one kind.
        odd = {row.line: row.notes for row in rows if row.notes}
        assert list(odd) == list(range(199, 213))
        assert set(odd.values()) == {('name ends in .mp4, read without it',)}
        assert rows[0].video == 'v=S-7rRLrxnVQ__#1_label_B4-0-0'
        assert rows[0].intervals == ((0, 1517), (1970, 3038))
        labels = Counter(code for row in rows for code in row.category.split('-'))
        assert set(labels) == {'B1', 'B2', 'B4', 'B5', 'B6', 'G'}
        assert max(len(row.intervals) for row in rows) == 22

    def test_ucf_crime_conversion_names_what_is_missing(self, shared, tmp_path, put):
        folder = shared / 'annotations/ucf_crime'
        for name in (UCF_LABELS, 'Anomaly_Train.txt', 'Anomaly_Test.txt'):
            shutil.copy(folder / name, tmp_path)
        put('Training_Normal_Videos_Anomaly/Normal_Videos001_x264.mp4')
        with pytest.raises(ValueError, match='training: 799 of 800 videos are missing: Normal'):
            script('ucf_crime').convert(tmp_path)
        put('Arson/Arson011_x264.mp4', 'Testing_Normal_Videos_Anomaly/Normal_Videos_003_x264.mp4')
        with pytest.raises(ValueError, match=r'Arson011_x264 has 12 frames, abnormal are \[\[149'):
            script('ucf_crime').convert(tmp_path, subset=True)
        assert outputs(tmp_path) == []


class TestLabelFiles:
    def test_ucf_crime(self, tmp_path):
        path = write(
            tmp_path / 'labels.txt',
            '\ufeffArson1_x264.mp4  Arson  2  3  -1  -1  ',
            'Normal_1\tNormal\t-1\t-1\t-1\t-1',
            '',
            'Abuse1 Abuse 7 9 0 4',
            'Abuse2 Abuse 1 5 5 9',
            'Normal_1 Normal -1 -1 -1 -1',
        )
        rows = {row.video: row for row in read_ucf_crime(path)}
        assert rows['Arson1_x264'].intervals == ((1, 3),) and not rows['Arson1_x264'].notes
        assert rows['Normal_1'].intervals == () and rows['Normal_1'].line == 2
        assert rows['Normal_1'].notes == ('repeated in line 6, read once',)
        assert rows['Abuse1'].intervals == ((0, 4), (6, 9))
        assert rows['Abuse1'].notes == (
            'start 0 of 0-4 read as frame 1, the first',
            'stretches out of order, sorted',
        )
        assert rows['Abuse2'].intervals == ((0, 9),)
        assert rows['Abuse2'].notes == ('stretches overlap, united',)

    @pytest.mark.parametrize(
        ('row', 'words'),
        [
            ('Abuse1 Abuse 1 2 -1', 'expected name, class and 4 numbers'),
            ('Abuse1 Abuse 5 4 -1 -1', 'Abuse1: expected 1 <= start <= end.*got 5 4'),
            ('Abuse1 Abuse 5 -1 -1 -1', 'expected 1 <= start <= end.*got 5 -1'),
            ('Abuse1 Abuse 5 x -1 -1', "expected a whole number, got 'x'"),
            ('Abuse1 Abuse -1 -1 -1 -1', 'class Abuse with 0 stretches'),
            ('Normal1 Normal 1 2 -1 -1', 'class Normal with 1 stretches'),
            ('Abuse1 abuse 1 2 -1 -1', "unknown class 'abuse'"),
            ('Abuse0 Abuse 1 3 -1 -1', 'Abuse0: other stretches than in line 1'),
        ],
    )
    def test_ucf_crime_rows_without_a_sensible_reading(self, tmp_path, row, words):
        path = write(tmp_path / 'labels.txt', 'Abuse0 Abuse 1 2 -1 -1', row)
        with pytest.raises(ValueError, match=f'labels.txt:2: .*{words}|labels.txt:2: {words}'):
            read_ucf_crime(path)

    @pytest.mark.parametrize(
        ('row', 'words'),
        [
            ('Arson/a.mp4 1', 'expected <folder>/<name>.mp4'),
            ('a.mp4', 'expected <folder>/<name>.mp4'),
            ('Arsony/b.mp4', "unknown class 'Arsony'"),
            ('Abuse/a.mp4', 'a: named in line 1 before'),
        ],
    )
    def test_ucf_crime_lists_that_are_off(self, tmp_path, row, words):
        path = write(tmp_path / 'list.txt', 'Arson/a.mp4', row)
        with pytest.raises(ValueError, match=f'list.txt:2: .*{words}|list.txt:2: {words}'):
            read_ucf_crime_list(path)

    def test_xd_violence(self, tmp_path):
        path = write(
            tmp_path / 'annotations.txt',
            'A.Film.2001__#1_label_B2-G-0.mp4 5 9 0 4',
            'v=x_y__#1_label_G-0-0 0 4 4 6 5 9 ',
            'v=x_y__#1_label_G-0-0 0 9',
        )
        film, other = read_xd_violence(path)
        assert (film.video, film.category) == ('A.Film.2001__#1_label_B2-G-0', 'B2-G')
        assert film.intervals == ((0, 4), (5, 9))
        assert film.notes == (
            'name ends in .mp4, read without it',
            'stretches out of order, sorted',
        )
        assert other.intervals == ((0, 9),)
        assert other.notes == ('stretches overlap, united', 'repeated in line 3, read once')

    @pytest.mark.parametrize(
        ('row', 'words'),
        [
            ('b_label_B1-0-0 1 2 3', 'expected pairs of start and end, got 3 numbers'),
            ('b_label_B1-0-0 5 4', 'expected 0 <= start < end .*got 5 4'),
            ('b_label_B1-0-0 5 5', 'expected 0 <= start < end .*got 5 5'),
            ('b_label_B1-0-0 -1 5', 'expected 0 <= start < end'),
            ('b_label_B1-0-0 1 2.5', "expected a whole number, got '2.5'"),
            ('b_label_B1-0-0', 'expected a start and an end'),
            ('b_label_B3-0-0 1 2', 'expected a name that ends in _label_'),
            ('b_label_A-B1-0 1 2', 'expected a name that ends in _label_'),
            ('b 1 2', 'expected a name that ends in _label_'),
            ('b_label_A 1 2', 'its name says it is normal'),
            ('a_label_B1-0-0.mp4 1 3', 'other stretches than in line 1'),
        ],
    )
    def test_xd_violence_rows_without_a_sensible_reading(self, tmp_path, row, words):
        path = write(tmp_path / 'annotations.txt', 'a_label_B1-0-0 1 2', row)
        with pytest.raises(ValueError, match=f'annotations.txt:2: .*{words}'):
            read_xd_violence(path)

    def test_xd_violence_names(self):
        assert xd_violence_label('v=a_label_X__#1_label_A', '') == 'A'
        assert xd_violence_label('v__#1_label_B2-B6-G', '') == 'B2-B6-G'

    def test_ubnormal_tracks(self, tmp_path):
        expected = [ObjectTrack(1, 0, 5), ObjectTrack(3, 7, 8)]
        for lines in (
            ('1,0,4', '3, 7, 7'),
            ('1 0 4', '', '3\t7 7 '),
            ('1.0,0.0,4.0', '3,7,7.0'),
        ):
            assert read_ubnormal_tracks(write(tmp_path / 't.txt', *lines)) == expected
        assert read_ubnormal_tracks(write(tmp_path / 't.txt')) == []
        for row, words in (
            ('1,2', 'expected object,start,end'),
            ('1,5,4', 'expected 0 <= start <= end, got 5 4'),
            ('1,2.5,4', 'expected a whole number'),
        ):
            with pytest.raises(ValueError, match=f't.txt:1: {words}'):
                read_ubnormal_tracks(write(tmp_path / 't.txt', row))

    def test_names(self, tmp_path):
        path = write(tmp_path / 'names.txt', 'b', 'a.x_1.mp4', '')
        assert read_names(path) == ['b', 'a.x_1']
        for row, words in (('b', 'named in line 1'), ('c d', 'expected the name')):
            with pytest.raises(ValueError, match=f'names.txt:2: .*{words}'):
                read_names(write(path, 'b', row))

    def test_files_that_are_no_label_files(self, tmp_path):
        with pytest.raises(FileNotFoundError, match='none.txt: no such label file'):
            read_ucf_crime(tmp_path / 'none.txt')
        (tmp_path / 'b.txt').write_bytes(b'\xff\xfe\x00')
        with pytest.raises(ValueError, match='b.txt: not a text file'):
            read_xd_violence(tmp_path / 'b.txt')

    def test_merging(self):
        assert merge_intervals([(5, 7), (0, 2), (2, 3), (6, 9)]) == ((0, 3), (5, 9))


def test_the_first_folder_counts_and_files_before_frames(tmp_path, put):
    put('a/v', 'b/v.mp4', 'c/v.mkv', 'c/w', 'a/.hidden.mp4', 'a/@eaDir')
    found = index_videos(tmp_path / name for name in 'abcd')
    assert found == {'v': tmp_path / 'b/v.mp4', 'w': tmp_path / 'c/w'}
    put('b/v.avi')
    with pytest.raises(ValueError, match='v.mp4: there is also v.avi'):
        index_videos([tmp_path / 'b'])


class TestUCFCrime:
    convert = staticmethod(script('ucf_crime').convert)

    def labels(self, root, folder='', end=9):
        write(
            root / folder / UCF_LABELS,
            f'Abuse028_x264  Abuse  2  {end}  -1  -1  ',
            'Normal_Videos_003_x264  Normal  -1  -1  -1  -1  ',
        )
        write(
            root / folder / 'Anomaly_Train.txt',
            'Abuse/Abuse001_x264.mp4',
            'Training_Normal_Videos_Anomaly/Normal_Videos001_x264.mp4',
        )

    @pytest.mark.parametrize(
        ('labels', 'abuse', 'train', 'test'),
        [
            (
                'Anomaly_Detection_splits',
                'Anomaly-Videos-Part-1/Abuse/Abuse028_x264.mp4',
                'Training-Normal-Videos-Part-2/Normal_Videos001_x264.mp4',
                'Testing_Normal_Videos_Anomaly/Normal_Videos_003_x264.mp4',
            ),
            (
                '',
                'Abuse/Abuse028_x264.mp4',
                'Training_Normal_Videos_Anomaly/Normal_Videos001_x264.mp4',
                'Testing_Normal_Videos/Testing_Normal_Videos_Anomaly/Normal_Videos_003_x264.mp4',
            ),
            (
                'UCF_Crimes-Train-Test-Split/Anomaly_Detection_splits',
                'Anomaly-Videos-Part-1/Anomaly-Videos-Part-1/Abuse/Abuse028_x264.mp4',
                'Training-Normal-Videos-Part-1/Training-Normal-Videos-Part-1/'
                'Normal_Videos001_x264.mp4',
                'Testing_Normal_Videos/Normal_Videos_003_x264.mp4',
            ),
            (
                'annotations',
                'videos/Abuse028_x264.mp4',
                'videos/Normal_Videos001_x264.mp4',
                'videos/Normal_Videos_003_x264.avi',
            ),
            (
                '',
                'frames/Abuse028_x264',
                'frames/Normal_Videos001_x264',
                'frames/Testing_Normal_Videos_Anomaly/Normal_Videos_003_x264',
            ),
        ],
    )
    def test_every_layout(self, tmp_path, put, capsys, labels, abuse, train, test):
        self.labels(tmp_path, labels)
        put(abuse, train, test)
        self.convert(tmp_path)
        metainfo, videos = read(tmp_path, 'testing')
        assert metainfo['dataset'] == 'UCF-Crime' and 'count from 1' in metainfo['ground_truth']
        assert list(videos) == ['Abuse028_x264', 'Normal_Videos_003_x264']
        assert videos['Abuse028_x264'].intervals == ((1, 9),)
        assert [v.category for v in videos.values()] == ['Abuse', 'Normal']
        assert [v.path for v in videos.values()] == [abuse, test]
        # The abnormal training video is not asked for.
        metainfo, videos = read(tmp_path, 'training')
        assert [(v.video, v.path, v.intervals) for v in videos.values()] == [
            ('Normal_Videos001_x264', train, ())
        ]
        out = capsys.readouterr().out
        assert '290' in out and '800' in out
        assert outputs(tmp_path) == ['testing.json', 'training.json']

    def test_missing_videos(self, tmp_path, put, capsys):
        self.labels(tmp_path)
        with pytest.raises(ValueError, match='training: 1 of 1 videos are missing: Normal_Videos0'):
            self.convert(tmp_path)
        with pytest.raises(ValueError, match='none of the videos of UCF-Crime'):
            self.convert(tmp_path, subset=True)
        put('videos/Abuse028_x264.mp4')
        self.convert(tmp_path, subset=True)
        assert outputs(tmp_path) == ['testing.json']
        assert 'training.json is not written' in capsys.readouterr().out
        metainfo, videos = read(tmp_path, 'testing')
        assert list(videos) == ['Abuse028_x264']
        assert metainfo['ground_truth'].endswith('a subset: 1 of 2 videos')

    def test_labels_beyond_the_end(self, tmp_path, put, capsys):
        self.labels(tmp_path, end=15)
        put(*(f'videos/{name}_x264.mp4' for name in ('Abuse028', 'Normal_Videos001')))
        put('videos/Normal_Videos_003_x264.mp4')
        with pytest.raises(
            ValueError, match=r'testing: .*Abuse028_x264 has 12 frames, abnormal are \[\[1, 15\]\]'
        ):
            self.convert(tmp_path)
        assert outputs(tmp_path) == []
        self.convert(tmp_path, clip=True)
        metainfo, videos = read(tmp_path, 'testing')
        assert videos['Abuse028_x264'].intervals == ((1, 12),)
        said = 'labels of 1 videos cut at their end, 3 frames in all'
        assert metainfo['ground_truth'].endswith(said)
        assert said in capsys.readouterr().out

    def test_stretches_that_lie_wholly_beyond_are_counted(self, tmp_path, put, capsys):
        self.labels(tmp_path)
        write(tmp_path / UCF_LABELS, 'Abuse028_x264 Abuse 3 4 20 29')
        put('videos/Abuse028_x264.mp4', 'videos/Normal_Videos001_x264.mp4')
        self.convert(tmp_path, clip=True)
        assert read(tmp_path, 'testing')[1]['Abuse028_x264'].intervals == ((2, 4),)
        assert '10 frames in all:' in capsys.readouterr().out
        write(tmp_path / UCF_LABELS, 'Abuse028_x264 Abuse 20 29 -1 -1')
        self.convert(tmp_path, clip=True)
        assert '10 frames in all, 1 of them to nothing' in capsys.readouterr().out

    def test_files_that_contradict_each_other(self, tmp_path, put):
        self.labels(tmp_path)
        write(tmp_path / 'Anomaly_Test.txt', 'Abuse/Abuse028_x264.mp4')
        with pytest.raises(ValueError, match='Anomaly_Test.txt: 1 videos .*Normal_Videos_003'):
            self.convert(tmp_path)
        write(tmp_path / 'Anomaly_Train.txt', 'Abuse/Abuse028_x264.mp4')
        with pytest.raises(ValueError, match='Anomaly_Train.txt: 1 videos .*Abuse028_x264'):
            self.convert(tmp_path)

    def test_missing_files_and_broken_videos(self, tmp_path, put):
        with pytest.raises(FileNotFoundError, match=UCF_LABELS):
            self.convert(tmp_path)
        self.labels(tmp_path)
        put('videos/Normal_Videos001_x264.mp4', 'videos/Normal_Videos_003_x264.mp4')
        write(tmp_path / 'videos/Abuse028_x264.mp4', 'no video')
        with pytest.raises(ValueError, match='Abuse028_x264.mp4: cannot be opened as a video'):
            self.convert(tmp_path)
        assert outputs(tmp_path) == []

    def test_odd_rows_are_printed(self, tmp_path, put, capsys):
        self.labels(tmp_path)
        put('videos/Normal_Videos001_x264.mp4', 'videos/Abuse028_x264.mp4')
        write(tmp_path / UCF_LABELS, 'Abuse028_x264 Abuse 6 7 1 2')
        self.convert(tmp_path)
        assert f'{UCF_LABELS}:1: Abuse028_x264: stretches out of order' in capsys.readouterr().out


class TestXDViolence:
    NORMAL, VIOLENT, TRAIN = 'v=a__#1_label_A', 'v=b__#1_label_B1-0-0', 'v=c__#1_label_A'

    @pytest.fixture
    def convert(self, monkeypatch):
        module = script('xd_violence')
        monkeypatch.setattr(module, 'NORMAL', dict(training=1, testing=1))
        return module.convert

    def labels(self, root, end=9):
        write(root / 'annotations.txt', f'{self.VIOLENT}.mp4 0 2 3 {end}')

    @pytest.mark.parametrize(
        ('test', 'train', 'suffix'),
        [
            ('test_videos', '1-1004', '.mp4'),
            ('test_videos/videos', '1005-2004/1005-2004', '.mp4'),
            ('videos', 'train', '.mp4'),
            ('test', 'training', ''),
            ('test', 'train/3320-3954', '.mp4'),
        ],
    )
    def test_every_layout(self, tmp_path, put, capsys, convert, test, train, suffix):
        self.labels(tmp_path)
        put(f'{test}/{self.NORMAL}{suffix}', f'{test}/{self.VIOLENT}{suffix}')
        put(f'{train}/{self.TRAIN}{suffix}', f'{train}/v=d__#1_label_B2-G-0{suffix}')
        convert(tmp_path)
        metainfo, videos = read(tmp_path, 'testing')
        assert 'count from 0' in metainfo['ground_truth']
        assert list(videos) == [self.VIOLENT, self.NORMAL]
        assert videos[self.VIOLENT].intervals == ((0, 2), (3, 9))
        assert videos[self.NORMAL].intervals == ()
        assert [v.category for v in videos.values()] == ['B1', 'A']
        _, videos = read(tmp_path, 'training')
        assert [v.path for v in videos.values()] == [f'{train}/{self.TRAIN}{suffix}']
        out = capsys.readouterr().out
        assert f'annotations.txt:1: {self.VIOLENT}: name ends in .mp4' in out
        assert '800' in out and '2,049' in out

    def test_missing_videos(self, tmp_path, put, convert):
        self.labels(tmp_path)
        words = f'testing: 2 of 2 videos are missing: {self.VIOLENT}; 1 normal ones'
        with pytest.raises(ValueError, match=words):
            convert(tmp_path)
        put(f'videos/{self.NORMAL}.mp4')
        with pytest.raises(ValueError, match='testing: 1 of 2 videos are missing'):
            convert(tmp_path)
        put(f'videos/{self.VIOLENT}.mp4')
        with pytest.raises(ValueError, match='training: 1 of 1 videos are missing: 1 normal'):
            convert(tmp_path)
        assert outputs(tmp_path) == []
        (tmp_path / f'videos/{self.VIOLENT}.mp4').unlink()
        convert(tmp_path, subset=True)
        metainfo, videos = read(tmp_path, 'testing')
        assert list(videos) == [self.NORMAL]
        assert metainfo['ground_truth'].endswith('a subset: 1 of 2 videos')

    def test_videos_that_are_in_the_wrong_place(self, tmp_path, put, convert):
        self.labels(tmp_path)
        put(f'videos/{self.NORMAL}.mp4', f'videos/{self.VIOLENT}.mp4', f'train/{self.TRAIN}.mp4')
        put(f'videos/{self.TRAIN}x_label_A.mp4')
        with pytest.raises(ValueError, match='testing: 2 normal videos .* expected 1'):
            convert(tmp_path)
        put(f'videos/{self.TRAIN}.mp4')
        with pytest.raises(ValueError, match='1 videos are in folders of both splits'):
            convert(tmp_path)
        put('test/v=e_label_G-0-0.mp4')
        (tmp_path / f'videos/{self.TRAIN}.mp4').unlink()
        with pytest.raises(ValueError, match='annotations.txt: no row for 1 videos.*v=e_label_G'):
            convert(tmp_path)
        put('test/holiday.mp4')
        with pytest.raises(ValueError, match='test: holiday: expected a name that ends in _label_'):
            convert(tmp_path)

    def test_labels_beyond_the_end(self, tmp_path, put, convert):
        self.labels(tmp_path, end=13)
        put(f'videos/{self.NORMAL}.mp4', f'videos/{self.VIOLENT}.mp4', f'train/{self.TRAIN}.mp4')
        with pytest.raises(ValueError, match=r'has 12 frames, abnormal are \[\[3, 13\]\]'):
            convert(tmp_path)
        convert(tmp_path, clip=True)
        assert read(tmp_path, 'testing')[1][self.VIOLENT].intervals == ((0, 2), (3, 12))


class TestUBnormal:
    convert = staticmethod(script('ubnormal').convert)
    NAMES = dict(
        normal_training='normal_scene_1_scenario1_10',
        normal_validation='normal_scene_2_scenario_1',
        abnormal_validation='abnormal_scene_2_scenario_1',
        normal_test='normal_scene_12_scenario_3_fog',
        abnormal_test='abnormal_scene_12_scenario_3_fog',
    )

    def lists(self, root, folder='scripts'):
        for name, video in self.NAMES.items():
            write(root / folder / f'{name}_video_names.txt', video)

    def tracks(self, root, video, *lines):
        folder = root / f'Scene{video.split("_")[2]}/{video}_annotations'
        return write(folder / f'{video}_tracks.txt', *lines)

    @pytest.mark.parametrize('folder', ['scripts', ''])
    @pytest.mark.parametrize('suffix', ['.mp4', ''])
    def test_every_layout(self, tmp_path, put, capsys, folder, suffix):
        self.lists(tmp_path, folder)
        put(*(f'Scene{v.split("_")[2]}/{v}{suffix}' for v in self.NAMES.values()))
        self.tracks(tmp_path, self.NAMES['abnormal_validation'], '1,0,3', '2,2,5', '1,8,8')
        self.tracks(tmp_path, self.NAMES['abnormal_test'], '4 11 11')
        self.tracks(tmp_path, self.NAMES['normal_test'])
        self.convert(tmp_path)
        assert outputs(tmp_path) == ['testing.json', 'training.json', 'validation.json']
        _, videos = read(tmp_path, 'validation')
        video = videos[self.NAMES['abnormal_validation']]
        assert video.intervals == ((0, 6), (8, 9)) and video.scene == 'Scene2'
        name = self.NAMES['abnormal_validation']
        assert video.tracks == f'Scene2/{name}_annotations/{name}_tracks.txt'
        metainfo, videos = read(tmp_path, 'testing')
        assert 'official split' in metainfo['ground_truth']
        assert videos[self.NAMES['abnormal_test']].intervals == ((11, 12),)
        video = videos[self.NAMES['normal_test']]
        assert (video.intervals, video.tracks, video.scene) == ((), None, 'Scene12')
        _, videos = read(tmp_path, 'training')
        assert list(videos) == [self.NAMES['normal_training']]
        assert '211' in capsys.readouterr().out

    def test_missing_lists(self, tmp_path):
        self.lists(tmp_path)
        (tmp_path / 'scripts/abnormal_test_video_names.txt').unlink()
        with pytest.raises(FileNotFoundError, match='missing .*: abnormal_test_video_names.txt; '):
            self.convert(tmp_path)

    def test_lists_that_are_off(self, tmp_path):
        self.lists(tmp_path)
        write(tmp_path / 'scripts/normal_test_video_names.txt', self.NAMES['normal_training'])
        with pytest.raises(ValueError, match='normal_test_video.* is in .*normal_training_video'):
            self.convert(tmp_path)
        write(tmp_path / 'scripts/normal_test_video_names.txt', 'video1')
        with pytest.raises(ValueError, match='video1: expected a name like'):
            self.convert(tmp_path)

    def test_abnormal_videos_must_have_tracks(self, tmp_path, put):
        self.lists(tmp_path)
        put(*(f'Scene{v.split("_")[2]}/{v}.mp4' for v in self.NAMES.values()))
        words = '1 videos listed as abnormal have no tracks; .*scenario_1_tracks.txt'
        with pytest.raises(ValueError, match=f'validation: {words}'):
            self.convert(tmp_path)
        self.tracks(tmp_path, self.NAMES['abnormal_validation'])
        with pytest.raises(ValueError, match=f'validation: {words}'):
            self.convert(tmp_path)
        assert outputs(tmp_path) == []

    def test_subsets_and_tracks_of_normal_videos(self, tmp_path, put, capsys):
        self.lists(tmp_path)
        put(f'Scene2/{self.NAMES["normal_validation"]}.mp4')
        with pytest.raises(ValueError, match='training: 1 of 1 videos are missing'):
            self.convert(tmp_path)
        self.tracks(tmp_path, self.NAMES['normal_validation'], '1,0,3')
        self.convert(tmp_path, subset=True)
        metainfo, videos = read(tmp_path, 'validation')
        assert metainfo['ground_truth'].endswith('a subset: 1 of 2 videos')
        assert not any(video.labels.any() for video in videos.values())
        assert 'is listed as normal, its tracks are left out' in capsys.readouterr().out

    def test_tracks_beyond_the_end(self, tmp_path, put):
        self.lists(tmp_path)
        put(*(f'Scene{v.split("_")[2]}/{v}.mp4' for v in self.NAMES.values()))
        self.tracks(tmp_path, self.NAMES['abnormal_validation'], '1,10,12')
        self.tracks(tmp_path, self.NAMES['abnormal_test'], '1,0,3')
        with pytest.raises(ValueError, match=r'has 12 frames, abnormal are \[\[10, 13\]\]'):
            self.convert(tmp_path)
        self.convert(tmp_path, clip=True)
        video = read(tmp_path, 'validation')[1][self.NAMES['abnormal_validation']]
        assert video.intervals == ((10, 12),)


@pytest.mark.parametrize('name', ['ubnormal', 'ucf_crime', 'xd_violence'])
def test_command_line(tmp_path, monkeypatch, capsys, name):
    module = script(name)
    calls = []
    convert = SimpleNamespace(call=lambda root, **options: calls.append((root, options))).call
    monkeypatch.setattr('sys.argv', [name, str(tmp_path), '--clip'])
    with pytest.raises(SystemExit, match='0'):
        module.main(convert, module.__doc__, module.OPTIONS)
    assert calls == [(tmp_path, dict(subset=False, clip=True))]
    monkeypatch.setattr('sys.argv', [name, str(tmp_path)])
    with pytest.raises(SystemExit, match='1'):
        module.main(module.convert, module.__doc__, module.OPTIONS)
    assert capsys.readouterr().err.startswith(f'error: {tmp_path}')


@pytest.mark.parametrize('name', ['ubnormal', 'ucf_crime', 'xd_violence'])
def test_configs_read_what_the_converters_write(name):
    cfg = Config.fromfile(REPO / 'configs/localvad' / f'{name}.py')
    for dataset, split in (('train', 'training'), ('test', 'testing')):
        assert cfg[f'{dataset}_dataset'].to_dict() == dict(
            type='VideoDataset', data_root=f'data/{name}', ann_file=f'{split}.json'
        )
    # The method is that on the paper's first dataset.
    base = Config.fromfile(REPO / 'configs/localvad/shanghaitech.py')
    for key in ('model', 'proposer', 'captioner'):
        assert json.dumps(cfg[key].to_dict()) == json.dumps(base[key].to_dict()), key
