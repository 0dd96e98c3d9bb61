"""Video files as cameras, phones and editors make them: every frame by its right number.

What a frame must be is known from the number that is painted into it.
"""

from __future__ import annotations

import fractions
import os
import pickle
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from mmengine.registry import DefaultScope
from torch.utils.data import DataLoader

from mmvad.datasets import FrameLimits, FrameSource, TubeDataset, video_file
from mmvad.datasets.samplers import EpochSubsetSampler
from mmvad.datasets.tube_dataset import CachedFrames
from mmvad.datasets.video_dataset import VideoDataset
from mmvad.datasets.video_file import VideoFile
from mmvad.methods.objects import find_tubes, measure_tubes
from mmvad.models import ObjectVAD
from mmvad.proposals import ForegroundProposer
from mmvad.structures import ObjectTubes, tubes_path

H, W = 96, 128
X264 = 'libx264'


def picture(number: int) -> np.ndarray:
    """A frame whose upper left blocks are the bits of its number."""
    frame = np.full((H, W, 3), 90, np.uint8)
    frame[40:70, (3 * number) % (W - 24) :][:, :24] = (40, 60, 200)
    for bit in range(8):
        frame[:16, 16 * bit : 16 * (bit + 1)] = 230 if number >> bit & 1 else 20
    return frame


def number_of(frame: np.ndarray) -> int:
    blocks = frame[4:12].reshape(8, 8, 16, 3)[:, :, 4:12].mean(axis=(0, 2, 3))
    return int(sum(1 << bit for bit in range(8) if blocks[bit] > 125))


def write(
    path: Path,
    codec: str = X264,
    options: dict[str, str] | None = None,
    count: int = 100,
    pixels: str = 'yuv420p',
    times: list[int] | None = None,
    rotation: int = 0,
    picture=picture,
    interlaced: bool = False,
) -> Path:
    """``count`` frames; ``times``: in milliseconds, for a variable frame rate."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = W, H, pixels
        if interlaced:
            flags = av.codec.context.Flags
            stream.codec_context.flags |= flags.interlaced_dct | flags.interlaced_me
        if rotation:
            stream.set_display_rotation(rotation)
        if times:
            stream.codec_context.time_base = fractions.Fraction(1, 1000)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(picture(number), format='bgr24')
            if times:
                frame.pts, frame.time_base = times[number], fractions.Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def cut(source: Path, target: Path, packets: int) -> Path:
    """What ``ffmpeg -c copy`` leaves that starts between key frames."""
    with av.open(str(source)) as old, av.open(str(target), 'w') as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(old.demux(video=0)):
            if number >= packets and packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    return target


def numbers(video: VideoFile | FrameSource) -> list[int]:
    return [number_of(video[i]) for i in range(len(video))]


UNEVEN = np.random.default_rng(0).integers(5, 300, 100).cumsum().tolist()
KINDS = {
    'h264.mp4': dict(options=dict(g='25', bf='2')),
    'one key frame.mp4': dict(options=dict(g='999')),
    'interlaced.mp4': dict(options={'x264-params': 'tff=1:interlaced=1'}, interlaced=True),
    'open gop.mp4': dict(options={'x264-params': 'open-gop=1:keyint=24:bframes=3'}),
    'intra refresh.mp4': dict(options={'x264-params': 'intra-refresh=1:keyint=30'}),
    'uneven times.mp4': dict(options=dict(bf='3'), times=UNEVEN),
    'uneven times.mkv': dict(options=dict(bf='3'), times=UNEVEN),
    'broadcast.ts': dict(options=dict(g='25', bf='2')),
    'without times.avi': dict(options=dict(g='25', bf='2')),
    'mpeg4.avi': dict(codec='mpeg4', options=dict(g='12', bf='2')),
    'mpeg1.mpg': dict(codec='mpeg1video', options=dict(g='12', bf='2')),
    'mpeg2.mpg': dict(codec='mpeg2video', options=dict(g='12', bf='2')),
    'mpeg2.ts': dict(codec='mpeg2video', options=dict(g='12', bf='2')),
    'mpeg4.mpg': dict(codec='mpeg4', options=dict(g='12', bf='2')),
    'mpeg4.ts': dict(codec='mpeg4', options=dict(g='12', bf='2')),
    'hevc.mp4': dict(codec='libx265', options={'g': '25', 'x265-params': 'log-level=none'}),
    'mjpeg.avi': dict(codec='mjpeg', pixels='yuvj420p'),
    'ten bits.mp4': dict(pixels='yuv420p10le'),
    'av1.mp4': dict(codec='libsvtav1', options=dict(preset='12')),
    'hidden frames.webm': dict(
        codec='libvpx', options={'auto-alt-ref': '1', 'lag-in-frames': '16'}
    ),
    'vp9.webm': dict(codec='libvpx-vp9', options={'lag-in-frames': '16', 'deadline': 'realtime'}),
}


class TestKinds:
    @pytest.fixture(params=KINDS)
    def path(self, request, tmp_path) -> Path:
        try:
            return write(tmp_path / request.param, **KINDS[request.param])
        except (av.error.FFmpegError, av.codec.codec.UnknownCodecError) as error:
            pytest.skip(f'this FFmpeg does not write {request.param}: {error}')

    def test_every_frame_by_its_number_in_any_order(self, path):
        video = VideoFile(path)
        assert numbers(video) == list(range(100)) and not video.damaged
        order = np.random.default_rng(1).integers(0, 100, 60).tolist()
        again = VideoFile(path)
        assert [number_of(again[i]) for i in order] == order and not again.damaged

    def test_workers_and_copies(self, path):
        source = FrameSource(path)
        assert number_of(source[50]) == 50
        order = [70, 3, 99, 0, 51, 50]
        loader = DataLoader(source, batch_size=None, sampler=order, num_workers=2)
        assert [number_of(frame.numpy()) for frame in loader] == order
        assert number_of(pickle.loads(pickle.dumps(source))[20]) == 20
        assert number_of(source[51]) == 51


def test_what_cannot_be_jumped_in_is_told(tmp_path):
    path = write(tmp_path / 'v.avi', options=dict(g='25', bf='2'))
    assert 'only be read from the start on' in FrameSource(path).remarks[0]


def test_a_phone_that_was_turned(tmp_path):
    frame = VideoFile(write(tmp_path / 'v.mp4', rotation=90))[5]
    assert frame.shape == (W, H, 3) and number_of(np.rot90(frame, 3)) == 5


def test_the_header_may_state_fewer_frames_than_there_are(tmp_path):
    path = write(tmp_path / 'v.avi', 'mjpeg', pixels='yuvj420p')
    data = bytearray(path.read_bytes())
    for at in (data.find(b'avih') + 8 + 16, data.find(b'strh') + 8 + 32):
        assert int.from_bytes(data[at : at + 4], 'little') == 100
        data[at : at + 4] = (60).to_bytes(4, 'little')
    path.write_bytes(data)
    source = FrameSource(path)
    assert numbers(source) == list(range(100))
    assert source.remarks == ['its header states 60 frames, it holds 100']


def not_coded(picture: bytes) -> bytes:
    """An MPEG-4 picture at 25 frames/s that shows the one before once more."""
    bits = ''.join(f'{byte:08b}' for byte in picture[4:7])
    # Behind its type: the seconds that passed, as so many ones, and 5 bits of time, between marks.
    at = bits.index('0', 2) + 2 + 5 + 1
    assert bits[at] == '1'
    return picture[:4] + int(bits[:at] + '0' + '1' * (23 - at), 2).to_bytes(3, 'big')


@pytest.mark.parametrize('suffix', ['mp4', 'avi'])
def test_frames_that_show_the_one_before_once_more_are_whole(tmp_path, suffix):
    shown = {**dict(enumerate(range(100))), 20: 19, 21: 19, 60: 59}
    whole = write(
        tmp_path / 'whole.mp4', 'mpeg4', dict(g='50', bf='0'), picture=lambda i: picture(shown[i])
    )
    path = tmp_path / f'v.{suffix}'
    with av.open(str(whole)) as old, av.open(str(path), 'w') as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(old.demux(video=0)):
            if number in (20, 21, 60):
                copied = av.Packet(not_coded(bytes(packet)))
                copied.pts, copied.dts, copied.time_base = packet.pts, packet.dts, packet.time_base
                packet = copied
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    video = VideoFile(path)
    assert [number_of(video[i]) for i in (60, 21, 22)] == [59, 19, 22]
    assert numbers(video) == list(shown.values()) and not video.damaged


@pytest.mark.parametrize('suffix', ['mkv', 'ts', 'mp4'])
def test_a_file_that_was_cut_between_key_frames(tmp_path, suffix):
    whole = write(tmp_path / 'whole.mkv', options=dict(g='25', bf='2'))
    path = cut(whole, tmp_path / f'cut.{suffix}', 20)
    with pytest.raises(ValueError, match=rf'cut.{suffix}: \d+ of its .*ffmpeg -c copy'):
        FrameSource(path)
    lenient = FrameSource(path, limits=FrameLimits(damaged=0.5))
    found = numbers(lenient)
    lead = lenient.damaged
    assert 0 < lead < 10 and found[:lead] == [25] * lead
    assert found[lead:] == list(range(25, 100))
    assert 'lack the key frame' in lenient.remarks[0] and 'ffmpeg -c copy' in lenient.remarks[0]


def destroy(path: Path, packets: Sequence[int]) -> Path:
    """Noise in place of packets; their first bytes, which say how long they are, stay."""
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data, rng = bytearray(path.read_bytes()), np.random.default_rng(0)
    for at, size in (places[i] for i in packets):
        kept = min(5, size - 1)
        data[at + kept : at + size] = rng.integers(0, 255, size - kept, np.uint8).tobytes()
    path.write_bytes(data)
    return path


class TestDamage:
    def damaged(self, tmp_path, share: float) -> Path:
        path = write(tmp_path / 'v.mp4', options=dict(g='25', bf='0', crf='18'))
        return destroy(path, np.random.default_rng(0).permutation(100)[: int(100 * share)])

    def test_a_few_frames_are_counted_and_stood_in_for(self, tmp_path):
        source = FrameSource(self.damaged(tmp_path, 0.02), limits=FrameLimits(damaged=1.0))
        assert len(source) == 100
        assert all(frame.shape == (H, W, 3) for frame in source)
        assert 2 <= source.damaged <= 50

    def test_many_are_refused(self, tmp_path):
        source = FrameSource(self.damaged(tmp_path, 0.5))
        with pytest.raises(
            ValueError, match=r'v.mp4: \d+ of its 100 frames do not decode whole, mo'
        ):
            list(source)

    @pytest.mark.parametrize('name', ['hevc.mp4', 'av1.mp4'])
    def test_a_frame_that_is_dropped_without_an_error_leaves_the_others_in_place(
        self, tmp_path, name
    ):
        try:
            path = write(tmp_path / name, **KINDS[name])
        except av.codec.codec.UnknownCodecError:
            pytest.skip(f'this FFmpeg does not write {name}')
        video = VideoFile(destroy(path, [10]))
        found = numbers(video)
        whole = sorted(set(range(100)) - video.damaged)
        assert len(video) == 100 and video.damaged and whole
        assert [found[i] for i in whole] == whole

    def test_frames_that_build_on_a_damaged_one_count(self, tmp_path):
        path = write(tmp_path / 'v.mp4', options=dict(g='25', bf='0', sc_threshold='0'))
        destroy(path, [40])
        video = VideoFile(path)
        numbers(video)
        assert video.damaged == set(range(40, 50))
        again = VideoFile(path)
        for number in (60, 45, 39, 50):
            again[number]
        assert again.damaged == {45}

    def test_frames_whose_place_is_not_known_count(self, tmp_path):
        path = write(tmp_path / 'v.avi', options=dict(g='25', bf='2'))
        destroy(path, [40])
        source = FrameSource(path, limits=FrameLimits(damaged=1.0))
        assert len(source) == 99 and source.damaged == 1
        assert any('1 frames do not decode, and which is not known' in r for r in source.remarks)
        destroy(path, range(20, 100, 2))
        with pytest.raises(ValueError, match=r'v.avi: \d+ of its 100 frames do not decode whole'):
            FrameSource(path)

    def test_a_file_that_ends_early(self, tmp_path):
        path = write(tmp_path / 'v.avi', 'mjpeg', pixels='yuvj420p')
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        source = FrameSource(path)
        assert 40 < len(source) < 60 and 'states 100 frames' in source.remarks[0]
        path = write(tmp_path / 'v.mp4')
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(ValueError, match='v.mp4: cannot be opened as a video'):
            FrameSource(path)

    @pytest.mark.parametrize('data', [b'', b'no video', b'RIFF\x00\x00\x00\x00AVI LIST'])
    def test_what_is_no_video(self, tmp_path, data):
        (tmp_path / 'v.avi').write_bytes(data)
        with pytest.raises(ValueError, match='v.avi: '):
            FrameSource(tmp_path / 'v.avi')

    def test_sound_alone(self, tmp_path):
        with av.open(str(tmp_path / 'v.mkv'), 'w') as container:
            stream = container.add_stream('pcm_s16le', rate=8000, layout='mono')
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), 's16', 'mono')
            frame.sample_rate = 8000
            container.mux(stream.encode(frame))
        with pytest.raises(ValueError, match='v.mkv: cannot be opened as a video'):
            FrameSource(tmp_path / 'v.mkv')


class TestCost:
    """How many frames are decoded, by how many there are."""

    @pytest.fixture
    def decoded(self, monkeypatch) -> list[int]:
        counted: list[int] = []
        real = video_file._decoded

        def counting(*args):
            for frame in real(*args):
                counted.append(1)
                yield frame

        monkeypatch.setattr(video_file, '_decoded', counting)
        return counted

    def dataset(self, root: Path, cache_mb: int, **loader) -> TubeDataset:
        videos = VideoDataset(str(root), dict(video='videos'))
        pipeline = [dict(type='mmvad.LoadTubeFrames', depth=3, strides=(1, 2))]
        return TubeDataset(videos, root / 'proposals', pipeline, cache_mb, **loader)

    @pytest.fixture
    def root(self, tmp_path) -> Path:
        (tmp_path / 'videos').mkdir()
        for video in ('a', 'b'):
            write(tmp_path / f'videos/{video}.mp4', options=dict(g='100'), count=250)
            boxes = np.array([[10, 10, 40, 40]], np.float32)
            found = {frame: (boxes, boxes) for frame in range(5, 250)}
            tubes = ObjectTubes.from_frames(found, 250, (H, W))
            tubes.save(tubes_path(tmp_path / 'proposals', video))
        return tmp_path

    def test_an_epoch_in_random_order_costs_at_most_three_sweeps(self, root, decoded):
        dataset = self.dataset(root, cache_mb=20)
        sampler = EpochSubsetSampler(dataset, 490, seed=3)
        order = list(sampler)
        assert sorted(order) == list(range(490)) and order != sorted(order)
        # Runs of frames are mixed.
        assert np.abs(np.diff(order[:100])).mean() > 20
        decoded.clear()
        for index in order:
            item = dataset[index]
            assert number_of(item['imgs'][-1]) == item['frame'] % 256
        assert len(decoded) <= 3 * 500

    def test_workers_do_not_read_each_others_runs(self, root):
        dataset = self.dataset(root, cache_mb=20, batch_size=16, num_workers=2)
        order = list(EpochSubsetSampler(dataset, 490, seed=3))
        assert sorted(order) == list(range(490))
        # A loader gives batches to its workers in turn.
        seen: tuple[list, list] = [], []
        for start in range(0, 490, 16):
            for index in order[start : start + 16]:
                info = dataset.get_data_info(index)
                seen[start // 16 % 2].append((info['video'], info['frame'] // dataset._run))
        # Each has three of the six runs; in the one with fewer items these are 207.
        first, second = (set(runs[:192]) for runs in seen)
        assert len(first) == len(second) == 3 and not first & second

    def test_memory_is_bounded_in_bytes(self, root):
        dataset = self.dataset(root, cache_mb=4)
        order = list(EpochSubsetSampler(dataset, 490, seed=3))
        tracemalloc.start()
        for index in order[:200]:
            dataset[index]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8 * 2**20

    def test_open_decoders_count(self, root, monkeypatch):
        """Small ones are few, large ones fewer: each holds about 16 frames."""
        for number in range(18):
            os.link(root / 'videos/a.mp4', root / f'videos/{number}.mp4')
        videos = VideoDataset(str(root), dict(video='videos'))

        def left_open(cache_mb: int) -> int:
            frames = CachedFrames(videos, cache_mb)
            for video in videos.lengths:
                assert number_of(frames.get(video, 7)) == 7
            return len(frames._files)

        assert left_open(1024) == 16
        one = 16 * H * W * 3 / 2
        assert left_open(16) == 16 * 2**20 // 8 // one == 7
        assert left_open(0) == 1


class TestLength:
    """Memory is that of a window of frames, however long the video is."""

    def peak(self, count: int, size: tuple[int, int]) -> float:
        """Of finding tubes and measuring them, 2**20 bytes."""

        class Long(Sequence):
            def __len__(self) -> int:
                return count

            def __getitem__(self, index: int) -> np.ndarray:
                frame = np.full((*size, 3), 90, np.uint8)
                x = 5 * index % (size[1] - size[1] // 8)
                frame[size[0] // 4 : size[0] // 2, x : x + size[1] // 8] = 200
                frame[0, 0] = index % 251
                return frame

        model = ObjectVAD(
            dict(
                flow=dict(type='ComputeTubeFlow', short_side=60, keep_mb=1),
                crop_size=(32, 32),
                measure=dict(attributes=dict(type='MeasureAttributes')),
            )
        )
        tracemalloc.start()
        proposer = ForegroundProposer(background_frames=20)
        tubes = find_tubes(Long(), proposer, 6, stride=max(1, count // 300))
        for _ in measure_tubes(Long(), tubes, model, 'long', batch_size=8):
            pass
        peak = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        assert len(tubes) >= min(count, 300) - 20
        return peak

    def test_ten_times_as_long(self):
        with DefaultScope.overwrite_default_scope('mmvad'):
            short, long = self.peak(300, (60, 80)), self.peak(3000, (60, 80))
        assert long < 1.2 * short + 1, (short, long)

    def test_4k(self):
        """A background of 20 frames, a window of a tube and its flow, and some work space."""
        size = (2160, 3840)
        frame = 3 * size[0] * size[1] / 2**20
        with DefaultScope.overwrite_default_scope('mmvad'):
            assert self.peak(40, size) < (20 + 8 + 20) * frame
