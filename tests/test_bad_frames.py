"""Images and folders as they are found on disks: deep, hidden, missing, black, frozen, broken."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import tiny_config

from mmvad.apis import VADInferencer
from mmvad.datasets import FrameLimits, FrameSource
from mmvad.datasets.annotations import VideoAnnotation, write_annotations
from mmvad.datasets.video_dataset import VideoDataset
from mmvad.engine.broken_videos import leave_out_broken
from mmvad.registry import RUNNERS
from mmvad.structures import FileDigests, WorkDir


def write(folder: Path, images, names='{:03d}.png') -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        assert cv2.imwrite(str(folder / names.format(number)), image)
    return folder


def noise(count: int, high: int, dtype=np.uint16, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, high + 1, (count, 24, 32, 3), dtype)
    images[:, 0, 0] = high
    return images


class TestDepth:
    """The rule of FrameSource's docstring."""

    @pytest.mark.parametrize(
        ('high', 'white'), [(4095, 4095), (3000, 4095), (65535, 65535), (9000, 65535)]
    )
    @pytest.mark.parametrize('suffix', ['png', 'tif'])
    def test_twelve_or_sixteen_bits(self, tmp_path, high, white, suffix):
        images = noise(3, high)
        source = FrameSource(write(tmp_path / 'v', images, f'{{:03d}}.{suffix}'))
        for frame, image in zip(source, images, strict=True):
            assert frame.dtype == np.uint8
            np.testing.assert_array_equal(frame, np.round(image / white * 255).astype(np.uint8))
        assert source.remarks == [
            f'images of more than 8 bits: values 0 to {white} become 0 to 255 (value_range)'
        ]

    def test_a_range_of_ones_own(self, tmp_path):
        images = noise(2, 9000)
        folder = write(tmp_path / 'v', images)
        source = FrameSource(folder, value_range=(7000, 8000))
        expected = ((images.astype(float) - 7000) / 1000 * 255).clip(0, 255).round()
        np.testing.assert_array_equal(np.stack(list(source)), expected.astype(np.uint8))
        assert source.remarks == []

    def test_of_grey_and_of_floating_point_images(self, tmp_path):
        grey = noise(2, 4095)[..., 0]
        np.testing.assert_array_equal(
            FrameSource(write(tmp_path / 'grey', grey))[1][..., 2],
            np.round(grey[1] / 4095 * 255).astype(np.uint8),
        )
        kelvin = (noise(2, 100).astype(np.float32) / 10 + 290)[..., 0]
        folder = write(tmp_path / 'kelvin', kelvin, '{:03d}.tiff')
        with pytest.raises(ValueError, match='000.tiff: holds float32 .*290 to 300; expected'):
            FrameSource(folder)[0]
        frame = FrameSource(folder, value_range=(290, 300))[0]
        np.testing.assert_allclose(frame[..., 0], (kelvin[0] - 290) * 25.5, atol=0.6)

    def test_brighter_than_the_first_image_tells(self, tmp_path):
        images = noise(2, 4095)
        images[1, 3, 3] = 5000
        source = FrameSource(write(tmp_path / 'v', images))
        for order in ((0, 1), (1,)):
            with pytest.raises(ValueError, match='001.png: holds values up to 5000, .*value_range'):
                [source[i] for i in order]

    def test_all_videos_by_one_rule(self, tmp_path):
        write(tmp_path / 'frames/a', noise(2, 4095))
        write(tmp_path / 'frames/b', noise(2, 60000))
        with pytest.raises(ValueError, match=r"depth: values of video 'a' .*'b'.*value_range"):
            VideoDataset(str(tmp_path), dict(img='frames')).remarks()
        videos = VideoDataset(str(tmp_path), dict(img='frames'), value_range=(0, 65535))
        assert videos.remarks() == {} and videos.source('a')[0].max() == 16

    def test_eight_bits_stay_as_they_are(self, tmp_path):
        images = noise(2, 255, np.uint8)
        source = FrameSource(write(tmp_path / 'v', images), value_range=(0, 65535))
        np.testing.assert_array_equal(np.stack(list(source)), images)

    def test_of_several_depths_in_one_video(self, tmp_path):
        folder = write(tmp_path / 'v', [noise(1, 4095)[0], noise(1, 255, np.uint8)[0]])
        for value_range in (None, (0, 4095)):
            with pytest.raises(ValueError, match='001.png: holds uint8 values, expected uint16'):
                list(FrameSource(folder, value_range))

    def test_training_and_test_by_one_rule(self, tmp_path, plaza):
        data = deep(plaza, tmp_path / 'data', training=16, testing=100)
        cfg = tiny_config(data, tmp_path / 'work', method='attributes')
        both = r"training video '00' from \(0.0, 4095.0\), testing video '00' from \(0.0, 65535.0\)"
        with pytest.raises(ValueError, match=rf'images differ in depth: .*{both}.*value_range'):
            RUNNERS.build(cfg)
        for dataset in (cfg.train_dataset, cfg.test_dataset):
            dataset.value_range = (0, 65535)
        RUNNERS.build(cfg)

    def test_later_videos_by_the_rule_of_training(self, tmp_path, plaza):
        data = deep(plaza, tmp_path / 'data', training=257, testing=257)
        RUNNERS.build(tiny_config(data, tmp_path / 'work', method='attributes')).train()
        inferencer = VADInferencer(tmp_path / 'work/attributes.pth')
        dark = write(tmp_path / 'dark', noise(9, 3000))
        assert inferencer._frames('dark', dark)[0].max() == round(3000 / 65535 * 255)

    def test_a_scene_that_takes_up_little_of_its_range(self, tmp_path):
        """As those of thermal cameras do."""
        images = np.random.default_rng(0).normal(7500, 40, (6, 120, 160)).astype(np.uint16)
        source = FrameSource(write(tmp_path / 'v', images))
        with pytest.raises(ValueError, match='6 of 6 .* single colour.*0 to 65535 .*value_range'):
            source.examine()
        FrameSource(tmp_path / 'v', value_range=(7300, 7700)).examine()

    @pytest.mark.parametrize(
        'wrong', [(5, 5), (9, 1), (1,), (0, 1, 2), 4095, (0, np.inf), (np.nan, 1), 'ab', (0, '1')]
    )
    def test_ranges_that_are_none(self, tmp_path, wrong):
        with pytest.raises(ValueError, match=r'value_range: expected \(low, high\)'):
            VideoDataset(str(tmp_path), dict(img='frames'), value_range=wrong)


def deep(plaza: Path, data: Path, **factors: int) -> Path:
    """The tiny plaza with images of 16 bits, brighter by a factor of each split."""
    shutil.copytree(plaza, data)
    for split, factor in factors.items():
        for file in (data / split / 'frames').rglob('*.jpg'):
            image = cv2.imread(str(file)).astype(np.uint16) * factor
            file.unlink()
            assert cv2.imwrite(str(file.with_suffix('.png')), image)
    return data


HIDDEN = ('.cache', '@eaDir', '@tmp', '#recycle', '__MACOSX', '$RECYCLE.BIN', 'lost+found')


class TestFolders:
    @pytest.mark.parametrize('name', HIDDEN)
    def test_what_is_none_of_the_users_is_passed_over(self, tmp_path, name):
        write(tmp_path / 'frames/a', noise(3, 255, np.uint8))
        (tmp_path / 'frames' / name).mkdir()
        (tmp_path / 'frames/a' / name).mkdir()
        (tmp_path / 'frames/._b').write_bytes(b'')
        (tmp_path / 'frames/Thumbs.db').write_bytes(b'')
        videos = VideoDataset(str(tmp_path), dict(img='frames'))
        assert videos.lengths == dict(a=3) and videos.remarks() == {}

    def test_names_that_begin_as_those_do(self, tmp_path):
        for name in ('#1', '@home', '$5'):
            write(tmp_path / 'frames' / name, noise(3, 255, np.uint8))
        assert set(VideoDataset(str(tmp_path), dict(img='frames')).lengths) == {'#1', '@home', '$5'}

    def test_hidden_video_files(self, tmp_path):
        (tmp_path / 'videos').mkdir()
        writer = cv2.VideoWriter(
            str(tmp_path / 'videos/a.avi'), cv2.VideoWriter_fourcc(*'MJPG'), 10, (32, 24)
        )
        for image in noise(4, 255, np.uint8):
            writer.write(image)
        writer.release()
        (tmp_path / 'videos/._a.avi').write_bytes(b'of a file manager')
        (tmp_path / 'videos/@eaDir').mkdir()
        (tmp_path / 'videos/b.avi').mkdir()
        assert VideoDataset(str(tmp_path), dict(video='videos')).lengths == dict(a=4)

    @pytest.mark.parametrize(
        ('numbers', 'gaps'),
        [([1, 2, 3], ''), ([2, 4, 6], ''), ([1, 2, 5, 6, 8], '3-4, 7'), ([10], '')],
    )
    def test_missing_frame_numbers_are_remarked(self, tmp_path, numbers, gaps):
        image = noise(1, 255, np.uint8)[0]
        (tmp_path / 'v').mkdir()
        for number in numbers:
            cv2.imwrite(str(tmp_path / f'v/cam2_{number:04d}.png'), image)
        (remark,) = FrameSource(tmp_path / 'v').remarks or ['']
        assert bool(gaps) == bool(remark) and gaps in remark


class TestLimits:
    def videos(self, tmp_path, plaza, kind: str, count: int) -> Path:
        """The tiny plaza, of whose second test video the first ``count`` frames show nothing."""
        data = Path(shutil.copytree(plaza, tmp_path / 'data'))
        files = sorted((data / 'testing/frames/01').iterdir())
        same = np.zeros((120, 160, 3), np.uint8) if kind == 'flat' else cv2.imread(str(files[0]))
        for file in files[:count]:
            cv2.imwrite(str(file), same)
        return data

    @pytest.mark.parametrize(
        ('kind', 'words'), [('flat', 'are of a single colour'), ('frozen', 'equal the one before')]
    )
    def test_a_video_that_shows_nothing_is_refused(self, tmp_path, plaza, kind, words):
        data = self.videos(tmp_path, plaza, kind, 40)
        cfg = tiny_config(data, tmp_path / 'work', method='attributes')
        with pytest.raises(ValueError, match=rf'01: 3\d of 35 frames {words}, .*limits.{kind}'):
            RUNNERS.build(cfg).train()
        limits = {kind: 1.0}
        cfg = tiny_config(data, tmp_path / 'work', method='attributes')
        cfg.test_dataset.limits = limits | (dict(frozen=1.0) if kind == 'flat' else {})
        assert 'auc/micro' in RUNNERS.build(cfg).train()

    def test_a_few_are_told(self, tmp_path, plaza):
        data = self.videos(tmp_path, plaza, 'flat', 12)
        RUNNERS.build(tiny_config(data, tmp_path / 'work', method='attributes')).train()
        (log,) = (tmp_path / 'work').glob('*.log')
        assert 'frames/01: 7 of 35 frames of a single colour' in log.read_text()

    @pytest.mark.parametrize('limits', [dict(flat=2), dict(frozen='all'), dict(black=0.5)])
    def test_limits_that_are_none(self, limits):
        with pytest.raises(ValueError, match=f'limits.{next(iter(limits))}: '):
            FrameLimits.of(limits)


class TestSkip:
    @pytest.fixture
    def data(self, plaza, tmp_path) -> Path:
        data = Path(shutil.copytree(plaza, tmp_path / 'data'))
        for split, video, frame in (('training', '01', 30), ('testing', '01', 39)):
            files = sorted((data / split / 'frames' / video).iterdir())
            files[frame].write_bytes(files[frame].read_bytes()[:100])
        return data

    def config(self, data, work, on_error=None):
        cfg = tiny_config(data, work, method='attributes')
        for dataset in (cfg.train_dataset, cfg.test_dataset):
            dataset.update(dict(on_error=on_error) if on_error else {})
        return cfg

    def test_a_broken_file_is_refused_and_named(self, data, tmp_path):
        with pytest.raises(ValueError, match=r'training/frames/01/.*30.*: '):
            RUNNERS.build(self.config(data, tmp_path / 'work')).train()

    def test_or_its_video_left_out_counted_and_listed(self, data, tmp_path):
        figures = RUNNERS.build(self.config(data, tmp_path / 'work', 'skip')).train()
        assert figures['videos'] == 1 and figures['frames'] == 40
        protocol = json.loads((tmp_path / 'work/metrics.json').read_text())['protocol']
        assert list(protocol['left_out']) == ['01'] and '39' in protocol['left_out']['01']
        (log,) = (tmp_path / 'work').glob('*.log')
        last = log.read_text()[-1500:]
        assert '1 of 2 testing videos are left out' in last
        assert ' training videos are left out' in last and 'training/frames/01/' in last
        # Its scores are those without it, and a second run reads nothing again.
        assert not (tmp_path / 'work/scores/01.npy').exists()
        examined = (tmp_path / 'work/examined.json').stat().st_mtime_ns
        assert RUNNERS.build(self.config(data, tmp_path / 'work', 'skip')).train() == figures
        assert (tmp_path / 'work/examined.json').stat().st_mtime_ns == examined

    def test_labels_by_the_order_of_the_videos_keep_their_place(self, tmp_path):
        from scipy.io import savemat

        for video in ('1', '2', '3'):
            write(tmp_path / 'frames' / video, noise(6, 255, np.uint8))
        cells = np.empty((1, 3), object)
        cells[0, 0], cells[0, 1], cells[0, 2] = ([[1], [2]], [[2], [3]], [[5], [6]])
        savemat(tmp_path / 'gt.mat', dict(gt=cells))
        shutil.rmtree(tmp_path / 'frames/2')
        (tmp_path / 'frames/2').mkdir()
        given = dict(
            data_prefix=dict(img='frames'), labels=dict(format='interval_mat', path='gt.mat')
        )
        with pytest.raises(ValueError, match='frames/2: an empty folder'):
            VideoDataset(str(tmp_path), **given)
        videos = VideoDataset(str(tmp_path), **given, on_error='skip')
        assert list(videos.skipped) == ['2']
        assert {v: np.flatnonzero(x).tolist() for v, x in videos.labels.items()} == {
            '1': [0, 1], '3': [4, 5]
        }  # fmt: skip

    def annotated(self, tmp_path, **num_frames) -> VideoDataset:
        write_annotations(
            tmp_path / 'all.json',
            dict(dataset='d', split='training', ground_truth='none'),
            [VideoAnnotation(v, f'frames/{v}', count) for v, count in num_frames.items()],
        )
        return VideoDataset(str(tmp_path), ann_file='all.json', on_error='skip')

    def test_what_was_mended_is_taken(self, tmp_path, monkeypatch):
        """An annotation that was put right, a disk that could not be read once."""

        def left_out(**num_frames) -> dict[str, str]:
            videos, place = self.annotated(tmp_path, **num_frames), WorkDir(tmp_path)
            leave_out_broken(videos, place, FileDigests(place.digests))
            return videos.skipped

        for seed, video in enumerate(('a', 'b')):
            write(tmp_path / 'frames' / video, noise(6, 255, np.uint8, seed))
        with monkeypatch.context() as patch:
            patch.setattr(VideoDataset, 'examine', lambda self, v: 'EIO' if v == 'b' else '')
            assert left_out(a=6, b=6) == dict(b='EIO')
        assert 'has 6 frames, but' in left_out(a=7, b=6)['a']
        assert left_out(a=6, b=6) == {}
        monkeypatch.setattr(VideoDataset, 'examine', lambda self, v: 'read again')
        assert left_out(a=6, b=6) == {}
        monkeypatch.setattr('mmvad.engine.broken_videos.__version__', '99.0.0')
        with pytest.raises(ValueError, match='none of 2 videos can be used: read again'):
            left_out(a=6, b=6)

    @pytest.mark.parametrize('name', ['a link', 'a folder'])
    def test_images_that_are_none(self, tmp_path, name):
        for video in ('a', 'b'):
            write(tmp_path / 'frames' / video, noise(6, 255, np.uint8))
        wrong = tmp_path / 'frames/b/006.png'
        wrong.mkdir() if name == 'a folder' else wrong.symlink_to('nowhere.png')
        place = WorkDir(tmp_path)
        videos = VideoDataset(str(tmp_path), dict(img='frames'), on_error='skip')
        leave_out_broken(videos, place, FileDigests(place.digests))
        assert list(videos.skipped) == ['b'] and str(wrong) in videos.skipped['b']
        assert list(videos.lengths) == ['a']

    def test_nothing_left(self, tmp_path):
        with pytest.raises(ValueError, match='all.json: none of its 2 videos can be read: .*/a: '):
            self.annotated(tmp_path, a=6, b=6)
        (tmp_path / 'frames/a').mkdir(parents=True)
        with pytest.raises(ValueError, match='frames: none of its 1 videos can be read'):
            VideoDataset(str(tmp_path), dict(img='frames'), on_error='skip')
        with pytest.raises(ValueError, match="on_error: expected 'raise' or 'skip', got 'maybe'"):
            VideoDataset(str(tmp_path), dict(img='frames'), on_error='maybe')


@pytest.mark.parametrize('names', [('A', 'A.attributes'), ('a b, c=1', "d'e; [f]*?{g}")])
def test_every_name_works(plaza, tmp_path, names):
    data = Path(shutil.copytree(plaza, tmp_path / 'the data, 2'))
    for split in ('training', 'testing'):
        for old, new in zip(('00', '01'), names, strict=True):
            (data / split / 'frames' / old).rename(data / split / 'frames' / new)
    for old, new in zip(('00', '01'), names, strict=True):
        (data / f'testing/test_frame_mask/{old}.npy').rename(
            data / f'testing/test_frame_mask/{new}.npy'
        )
        (data / f'testing/test_pixel_mask/{old}.npy').rename(
            data / f'testing/test_pixel_mask/{new}.npy'
        )
    cfg = tiny_config(data, tmp_path / 'work, too', method='attributes')
    cfg.train_dataset.type = cfg.test_dataset.type = 'VideoDataset'
    for dataset in (cfg.train_dataset, cfg.test_dataset):
        dataset.pop('plaza', None)
    RUNNERS.build(cfg).train()
    assert {p.stem for p in (tmp_path / 'work, too/scores').glob('*.npy')} == set(names)
