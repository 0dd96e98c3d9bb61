"""Frames, labels and datasets, on plaza, on made-up folders and on the real files."""

import copy
import json
import pickle

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from scipy.io import savemat
from torch.utils.data import DataLoader

from mmvad.datasets import (
    EpochSubsetSampler,
    FrameSource,
    MeasurementDataset,
    TubeSweep,
    VideoDataset,
    inference_pipeline,
    sweep,
    training_pipeline,
)
from mmvad.datasets.annotations import (
    VideoAnnotation,
    intervals_of,
    read_annotations,
    write_annotations,
)
from mmvad.datasets.ground_truth.labels import read_labels
from mmvad.motion.attributes import QUANTITIES, AttributeMeter
from mmvad.registry import TRANSFORMS
from mmvad.structures import FrameObjects, ObjectTubes, TubeSpec, measurement_path


def write_frames(folder, count, size=(24, 32), names='{:03d}.png'):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        cv2.imwrite(str(folder / names.format(i)), np.full((*size, 3), i, np.uint8))


def values(source):
    return [int(frame[0, 0, 0]) for frame in source]


class Counting(list):
    """Frames that note which of them are asked for."""

    def __init__(self, frames):
        super().__init__(frames)
        self.asked = []

    def __getitem__(self, index):
        self.asked.append(index)
        return super().__getitem__(index)


class TestFrames:
    def test_folders_are_read_in_numeric_order(self, tmp_path):
        write_frames(tmp_path, 12, names='{}.png')
        (tmp_path / '._3.png').write_bytes(b'not a picture')
        assert values(FrameSource(tmp_path)) == list(range(12))

    def test_video_files_give_the_same_frames_in_any_order(self, tmp_path):
        path = tmp_path / 'v.avi'
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 10, (32, 24))
        for i in range(10):
            writer.write(np.full((24, 32, 3), i * 20, np.uint8))
        writer.release()
        source = FrameSource(path)
        assert (len(source), source.frame_shape) == (10, (24, 32))
        forward = [source[i].mean() for i in range(10)]
        np.testing.assert_allclose(forward, np.arange(10) * 20, atol=3)
        assert [source[i].mean() for i in (7, 2, 9, 0)] == [forward[i] for i in (7, 2, 9, 0)]
        # MMEngine's runner copies its datasets, and with them what is open.
        for other in (copy.deepcopy(source), pickle.loads(pickle.dumps(source))):
            assert [frame.mean() for frame in other] == forward

    def test_workers_look_frames_up_in_a_video_file_that_is_open_already(self, tmp_path):
        path = tmp_path / 'v.avi'
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 10, (32, 24))
        for i in range(24):
            writer.write(np.full((24, 32, 3), i * 10, np.uint8))
        writer.release()
        source = FrameSource(path)
        expected = [frame.mean() for frame in source]
        order = np.random.default_rng(0).permutation(24).tolist()
        loader = DataLoader(source, batch_size=None, sampler=order, num_workers=2)
        assert [frame.double().mean() for frame in loader] == [expected[i] for i in order]
        assert source[3].mean() == expected[3]

    def test_a_frame_that_does_not_decode_is_named(self, tmp_path):
        write_frames(tmp_path, 3)
        (tmp_path / '001.png').write_bytes(b'broken')
        with pytest.raises(ValueError, match='001.png: does not decode'):
            values(FrameSource(tmp_path))

    def test_a_jpeg_file_that_is_cut_short_is_named(self, tmp_path):
        rng = np.random.default_rng(0)
        whole = cv2.imencode('.jpg', rng.integers(0, 255, (64, 64, 3), np.uint8))[1].tobytes()
        preview = cv2.imencode('.jpg', np.zeros((8, 8, 3), np.uint8))[1].tobytes()
        # As cameras write it: a segment of the header (APP1) holds another whole JPEG image.
        segment = b'\xff\xe1' + (len(preview) + 2).to_bytes(2, 'big') + preview
        for data in (whole, whole[:2] + segment + whole[2:]):
            (tmp_path / '0.jpg').write_bytes(data)
            assert FrameSource(tmp_path)[0].shape == (64, 64, 3)
            for size in (len(data) * 2 // 3, len(data) - 2):
                (tmp_path / '0.jpg').write_bytes(data[:size])
                with pytest.raises(ValueError, match='0.jpg: is cut short'):
                    FrameSource(tmp_path)[0]

    def test_images_of_another_format_than_their_suffix_says_are_read(self, tmp_path):
        rng = np.random.default_rng(0)
        image = rng.integers(0, 255, (300, 300, 3), np.uint8)  # so that all pairs of bytes occur
        (tmp_path / '0.jpg').write_bytes(cv2.imencode('.png', image)[1].tobytes())
        np.testing.assert_array_equal(FrameSource(tmp_path)[0], image)

    def test_a_frame_of_another_size_is_named(self, tmp_path):
        write_frames(tmp_path, 3)
        cv2.imwrite(str(tmp_path / '002.png'), np.zeros((10, 10, 3), np.uint8))
        with pytest.raises(
            ValueError, match=r'002.png: size .* \(10, 10\) differs from \(24, 32\)'
        ):
            values(FrameSource(tmp_path))

    def test_missing_empty_and_broken_sources_are_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match='nowhere'):
            FrameSource(tmp_path / 'nowhere')
        (tmp_path / 'empty').mkdir()
        with pytest.raises(ValueError, match='empty: holds no frames'):
            FrameSource(tmp_path / 'empty')
        (tmp_path / 'bad.avi').write_bytes(b'no video')
        with pytest.raises(ValueError, match='bad.avi: cannot be opened as a video: Invalid data'):
            FrameSource(tmp_path / 'bad.avi')

    def test_a_sweep_decodes_each_frame_once(self):
        source = Counting(range(100, 120))
        out = list(sweep(source, [1, 2, 5, 15], depth=4))
        assert out[0] == (1, [100, 100, 100, 101])
        assert out[2] == (5, [102, 103, 104, 105])
        assert out[3] == (15, [112, 113, 114, 115])
        # In order, and what no wanted frame needs not at all.
        assert source.asked == [0, 1, 2, 3, 4, 5, 12, 13, 14, 15]

    def test_a_sweep_with_a_stride_decodes_each_frame_at_most_once(self):
        source = Counting(range(100, 140))
        out = list(sweep(source, [1, 5, 6, 7, 16, 39], depth=4, stride=3))
        assert out == [
            (1, [100, 100, 100, 101]),
            (5, [100, 100, 102, 105]),
            (6, [100, 100, 103, 106]),
            (7, [100, 101, 104, 107]),
            (16, [107, 110, 113, 116]),
            (39, [130, 133, 136, 139]),
        ]
        assert source.asked == sorted(set(source.asked))
        assert not set(source.asked) & set(range(17, 30))


class TestVideoDataset:
    def make(self, root, **kwargs):
        return VideoDataset(data_root=str(root), data_prefix=dict(img='training/frames'), **kwargs)

    def test_lists_videos_in_order(self, tmp_path):
        for name, count in (('02', 7), ('01', 6)):
            write_frames(tmp_path / 'training/frames' / name, count)
        videos = self.make(tmp_path)
        assert videos.lengths == {'01': 6, '02': 7}
        assert len(videos.source('02')) == 7
        assert videos[0]['video'] == '01'

    def test_bad_folders_are_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match='training/frames: no such folder'):
            self.make(tmp_path)
        (tmp_path / 'training/frames').mkdir(parents=True)
        with pytest.raises(ValueError, match='training/frames: expected at least one folder'):
            self.make(tmp_path)
        (tmp_path / 'training/frames/01').mkdir()
        with pytest.raises(ValueError, match='01: an empty folder'):
            self.make(tmp_path)

    def test_folders_of_images_have_the_rate_that_is_said(self, tmp_path):
        write_frames(tmp_path / 'img' / '01', 3)
        prefix = dict(img='img')
        assert VideoDataset(str(tmp_path), prefix).source('01').fps == 25
        source = VideoDataset(str(tmp_path), prefix, frame_rate=10).source('01')
        assert source.fps == pickle.loads(pickle.dumps(source)).fps == 10
        for rate in (0, 'ten', float('nan')):
            with pytest.raises(ValueError, match='frame_rate: expected frames a second above 0'):
                VideoDataset(str(tmp_path), prefix, frame_rate=rate)

    def test_videos_go_by_number(self, tmp_path):
        for name in ('10', '9', 'cam 2', '1', 'cam 10'):
            write_frames(tmp_path / 'training/frames' / name, 2)
        assert list(self.make(tmp_path).lengths) == ['1', '9', '10', 'cam 2', 'cam 10']


class TestAnnotations:
    META = dict(dataset='yard', split='testing', ground_truth='by hand')

    def write(self, root, **changes):
        write_frames(root / 'clips/b', 9)
        entry = dict(video='b', path='clips/b', num_frames=9, intervals=[(1, 3), (5, 9)])
        write_annotations(root / 'test.json', self.META, [VideoAnnotation(**entry)])
        content = json.loads((root / 'test.json').read_text())
        content['data_list'][0].update(changes)
        (root / 'test.json').write_text(json.dumps(content))

    def load(self, root):
        return VideoDataset(data_root=str(root), ann_file='test.json')

    def test_videos_and_labels_come_from_the_file(self, tmp_path):
        self.write(tmp_path)
        videos = self.load(tmp_path)
        assert videos.lengths == {'b': 9} and len(videos.source('b')) == 9
        np.testing.assert_array_equal(videos.labels['b'], [0, 1, 1, 0, 0, 1, 1, 1, 1])
        assert intervals_of(videos.labels['b']) == ((1, 3), (5, 9))
        metainfo, (video,) = read_annotations(tmp_path / 'test.json')
        assert metainfo == self.META and video.intervals == ((1, 3), (5, 9))

    def test_video_files_are_remarked_as_in_a_folder(self, tmp_path):
        self.write(tmp_path, path='b.avi')
        writer = cv2.VideoWriter(
            str(tmp_path / 'b.avi'), cv2.VideoWriter_fourcc(*'MJPG'), 10, (32, 24)
        )
        for _ in range(9):
            writer.write(np.zeros((24, 32, 3), np.uint8))
        writer.release()
        data = bytearray((tmp_path / 'b.avi').read_bytes())
        at = data.find(b'strh') + 8 + 32
        data[at : at + 4] = (7).to_bytes(4, 'little')
        (tmp_path / 'b.avi').write_bytes(data)
        remarks = self.load(tmp_path).remarks()
        assert remarks == dict(b=['its header states 7 frames, it holds 9'])

    @pytest.mark.parametrize(
        ('changes', 'words'),
        [
            (
                dict(path='../other/b'),
                r'test.json: data_list\[0\] \(b\): path: .*below the dataset',
            ),
            (dict(path='/data/b'), 'path: expected a path below'),
            (dict(pixel_masks='a/../../m'), 'pixel_masks: expected a path below'),
            (dict(intervals=[[5, 10]]), 'intervals: .*within 0 to 9'),
            (dict(intervals=[[5, 7], [6, 8]]), 'intervals: .*ascending'),
            (dict(intervals=[[1.5, 3]]), 'intervals: expected pairs'),
            (dict(intervals=[[False, True]]), 'intervals: expected pairs'),
            (dict(intervals=[3]), 'intervals: expected pairs'),
            (dict(intervals=None), 'intervals: expected pairs'),
            (dict(num_frames=0), 'num_frames: expected'),
            (dict(num_frames=True), 'num_frames: expected'),
            (dict(pixel_masks=''), 'pixel_masks: expected a path below'),
            (dict(tracks=3), 'tracks: expected a path below'),
            (dict(path=None), 'path: expected a path below'),
            (dict(scene=1), 'scene: expected a text'),
            (dict(category=None), 'category: expected a text'),
            (dict(labels=[]), r"unknown fields \['labels'\]"),
        ],
    )
    def test_entries_that_are_off_are_named(self, tmp_path, changes, words):
        self.write(tmp_path, **changes)
        with pytest.raises(ValueError, match=words):
            self.load(tmp_path)

    def test_frames_that_are_not_as_annotated_are_named(self, tmp_path):
        self.write(tmp_path, num_frames=12)
        with pytest.raises(ValueError, match='clips/b: has 9 frames, but .*test.json says 12'):
            self.load(tmp_path).source('b')
        self.write(tmp_path, path='clips/c')
        with pytest.raises(FileNotFoundError, match='clips/c: no such frames'):
            self.load(tmp_path)
        with pytest.raises(FileNotFoundError, match='none.json: no such annotation file'):
            VideoDataset(data_root=str(tmp_path), ann_file='none.json')

    def test_names_are_unique_and_metainfo_is_whole(self, tmp_path):
        video = VideoAnnotation('b', 'clips/b', 9)
        with pytest.raises(ValueError, match="videos named twice: \\['b'\\]"):
            write_annotations(tmp_path / 'x.json', self.META, [video, video])
        with pytest.raises(ValueError, match='metainfo: missing'):
            write_annotations(tmp_path / 'x.json', {}, [video])
        with pytest.raises(ValueError, match='metainfo: expected an object, got None'):
            write_annotations(tmp_path / 'x.json', None, [video])
        assert not (tmp_path / 'x.json').exists()

    @pytest.mark.parametrize(
        ('content', 'words'),
        [
            (dict(metainfo=None, data_list=[]), 'x.json: metainfo: expected an object, got None'),
            (dict(metainfo=META, data_list=None), 'x.json: data_list: expected a list'),
            (dict(metainfo=META, data_list=[]), 'x.json: data_list: expected at least one'),
        ],
    )
    def test_files_of_another_form_are_named(self, tmp_path, content, words):
        (tmp_path / 'x.json').write_text(json.dumps(content))
        with pytest.raises(ValueError, match=words):
            read_annotations(tmp_path / 'x.json')


class TestLabels:
    def test_lengths_and_values_are_checked(self, tmp_path):
        np.save(tmp_path / '01.npy', np.array([0, 1, 1, 0], np.int8))
        labels = read_labels('frame_masks', tmp_path, {'01': 4})
        np.testing.assert_array_equal(labels['01'], [0, 1, 1, 0])
        with pytest.raises(ValueError, match='video 01 has 5 frames but 4 labels'):
            read_labels('frame_masks', tmp_path, {'01': 5})
        np.save(tmp_path / '02.npy', np.array([0, 7]))
        with pytest.raises(ValueError, match='labels of video 02: expected 0 and 1'):
            read_labels('frame_masks', tmp_path, {'02': 2})
        with pytest.raises(FileNotFoundError, match='03.npy'):
            read_labels('frame_masks', tmp_path, {'03': 2})
        with pytest.raises(ValueError, match='labels.format: expected one of'):
            read_labels('json', tmp_path, {})

    def test_pickled_labels_are_refused(self, tmp_path):
        np.save(tmp_path / '01.npy', np.array([None]), allow_pickle=True)
        with pytest.raises(ValueError, match='01.npy: expected real numbers'):
            read_labels('frame_masks', tmp_path, {'01': 1})

    def test_intervals_do_not_wrap_at_255(self, tmp_path):
        cells = np.empty((1, 2), object)
        cells[0, 0] = np.array([[3], [255]], np.uint8)
        cells[0, 1] = np.array([[1, 5], [2, 6]], np.uint8)
        savemat(tmp_path / 'g.mat', dict(gt=cells))
        labels = read_labels('interval_mat', tmp_path / 'g.mat', {'a': 300, 'b': 8})
        assert labels['a'].sum() == 253 and labels['a'][2] == 1 and labels['a'][255] == 0
        np.testing.assert_array_equal(labels['b'], [1, 1, 0, 0, 1, 1, 0, 0])
        with pytest.raises(ValueError, match='1 cells for|2 cells for 1 videos'):
            read_labels('interval_mat', tmp_path / 'g.mat', {'a': 300})

    def test_ped2_has_the_published_counts_in_both_formats(self, shared):
        root = shared / 'ped2'
        videos = VideoDataset(
            data_root=str(root),
            data_prefix=dict(img='testing/frames'),
            labels=dict(format='interval_mat', path='ped2.mat'),
        )
        labels = videos.labels
        assert (sum(videos.lengths.values()), sum(v.sum() for v in labels.values())) == (2010, 1648)
        masks = read_labels('mask_folders', root / 'testing', videos.lengths)
        for video, label in labels.items():
            np.testing.assert_array_equal(masks[video], label)

    def test_avenue_sample_fits_its_videos(self, shared):
        videos = VideoDataset(
            data_root=str(shared / 'avenue_sample'),
            data_prefix=dict(video='testing_videos'),
            labels=dict(format='avenue_volumes', path='ground_truth_demo/testing_label_mask'),
        )
        assert set(videos.lengths) == {'08', '21'}
        counts = {video: (len(v), v.sum()) for video, v in videos.labels.items()}
        assert counts == {'08': (36, 36), '21': (76, 53)}

    def test_shanghaitech_has_the_published_counts(self, shared):
        folder = shared / 'annotations/shanghaitech/test_frame_mask'
        lengths = {
            p.stem: len(np.load(p, allow_pickle=False)) for p in sorted(folder.glob('*.npy'))
        }
        labels = read_labels('frame_masks', folder, lengths)
        assert len(labels) == 107
        assert sum(lengths.values()) == 40791
        assert sum(v.sum() for v in labels.values()) == 17326


class TestLoadTubeFrames:
    def load(self, frame, **kwargs):
        transform = TRANSFORMS.build(dict(type='LoadTubeFrames', **kwargs))
        return transform(dict(source=range(100, 130), frame=frame))

    @pytest.mark.parametrize(
        ('frame', 'stride', 'imgs'),
        [
            (10, 1, [108, 109, 110]),
            (10, 3, [104, 107, 110]),
            (4, 3, [100, 101, 104]),
            (1, 2, [100, 100, 101]),
        ],
    )
    def test_every_so_many_frames_are_picked(self, frame, stride, imgs):
        results = self.load(frame, depth=3, strides=(stride,))
        assert results['imgs'] == imgs and results['stride'] == stride

    def test_a_stride_is_drawn_anew_each_time(self):
        assert self.load(20, depth=2) == dict(
            source=range(100, 130), frame=20, stride=1, imgs=[119, 120]
        )
        np.random.seed(0)
        drawn = [self.load(20, depth=3, strides=(1, 2, 5)) for _ in range(60)]
        for results in drawn:
            assert np.diff(results['imgs']).tolist() == [results['stride']] * 2
            assert results['imgs'][-1] == 120
        counts = [sum(r['stride'] == stride for r in drawn) for stride in (1, 2, 5)]
        assert min(counts) > 10 and sum(counts) == 60


def test_epoch_subsets_depend_on_the_epoch_alone():
    sampler = EpochSubsetSampler(range(10), num_samples=25, seed=3)
    sampler.set_epoch(2)
    second = list(sampler)
    assert len(second) == len(sampler) == 25
    assert sorted(second[:10]) == list(range(10))
    fresh = EpochSubsetSampler(range(10), num_samples=25, seed=3)
    assert list(fresh) != second
    fresh.set_epoch(2)
    assert list(fresh) == second


def made_up_tubes(counts=(2, 0, 3), num_frames=9) -> ObjectTubes:
    """Tubes of the last frames, as many in each as ``counts`` says."""
    numbers = range(num_frames - len(counts), num_frames)
    frames = np.repeat(numbers, counts).astype(np.int32)
    boxes = np.array([[4, 4, 20, 20]], np.float32).repeat(len(frames), 0)
    boxes += np.arange(len(frames), dtype=np.float32)[:, None] % 7 * 0.5
    return ObjectTubes(boxes, boxes + [2, 1, -2, -1], frames, num_frames, (24, 32))


class TestAttributes:
    def test_the_sweep_measures_what_the_function_measures(self):
        rng = np.random.default_rng(0)
        source = [rng.integers(0, 255, (24, 32, 3), dtype=np.uint8) for _ in range(9)]
        tubes = made_up_tubes()
        pipeline = [
            dict(type='mmvad.CropTubes', size=(8, 8)),
            dict(type='mmvad.MeasureAttributes', quantities=tuple(QUANTITIES)),
            dict(type='mmvad.MeasureAttributes', name='sizes', quantities=('width', 'height')),
            dict(type='mmvad.PackTubeInputs'),
        ]
        items = list(TubeSweep(source, tubes, 6, pipeline, '01'))
        measured = [item['measurements'] for item in items]
        assert [tuple(m['attributes'].shape) for m in measured] == [(2, 18), (3, 18)]
        rows = tubes.at(8)
        table = AttributeMeter()(
            FrameObjects(source[3:], tubes.boxes[rows], tubes.objects[rows], '01', 8)
        )
        sizes = [np.log(table['width']), np.log(table['height'])]
        expected = np.stack(
            [
                table['speed'],
                table['peak_speed'],
                *table['velocity'].T,
                # In heights an object's own height is one.
                100 * table['speed'] / table['height'],
                *table['directions'].T,
                *sizes,
                table['view'][:, 1],
                *table['view'].T,
            ],
            axis=1,
        )
        np.testing.assert_allclose(measured[1]['attributes'], expected, rtol=1e-6)
        np.testing.assert_allclose(measured[1]['sizes'], np.stack(sizes, axis=1), rtol=1e-6)

    def test_directions_are_a_histogram_of_oriented_flow(self):
        """Half the box goes right at 3 pixels a frame, a quarter up at 2; the rest stands."""
        flow = np.zeros((40, 40, 2), np.float32)
        flow[:, 20:, 0] = 3
        flow[:20, :20, 1] = -2
        box = np.array([[0, 0, 40, 40]], np.float32)
        frames = [np.zeros((40, 40, 3), np.uint8)] * 3
        found = AttributeMeter()(FrameObjects(frames, box, box, '01', 2), flow)['directions'][0]
        # From 0 degrees, which is to the right, on in steps of 45; up is -90, as y goes down.
        np.testing.assert_allclose(found, [1.5, 0, 0, 0, 0, 0, 0.5, 0], atol=1e-6)

    def test_nothing_needs_to_be_cropped_to_measure(self):
        pipeline = [dict(type='mmvad.MeasureAttributes'), dict(type='mmvad.PackTubeInputs')]
        source = [np.zeros((24, 32, 3), np.uint8)] * 9
        for item in TubeSweep(source, made_up_tubes(), 6, pipeline, '01'):
            assert set(item) == {'measurements', 'tubes'}
            assert item['measurements']['attributes'].shape[1] == 4

    def test_place_is_where_and_how_large(self):
        frame = np.zeros((100, 200, 3), np.uint8)
        objects = np.array([[0, 0, 100, 100], [150, 40, 160, 90]], np.float32)
        results = dict(imgs=[frame], objects=objects)
        place = TRANSFORMS.build(dict(type='MeasurePlace')).transform(results)['measurements']
        expected = [[0.25, 1.0, 0.0], [0.775, 0.9, np.log(0.5)]]
        np.testing.assert_allclose(place['place'], expected, rtol=1e-6)
        assert place['place'].dtype == np.float32

    def test_what_reaches_the_edge_is_cut(self):
        frame = np.zeros((100, 200, 3), np.uint8)
        whole = [[3, 2, 100, 98], [50, 50, 197.9, 90]]
        cut = [[2, 2, 100, 98], [50, 50, 198, 90], [50, 1, 60, 20], [50, 50, 60, 99]]
        results = dict(imgs=[frame], objects=np.array(whole + cut, np.float32))
        found = TRANSFORMS.build(dict(type='MeasureCut')).transform(results)['measurements']['cut']
        assert found.tolist() == [0, 0, 1, 1, 1, 1] and found.dtype == np.float32
        with pytest.raises(ValueError, match='MeasureCut.margin: expected from 0 to below 0.5'):
            TRANSFORMS.build(dict(type='MeasureCut', margin=0.5))

    def test_unknown_quantities_are_named(self):
        with pytest.raises(ValueError, match="quantities: expected some of .*'colour'"):
            TRANSFORMS.build(dict(type='MeasureAttributes', quantities=['colour']))


class TestPipelines:
    FLOW = dict(type='ComputeTubeFlow', pairs=3, short_side=60)
    MEASURE = dict(
        attributes=dict(type='MeasureAttributes', quantities=('width',)),
        speeds=dict(type='MeasureAttributes', quantities=('speed', 'velocity')),
    )

    def types(self, pipeline):
        return [transform['type'] for transform in pipeline]

    def test_for_inference_there_is_what_the_spec_names(self):
        plain = inference_pipeline(TubeSpec(crop_size=24))
        assert plain == [dict(type='CropTubes', size=(24, 24)), dict(type='PackTubeInputs')]
        # Flow comes before what is cropped and measured, which look at it.
        whole = inference_pipeline(TubeSpec(crop_size=24, flow=self.FLOW, measure=self.MEASURE))
        assert self.types(whole) == [
            'ComputeTubeFlow',
            'CropTubes',
            'MeasureAttributes',
            'MeasureAttributes',
            'PackTubeInputs',
        ]
        assert whole[0] == self.FLOW
        assert [transform['name'] for transform in whole[2:4]] == ['attributes', 'speeds']
        assert self.types(inference_pipeline(TubeSpec(measure=self.MEASURE))) == [
            'MeasureAttributes',
            'MeasureAttributes',
            'PackTubeInputs',
        ]

    def test_a_sweep_with_it_gives_what_the_spec_says(self):
        spec = TubeSpec(
            window=3, horizon=2, crop_size=(16, 24), flow=self.FLOW, measure=self.MEASURE
        )
        source = [np.zeros((24, 32, 3), np.uint8)] * 9
        with DefaultScope.overwrite_default_scope('mmvad'):
            sweep = TubeSweep(source, made_up_tubes(), spec.steps, inference_pipeline(spec), '01')
        assert sweep.depth == spec.steps + 3
        for item in sweep:
            count = item['tubes'].stop - item['tubes'].start
            assert item['inputs'].shape == (count, spec.steps, spec.channels, 16, 24)
            assert {name: tuple(v.shape) for name, v in item['measurements'].items()} == dict(
                attributes=(count, 1), speeds=(count, 3)
            )

    @pytest.mark.parametrize(
        ('flow', 'depth'),
        [(None, 1), (dict(type='ComputeTubeFlow'), 3), (FLOW, 4)],
    )
    def test_training_loads_one_step_and_what_its_flow_needs(self, flow, depth):
        spec = TubeSpec(crop_size=24, flow=flow, strides=(1, 3), measure=self.MEASURE)
        with DefaultScope.overwrite_default_scope('mmvad'):
            pipeline = training_pipeline(spec, 'captions', 8, keep_mb=77)
        assert self.types(pipeline) == [
            'LoadTubeFrames',
            *(['ComputeTubeFlow'] if flow else []),
            'CropTubes',
            'LoadTubeCaptions',
            'TokenizeCaptions',
            'PackTubeInputs',
        ]
        assert pipeline[0] == dict(type='LoadTubeFrames', depth=depth, strides=(1, 3))
        if flow:
            assert pipeline[1] == dict(flow, keep_mb=77)
        crop, captions, tokens, pack = pipeline[-4:]
        assert crop['size'] == (24, 24) and captions['folder'] == 'captions'
        assert tokens['context_length'] == 8 and pack['single']

    def test_there_must_be_crops_to_learn_from(self):
        with pytest.raises(ValueError, match='model.tube.crop_size: expected the size'):
            training_pipeline(TubeSpec(), 'captions', 8)


class TestTubeSweep:
    PIPELINE = (
        dict(type='mmvad.ComputeTubeFlow', pairs=1),
        dict(type='mmvad.CropTubes', size=(8, 8)),
        dict(type='mmvad.PackTubeInputs'),
    )

    @pytest.fixture(params=['file', 'folder'])
    def source(self, request, tmp_path) -> FrameSource:
        """20 frames of noise that moves."""
        rng = np.random.default_rng(0)
        noise = cv2.resize(rng.integers(0, 255, (12, 30, 3), np.uint8), (100, 40))
        frames = [noise[:24, i : i + 32] for i in range(20)]
        if request.param == 'folder':
            for i, frame in enumerate(frames):
                cv2.imwrite(str(tmp_path / f'{i:03d}.png'), frame)
            return FrameSource(tmp_path)
        path = tmp_path / 'v.avi'
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 10, (32, 24))
        for frame in frames:
            writer.write(frame)
        writer.release()
        return FrameSource(path)

    def items(self, source, num_workers) -> tuple[list, dict[int, torch.Tensor]]:
        tubes = made_up_tubes((1, 2, 0, 3, 1, 1, 0, 0, 2, 1, 4), 20)
        loader = DataLoader(
            TubeSweep(source, tubes, 6, self.PIPELINE, '01'),
            batch_size=None,
            num_workers=num_workers,
        )
        numbers, crops = [], {}
        for item in loader:
            rows = range(item['tubes'].start, item['tubes'].stop)
            assert len(item['inputs']) == len(rows)
            numbers += rows
            crops.update(zip(rows, item['inputs'], strict=True))
        return numbers, crops

    def test_workers_give_the_same_tubes_each_once(self, source):
        # The parent's place in a video file is somewhere else.
        assert source[15].shape == (24, 32, 3)
        alone, expected = self.items(source, 0)
        assert alone == list(range(15))
        numbers, crops = self.items(source, 2)
        assert sorted(numbers) == alone
        for number, crop in expected.items():
            assert crop.equal(crops[number])
        # And it goes on from where it was.
        assert self.items(source, 0)[0] == alone

    def test_more_workers_than_frames_do_no_harm(self, source):
        tubes = made_up_tubes((3,), 20)
        sweep = TubeSweep(source, tubes, 6, self.PIPELINE, '01')
        items = list(DataLoader(sweep, batch_size=None, num_workers=2))
        assert [item['tubes'] for item in items] == [slice(0, 3)]


class TestMeasurementDataset:
    """Measurements ``values`` (n, 2) and ``patterns`` (n, 6, 2, 1, 4) of made-up tubes."""

    def write(self, root, video, counts=(2, 0, 3), start=0):
        tubes = made_up_tubes(counts)
        write_frames(root / 'frames' / video, 9)
        tubes.save(root / 'proposals' / f'{video}.npz')
        n = len(tubes)
        patterns = np.arange(n * 48, dtype=np.float16).reshape(n, 6, 2, 1, 4) % 1000
        values = start + np.arange(2 * n, dtype=np.float32).reshape(n, 2)
        for name, array in (('patterns', patterns), ('values', values)):
            self.store(root, name, video, array)
        return values

    def store(self, root, name, video, array):
        path = measurement_path(root / 'features', name, video)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, array)

    def load(self, root, names=('patterns', 'values'), **kwargs):
        videos = dict(
            type='mmvad.VideoDataset', data_root=str(root), data_prefix=dict(img='frames')
        )
        return MeasurementDataset(
            videos, root / 'proposals', root / 'features', names, first_scored=5, **kwargs
        )

    def test_in_training_an_item_is_a_tube(self, tmp_path):
        values = self.write(tmp_path, '01')
        self.write(tmp_path, '02', start=10)
        dataset = self.load(tmp_path)
        assert len(dataset) == 10 and dataset.metainfo['labels'] == {}
        item = dataset[3]
        assert set(item) == {'inputs'} and set(item['inputs']) == {'patterns', 'values'}
        assert item['inputs']['patterns'].shape == (6, 2, 1, 4)
        assert item['inputs']['patterns'].dtype == torch.float16
        np.testing.assert_array_equal(item['inputs']['values'], values[3])
        # Of a single name, for models that take a single array.
        np.testing.assert_array_equal(self.load(tmp_path, 'values')[7]['inputs'], values[2] + 10)

    def test_in_test_an_item_is_a_frame_whose_objects_keep_their_tubes_numbers(self, tmp_path):
        values = self.write(tmp_path, '01')
        self.write(tmp_path, '02', start=10)
        dataset = self.load(tmp_path, test_mode=True)
        assert dataset.metainfo['videos'] == {'01': 9, '02': 9}
        assert dataset.metainfo['first_scored'] == 5
        # There are none in frame 7.
        places = [(i['data_samples'].video, i['data_samples'].frame) for i in dataset]
        assert places == [('01', 6), ('01', 8), ('02', 6), ('02', 8)]
        item = dataset[1]
        assert item['inputs']['patterns'].shape == (3, 6, 2, 1, 4)
        np.testing.assert_array_equal(item['inputs']['values'], values[2:])
        objects = item['data_samples'].pred_instances
        assert objects.tubes.tolist() == [2, 3, 4]
        np.testing.assert_array_equal(objects.bboxes, made_up_tubes().objects[2:])

    def test_what_mmengines_runner_copies_stays_on_disk(self, tmp_path):
        self.write(tmp_path, '01')
        dataset = copy.deepcopy(dict(dataset=self.load(tmp_path)))['dataset']
        assert dataset.arrays['01']['patterns'].filename is not None
        assert len(dataset) == 5

    def test_labels_are_those_of_the_videos(self, tmp_path):
        self.write(tmp_path, '01')
        (tmp_path / 'labels').mkdir()
        np.save(tmp_path / 'labels/01.npy', np.arange(9) // 5)
        videos = VideoDataset(
            data_root=str(tmp_path),
            data_prefix=dict(img='frames'),
            labels=dict(format='frame_masks', path='labels'),
        )
        folders = tmp_path / 'proposals', tmp_path / 'features'
        dataset = MeasurementDataset(videos, *folders, ['values'], 5, test_mode=True)
        np.testing.assert_array_equal(dataset.metainfo['labels']['01'], np.arange(9) // 5)
        assert MeasurementDataset(videos, *folders, ['values'], 5).metainfo['labels'] == {}

    def test_measurements_go_to_the_scorer(self, tmp_path):
        values = self.write(tmp_path, '01')
        self.write(tmp_path, '02', start=10)
        measured, videos, held_out = self.load(tmp_path).subset(10, held_out=0.5)
        assert set(measured) == {'patterns', 'values'} and len(measured['patterns']) == 10
        assert videos.tolist() == [0] * 5 + [1] * 5
        assert held_out.tolist() == [False] * 5 + [True] * 5
        np.testing.assert_array_equal(measured['values'], np.concatenate([values, values + 10]))

    def test_a_subset_is_spread_evenly(self, tmp_path):
        for number in range(4):
            self.write(tmp_path, f'{number:02d}', start=100 * number)
        dataset = self.load(tmp_path)
        measured, videos, held_out = dataset.subset(8, held_out=0.25)
        assert videos.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
        assert held_out.tolist() == [False] * 6 + [True] * 2
        # The first and the last are among them, and each is of the video that it is said to be of.
        assert measured['values'][0, 0] == 0 and measured['values'][-1, 0] == 308
        assert (measured['values'][:, 0] // 100).tolist() == videos.tolist()
        everything, videos, held_out = dataset.subset(1000)
        assert len(videos) == 20 == len(everything['values']) and not held_out.any()

    def test_videos_without_tubes_are_left_out(self, tmp_path):
        values = self.write(tmp_path, '01')
        self.write(tmp_path, '02', (0, 0))
        self.write(tmp_path, '03', start=10)
        # As the stage leaves it: nobody knows the shape of what was not measured.
        for name in ('patterns', 'values'):
            self.store(tmp_path, name, '02', np.zeros((0, 0), np.float32))
        measured, videos, held_out = self.load(tmp_path).subset(10, held_out=0.5)
        assert videos.tolist() == [0] * 5 + [2] * 5
        assert held_out.tolist() == [False] * 5 + [True] * 5
        np.testing.assert_array_equal(measured['values'], np.concatenate([values, values + 10]))
        assert measured['patterns'].dtype == torch.float16
        test = self.load(tmp_path, test_mode=True)
        assert {item['data_samples'].video for item in test} == {'01', '03'}
        assert set(test.metainfo['videos']) == {'01', '02', '03'}

    @pytest.mark.parametrize(
        ('count', 'share', 'expected'),
        [
            (2, 0.2, [1]),
            (2, 0.9, [1]),
            (3, 0.2, [2]),
            (5, 0.2, [4]),
            (11, 0.2, [4, 9]),
            (6, 0.34, [2, 5]),
            (6, 0.5, [1, 3, 5]),
        ],
    )
    def test_of_several_videos_every_so_many_are_held_out_whole(
        self, tmp_path, count, share, expected
    ):
        for number in range(count):
            self.write(tmp_path, f'{number:02d}', (1, 2))
        dataset = self.load(tmp_path, 'values')
        marks = dataset.held_out(share)
        assert list(marks) == [f'{number:02d}' for number in range(count)]
        assert all(mark.all() == mark.any() and len(mark) == 3 for mark in marks.values())
        assert [number for number, mark in enumerate(marks.values()) if mark.all()] == expected
        assert not any(mark.any() for mark in dataset.held_out(0).values())

    def test_videos_without_tubes_are_not_the_ones_that_are_held_out(self, tmp_path):
        self.write(tmp_path, '01', (1, 2))
        self.write(tmp_path, '02', (0, 0))
        marks = self.load(tmp_path, 'values').held_out(0.5)
        # So there is a single one, of which the end is.
        assert [mark.tolist() for mark in marks.values()] == [[False, True, True], []]

    def test_of_a_single_video_the_end_is_held_out(self, tmp_path):
        self.write(tmp_path, '01', (4, 0, 3, 3))
        dataset = self.load(tmp_path, 'values')
        assert dataset.held_out(0.2)['01'].tolist() == [False] * 8 + [True] * 2
        assert dataset.held_out(0.5)['01'].tolist() == [False] * 5 + [True] * 5
        assert not dataset.held_out(0)['01'].any()

    @pytest.mark.parametrize('videos', [1, 3])
    def test_training_items_leave_out_what_is_held_out(self, tmp_path, videos):
        for number in range(videos):
            self.write(tmp_path, f'{number:02d}', (4, 0, 3, 3), start=100 * number)
        dataset = self.load(tmp_path, 'values', held_out=0.2)
        everything, _, held_out = dataset.subset(1000, held_out=0.2)
        assert held_out.any() and len(dataset) == int((~held_out).sum())
        kept = torch.stack([dataset[i]['inputs'] for i in range(len(dataset))])
        assert kept.equal(everything['values'][~held_out])
        # A test leaves out nothing.
        assert len(self.load(tmp_path, 'values', held_out=0.2, test_mode=True)) == 3 * videos

    def test_measurements_that_do_not_fit_are_named(self, tmp_path):
        self.write(tmp_path, '01')
        self.store(tmp_path, 'values', '01', np.zeros((4, 2), np.float32))
        with pytest.raises(ValueError, match=r'values/01.npy: expected a row for each of 5 tubes'):
            self.load(tmp_path)
        measurement_path(tmp_path / 'features', 'values', '01').write_bytes(b'no array')
        with pytest.raises(ValueError, match='values/01.npy: not a plain numpy file'):
            self.load(tmp_path)
        self.write(tmp_path, '01')
        self.write(tmp_path, '02')
        measurement_path(tmp_path / 'features', 'values', '02').unlink()
        with pytest.raises(FileNotFoundError, match='values/02.npy: no such measurements'):
            self.load(tmp_path)
        (tmp_path / 'proposals/02.npz').unlink()
        with pytest.raises(FileNotFoundError, match='02.npz: no such proposals'):
            self.load(tmp_path)
