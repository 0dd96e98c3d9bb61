"""Every reader of files with damaged ones, in a process of its own.

What a reader may do: give a result of the right kind, or raise a ``ValueError`` or ``OSError`` that
names the file in one line. What it may not: raise anything else, crash, hang, fill memory, write,
or run what a file says. Run as a script it is that process.
"""

from __future__ import annotations

import gc
import json
import os
import re
import resource
import selectors
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

# Of one file: the time that a reader may take, and the memory beyond what the process has.
SECONDS = 20
MEMORY = 3 << 29
# What the interpreter tells of that no reader has a reason to do.
_FORBIDDEN = re.compile(
    r'os\.(system|exec|fork|forkpty|posix_spawn|spawn|startfile|remove|rename|rmdir|mkdir|link'
    r'|symlink|truncate|chmod|chown|putenv)|subprocess\.Popen|socket\.(connect|bind|getaddrinfo)'
    r'|pickle\.find_class|shutil\.\w+|urllib\.Request|webbrowser\.open|tempfile\.\w+'
)


# -------------------------------------------------------------------- the readers


@dataclass(frozen=True)
class Reader:
    """One reader.

    Args:
        file: Which of the files is damaged, below a folder.
        write: Writes it, whole, and what belongs to it.
        read: Reads it, given the folder; what it gives is looked at by ``assert``.
        kind: Of the mutations that know the format: the end of a name in :mod:`mutations`.
        writes: Whether the reader writes beside the file, as it should.
        starts: Whether the reader starts an interpreter, as it should; half a second each.
        named: Pattern of what else than the file's name may stand for it.
    """

    file: str
    write: Callable[[Path], Any]
    read: Callable[[Path], Any]
    kind: str | None = None
    writes: bool = False
    starts: bool = False
    named: str = r'$^'


def _tubes() -> Any:
    from mmvad.structures import ObjectTubes

    boxes = np.array([[0, 0, 20, 20], [4, 4, 24, 24.5], [8, 0, 28, 20]], np.float32)
    frames = np.array([5, 5, 9], np.int32)
    return ObjectTubes(boxes, boxes + np.float32(0.5), frames, 12, (40, 60))


def _write_annotations(folder: Path) -> None:
    from mmvad.datasets.annotations import VideoAnnotation, write_annotations

    videos = [
        VideoAnnotation('01', 'frames/01', 30, ((2, 5), (9, 30)), 'yard', 'fight', 'masks/01.npy'),
        VideoAnnotation('02', 'frames/02', 7),
    ]
    metainfo = dict(dataset='d', split='testing', ground_truth='by hand')
    write_annotations(folder / 'test.json', metainfo, videos)


def _read_annotations(folder: Path) -> None:
    from mmvad.datasets.annotations import VideoAnnotation, read_annotations

    metainfo, videos = read_annotations(folder / 'test.json')
    assert isinstance(metainfo, dict) and videos
    for video in videos:
        assert isinstance(video, VideoAnnotation) and isinstance(video.video, str)
        if video.num_frames < 10**6:
            assert video.labels.shape == (video.num_frames,)


def _write_captions(folder: Path) -> None:
    from mmvad.structures import SENTENCES, write_captions

    write_captions(folder / '01.jsonl', _tubes(), [{key: f'A {key}.' for key in SENTENCES}] * 3)


def _read_captions(folder: Path) -> None:
    from mmvad.structures import SENTENCES, read_captions

    for tubes in (_tubes(), None):
        captions = read_captions(folder / '01.jsonl', tubes)
        assert tubes is None or len(captions) == 3
        for caption in captions:
            assert set(caption) == set(SENTENCES)
            assert all(isinstance(text, str) and text.strip() for text in caption.values())
            ' '.join(caption.values()).encode()


def _read_proposals(folder: Path) -> None:
    from mmvad.structures import ObjectTubes

    tubes = ObjectTubes.load(folder / '01.npz')
    n, (height, width) = len(tubes), tubes.frame_shape
    assert tubes.boxes.shape == tubes.objects.shape == (n, 4) and tubes.frames.shape == (n,)
    assert tubes.boxes.dtype == tubes.objects.dtype == np.float32
    assert np.isfinite(tubes.boxes).all() and np.isfinite(tubes.objects).all()
    assert tubes.frames.dtype == np.int32 and (np.diff(tubes.frames) >= 0).all()
    assert not n or 0 <= tubes.frames[0] <= tubes.frames[-1] < tubes.num_frames
    assert (tubes.boxes[:, :2] >= 0).all() and (tubes.boxes[:, 2:] <= [width, height]).all()


def _some_videos(folder: Path) -> None:
    from mmvad.structures import tubes_path

    for video in ('01', '02'):
        _tubes().save(tubes_path(folder / 'proposals', video))
        (folder / 'frames' / video).mkdir(parents=True, exist_ok=True)
        for frame in range(12):
            (folder / 'frames' / video / f'{frame}.jpg').write_bytes(b'not looked at')


def _write_features(folder: Path) -> None:
    _some_videos(folder)
    for video in ('01', '02'):
        for name, shape, dtype in (('patterns', (3, 6, 2, 4), 'f2'), ('attributes', (3, 5), 'f4')):
            path = folder / f'features/{name}/{video}.npy'
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, np.random.default_rng(0).random(shape).astype(dtype))


def _read_features(folder: Path) -> None:
    import torch

    from mmvad.datasets import MeasurementDataset, VideoDataset

    videos = VideoDataset(str(folder), dict(img='frames'))
    names = ('patterns', 'attributes')
    for test_mode in (False, True):
        dataset = MeasurementDataset(
            videos, folder / 'proposals', folder / 'features', names, 5, test_mode
        )
        items = [dataset[index]['inputs'] for index in range(len(dataset))]
        values, owner, _ = dataset.subset(100)
        assert len(owner) == 6
        for tensors in (*items, values):
            for tensor in tensors.values():
                assert isinstance(tensor, torch.Tensor) and bool(torch.isfinite(tensor).all())


def _write_scores(folder: Path, name: str) -> None:
    scores = {'a': np.array([0.5, -1, 2]), 'b': np.array([3, 4.25], np.float32)}
    if name == 'a.npy':
        np.save(folder / name, scores['a'])
    elif name.endswith('.npz'):
        np.savez(folder / name, **scores)
    elif name.endswith('.json'):
        text = json.dumps({video: values.tolist() for video, values in scores.items()})
        (folder / name).write_text(text)
    else:
        (folder / name).write_text('video,frame,score\na,0,0.5\na,1,-1\na,2,2\nb,1,3\nb,0,4.25\n')


def _read_scores(folder: Path, name: str) -> None:
    from mmvad.evaluation.score_files import read_scores

    for lengths in (None, dict(a=3, b=2)):
        for scores in read_scores(folder if name == 'a.npy' else folder / name, lengths).values():
            assert scores.ndim == 1 and scores.dtype.kind in 'fiu'


def _write_boxes(folder: Path) -> None:
    boxes = np.array([[0, 0, 4, 5.0]] * 2)
    np.savez(folder / 'a.npz', frames=np.array([0, 2]), boxes=boxes, score=np.ones(2))


def _read_boxes(folder: Path) -> None:
    from mmvad.evaluation.functional import Detections
    from mmvad.evaluation.score_files import read_boxes

    for lengths in (None, dict(a=3, b=2)):
        assert isinstance(read_boxes(folder, ['a', 'b'], lengths=lengths), Detections)


def _write_checkpoint(folder: Path) -> None:
    import torch

    state = dict(torch.nn.Linear(3, 2).state_dict(), count=torch.tensor(3))
    meta = dict(epoch=2, text='x', shape=[1, 2])
    torch.save(dict(state_dict=state, meta=meta), folder / 'epoch_1.pth')


def _read_checkpoint(folder: Path) -> None:
    import torch

    from mmvad.structures import read_checkpoint, weights_digest

    content = read_checkpoint(folder / 'epoch_1.pth')
    assert isinstance(content['state_dict'], dict)
    assert all(isinstance(value, torch.Tensor) for value in content['state_dict'].values())
    assert re.fullmatch('[0-9a-f]{16}', weights_digest(content['state_dict']))


def _write_part(folder: Path) -> None:
    import torch

    from mmvad.methods.localvad.weights import save_part

    save_part(torch.nn.Linear(3, 2), 'spatial', folder / 'branches.pth')


def _read_part(folder: Path) -> None:
    import torch

    from mmvad.methods.localvad.weights import load_part

    part = torch.nn.Linear(3, 2)
    load_part(part, 'spatial', folder / 'branches.pth')
    assert bool(torch.isfinite(part(torch.ones(1, 3))).all())


def _write_model(folder: Path, method: str) -> None:
    import torch
    from conftest import tiny_config
    from mmengine.registry import DefaultScope

    import mmvad.methods  # noqa: F401
    from mmvad.methods.objects.model_file import write_model_file
    from mmvad.registry import MODELS

    cfg = tiny_config(folder, folder, method=method)
    with DefaultScope.overwrite_default_scope('mmvad'):
        model = MODELS.build(cfg.model)
    torch.manual_seed(0)
    shapes = dict(attributes=(40, 5), patterns=(40, 6, 2, 8, 64))
    measured = {name: torch.randn(shapes[name]) for name in model.measurements}
    if method == 'localvad':
        model.temporal.fit_statistics(measured['patterns'])
    model.calibrate(measured, torch.arange(40) // 20, torch.arange(40) >= 20)
    write_model_file(folder / 'model.pth', model, cfg, 0)


def _read_model(folder: Path) -> None:
    from mmvad.apis import VADInferencer

    frames = np.random.default_rng(0).integers(0, 255, (9, 60, 80, 3), np.uint8)
    inferencer = VADInferencer(folder / 'model.pth', device='cpu')
    (result,) = inferencer(frames, show_progress=False)
    assert result.scores.shape == (9,) and result.scores.dtype == np.float32
    assert np.isfinite(result.scores).all()


def _picture(depth: str = 'u1') -> np.ndarray:
    image = np.random.default_rng(0).integers(0, 255, (24, 32, 3))
    return (image * (16 if depth == 'u2' else 1)).astype(depth)


def _write_image(folder: Path, name: str) -> None:
    import cv2

    (folder / 'frames').mkdir(exist_ok=True)
    for file in (name, 'frames/0' + Path(name).suffix):
        if not (folder / file).exists():
            cv2.imwrite(str(folder / file), _picture('u2' if '16' in name else 'u1'))


def _read_image(folder: Path, name: str) -> None:
    from mmvad.datasets import FrameSource
    from mmvad.datasets.frames import read_image

    problem = None
    try:
        image = read_image(folder / name)
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    except (ValueError, OSError) as error:
        problem = error
    second = folder / 'frames' / f'1{Path(name).suffix}'
    first = folder / 'frames' / f'0{Path(name).suffix}'
    frames = folder / f'of_{name}'
    frames.mkdir(exist_ok=True)
    for place, held in ((0, first), (1, second)):
        link = frames / f'{place}{Path(name).suffix}'
        if not link.exists():
            os.link(held, link) if held.exists() else os.symlink(folder / name, link)
    source = FrameSource(frames)
    for frame in source:
        assert frame.shape == (24, 32, 3) and frame.dtype == np.uint8
    if problem:
        raise problem


VIDEOS = {
    'a.mp4': ('mpeg4', 'yuv420p'),
    'a.avi': ('mjpeg', 'yuvj420p'),
    'a.mkv': ('libx264', 'yuv420p'),
    'a.webm': ('libvpx-vp9', 'yuv420p'),
}


def _write_video(folder: Path, name: str) -> None:
    import av

    codec, pixels = VIDEOS[name]
    rng = np.random.default_rng(0)
    with av.open(str(folder / name), 'w') as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        stream.gop_size = 8
        for number in range(20):
            image = np.full((48, 64, 3), 90, np.uint8)
            image[10:30, number : number + 20] = rng.integers(0, 255, 3)
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format='bgr24')):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def _read_video(folder: Path, name: str) -> None:
    from mmvad.datasets import FrameSource

    source = FrameSource(folder / name)
    assert len(source) > 0 and source.fps > 0 and np.isfinite(source.fps)
    assert all(isinstance(remark, str) for remark in source.remarks)
    # In order, and with jumps.
    for number in (*range(min(len(source), 40)), len(source) - 1, 0, len(source) // 2):
        frame = source[number]
        assert frame.shape == (*source.frame_shape, 3) and frame.dtype == np.uint8


def _cells(arrays: list[np.ndarray]) -> np.ndarray:
    cells = np.empty((1, len(arrays)), object)
    for number, array in enumerate(arrays):
        cells[0, number] = array
    return cells


def _write_truth(folder: Path, name: str) -> None:
    import cv2
    from scipy.io import savemat

    masks = np.zeros((4, 24, 32), np.uint8)
    masks[1:3, 2:9, 3:7] = 1
    if name == '1.npy':
        np.save(folder / name, np.array([0, 1, 1, 0], np.uint8))
    elif name == '1_label.mat':
        savemat(folder / name, dict(volLabel=_cells(list(masks))))
    elif name == 'gt.mat':
        savemat(folder / name, dict(gt=_cells([np.array([[2], [3]], np.uint8)])))
    elif name == 'gt.m':
        (folder / name).write_text(
            'TestVideoFile = {};\nTestVideoFile{end+1}.gt_frame = [2:3]; % one\n'
        )
    elif name == 'masks.npy':
        np.save(folder / name, masks)
    else:
        (folder / 'Test001_gt').mkdir(exist_ok=True)
        for number, mask in enumerate(masks):
            cv2.imwrite(str(folder / f'Test001_gt/{number}.bmp'), mask * 255)


def _read_labels(folder: Path, format: str, name: str = '') -> None:
    from mmvad.datasets.ground_truth.labels import read_labels

    labels = read_labels(format, folder / name, {'1': 4})
    assert labels['1'].shape == (4,) and labels['1'].dtype == np.uint8
    assert labels['1'].max() <= 1


def _read_masks(folder: Path, name: str) -> None:
    from mmvad.datasets.ground_truth.pixel_masks import check_pixel_masks, read_pixel_masks

    problems = []
    try:
        masks = read_pixel_masks(folder / name)
        assert masks.ndim == 3 and masks.dtype == bool and len(masks)
    except (ValueError, OSError) as error:
        problems.append(error)
    check_pixel_masks(folder / name, (4, 24, 32))
    if problems:
        raise problems[0]


def _write_manifest(folder: Path) -> None:
    from mmvad.structures import StageFolder

    stage = StageFolder(folder / 'stage', 'key')
    stage.open()
    (stage.path / 'deep').mkdir(exist_ok=True)
    for name in ('a.npy', 'deep/b.npy'):
        (stage.path / name).write_bytes(b'output')
    stage.finish(note='x')


def _read_manifest(folder: Path) -> None:
    """It is complete, with all files as they were, or it is made again; nothing else is touched."""
    from mmvad.structures import StageFolder

    (folder / 'other').write_bytes(b'of somebody else')
    for copy in folder.glob('copy*'):
        shutil.rmtree(copy)
    shutil.copytree(folder / 'stage', folder / 'copy')
    stage = StageFolder(folder / 'copy', 'key')
    if stage.complete:
        assert re.fullmatch('[0-9a-f]{16}', stage.content)
    stale = stage.open()
    assert stage.path.is_dir() and (stale is None or stale.is_dir())
    assert stage.record == dict(key='key', complete=False, seconds=stage.record['seconds'])
    assert 0 <= stage.seconds < 1e9
    assert (folder / 'other').exists()


def _write_digests(folder: Path) -> None:
    from mmvad.structures import FileDigests

    (folder / 'frame').write_bytes(b'frame')
    FileDigests(folder / 'digests.json').of([folder / 'frame'])


def _read_digests(folder: Path) -> None:
    from mmvad.structures import FileDigests

    assert re.fullmatch('[0-9a-f]{16}', FileDigests(folder / 'digests.json').of([folder / 'frame']))


def _write_note(folder: Path) -> None:
    for number in (1, 2):
        (folder / f'epoch_{number}.pth').write_bytes(b'')
    (folder / 'last_checkpoint').write_text(f'{folder}/epoch_2.pth')


def _read_note(folder: Path) -> None:
    from mmvad.engine.trainer import latest_checkpoint

    assert latest_checkpoint(folder) in [folder / f'epoch_{number}.pth' for number in (1, 2)]


def _write_captioner(folder: Path) -> None:
    from mmvad.captions.attribute_captioner import WORDS

    edges = {name: list(range(len(words) - 1)) for name, words in WORDS.items()}
    state = dict(height=[0.5, 1.0, 2.0], edges=edges)
    (folder / 'captioner.json').write_text(json.dumps(state))


def _read_captioner(folder: Path) -> None:
    from mmvad.captions import AttributeCaptioner
    from mmvad.methods.localvad.captions import generate_captions
    from mmvad.structures import StageFolder, TubeSpec

    captioner = AttributeCaptioner()
    generate_captions(None, captioner, {}, StageFolder(folder, ''), TubeSpec(), 1)
    state = captioner.state()
    numbers = [*state['height'], *(edge for edges in state['edges'].values() for edge in edges)]
    assert all(isinstance(number, float) and np.isfinite(number) for number in numbers)


def _write_vocabulary(folder: Path) -> None:
    (folder / 'words.txt').write_text('# words\nwalking\n  riding a bike # on two wheels\n')


def _read_vocabulary(folder: Path) -> None:
    from mmvad.captions import read_vocabulary

    words = read_vocabulary(folder / 'words.txt')
    assert words and all(isinstance(word, str) and word.strip() for word in words)


def _truth(read: Callable, file: str, name: str | None = None, kind: str | None = None) -> Reader:
    name = file if name is None else name
    write, read = partial(_write_truth, name=file), partial(read, name=name)
    starts = file.endswith('.mat')
    return Reader(file, write, read, kind, starts=starts, named=r'video 1\b|Test001_gt')


READERS = {
    'annotations': Reader('test.json', _write_annotations, _read_annotations, 'json'),
    'captions': Reader('01.jsonl', _write_captions, _read_captions, 'lines'),
    'vocabulary': Reader('words.txt', _write_vocabulary, _read_vocabulary),
    'proposals': Reader(
        '01.npz', lambda folder: _tubes().save(folder / '01.npz'), _read_proposals, 'npz'
    ),
    'features': Reader('features/attributes/02.npy', _write_features, _read_features, 'npy'),
    'patterns': Reader('features/patterns/01.npy', _write_features, _read_features, 'npy'),
    **{
        f'scores_{name}': Reader(
            name, partial(_write_scores, name=name), partial(_read_scores, name=name), kind
        )
        for name, kind in (('a.npy', 'npy'), ('s.npz', 'npz'), ('s.json', 'json'), ('s.csv', None))
    },
    'boxes': Reader('a.npz', _write_boxes, _read_boxes, 'npz'),
    'checkpoint': Reader('epoch_1.pth', _write_checkpoint, _read_checkpoint, 'pth'),
    'part': Reader('branches.pth', _write_part, _read_part, 'pth'),
    **{
        f'model_{method}': Reader(
            'model.pth', partial(_write_model, method=method), _read_model, 'pth'
        )
        for method in ('attributes', 'localvad')
    },
    **{
        f'model_config_{method}': Reader(
            'model.pth', partial(_write_model, method=method), _read_model, 'model'
        )
        for method in ('attributes', 'localvad')
    },
    **{
        f'image_{name}': Reader(
            name, partial(_write_image, name=name), partial(_read_image, name=name), writes=True
        )
        for name in ('a.jpg', 'a.png', 'a16.png', 'a.tif', 'a16.tif', 'a.bmp')
    },
    **{
        f'video_{name}': Reader(
            name, partial(_write_video, name=name), partial(_read_video, name=name)
        )
        for name in VIDEOS
    },
    'labels_npy': _truth(partial(_read_labels, format='frame_masks'), '1.npy', '', 'npy'),
    'labels_mat': _truth(partial(_read_labels, format='avenue_volumes'), '1_label.mat', ''),
    'intervals_mat': _truth(partial(_read_labels, format='interval_mat'), 'gt.mat'),
    'intervals_m': _truth(partial(_read_labels, format='ucsd_m'), 'gt.m'),
    'labels_bmp': _truth(partial(_read_labels, format='mask_folders'), 'Test001_gt/2.bmp', ''),
    'masks_npy': _truth(_read_masks, 'masks.npy', kind='npy'),
    'masks_mat': _truth(_read_masks, '1_label.mat'),
    'masks_bmp': _truth(_read_masks, 'Test001_gt/0.bmp', 'Test001_gt'),
    'manifest': Reader('stage/manifest.json', _write_manifest, _read_manifest, 'json', writes=True),
    'digests': Reader('digests.json', _write_digests, _read_digests, 'json', writes=True),
    'last_checkpoint': Reader('last_checkpoint', _write_note, _read_note),
    'captioner': Reader('captioner.json', _write_captioner, _read_captioner, 'json'),
}


# -------------------------------------------------------------------- from outside


class Child:
    """A process that reads, which is started again where it ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None

    def ask(self, name: str, folder: Path, first: bool = False) -> str:
        """What the reader ``name`` makes of its file in a folder.

        Args:
            name: Of the reader.
            folder: Where the file is, whole if it is the ``first``: from then on memory is bounded.
        """
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=dict(os.environ, PYTHONDONTWRITEBYTECODE='1', OMP_NUM_THREADS='1'),
            )
        process = self._process
        process.stdin.write(json.dumps([name, str(folder), first]) + '\n')
        process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            # The first makes it load everything.
            hangs = not selector.select(SECONDS + 100 * first)
        answer = '' if hangs else process.stdout.readline()
        if answer:
            return answer.strip()
        self.end()
        return 'failed hangs' if hangs else f'failed ended by {-process.returncode}'

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdin.close()
            self._process.stdout.close()
            self._process = None

    @property
    def alive(self) -> bool:
        return self._process is not None


@dataclass
class Attempts:
    """A reader that reads one damaged file after another.

    Args:
        name: Of the reader.
        folder: A new one, where the files are; what fails is kept below ``failed``.
        child: Where it reads.
    """

    name: str
    folder: Path
    child: Child
    counts: dict[str, int] = field(default_factory=lambda: dict(read=0, refused=0, failed=0))
    failures: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.place = self.folder / 'place'
        self.place.mkdir(parents=True)
        READERS[self.name].write(self.place)
        self.file = self.place / READERS[self.name].file
        self.whole = self.file.read_bytes()
        self._begin()

    def _begin(self) -> None:
        verdict = self.child.ask(self.name, self.place, first=True)
        assert verdict == 'read', f'the whole file: {verdict}'

    def __call__(self, data: bytes) -> None:
        """Read the file with this in it."""
        if not self.child.alive:
            self._write(self.whole)
            self._begin()
        self._write(data)
        verdict = self.child.ask(self.name, self.place)
        kind = verdict.partition(' ')[0]
        self.counts[kind] += 1
        if kind == 'failed' and verdict not in self.failures:
            kept = self.folder / 'failed' / f'{len(self.failures)}{self.file.suffix}'
            kept.parent.mkdir(exist_ok=True)
            kept.write_bytes(data)
            self.failures[verdict] = kept

    def _write(self, data: bytes) -> None:
        self.file.unlink()
        self.file.write_bytes(data)


def attempts(name: str, folder: Path, child: Child, examples: int, start: int = 0) -> Attempts:
    """Let a reader read so many damaged files.

    Args:
        name: Of the reader.
        folder: A new one.
        child: Where it reads.
        examples: How many; about half of them are changed as the format is made of.
        start: Of what is drawn.
    """
    import mutations
    from hypothesis import HealthCheck, Phase, given, seed, settings

    attempt = Attempts(name, folder, child)
    strategy = mutations.mutated(attempt.whole)
    if kind := READERS[name].kind:
        strategy |= getattr(mutations, f'changed_{kind}')(attempt.whole)
    # Nothing is raised, so that all failures are seen; there is nothing to make smaller.
    check = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )(seed(start)(given(strategy)(lambda data: attempt(data))))
    check()
    return attempt


# -------------------------------------------------------------------- from inside


def _serve() -> None:
    """Say of each line of the input what the reader that it names gives."""
    out = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    done: list[str] = []
    now: dict[str, bool] = dict(writes=True, starts=False)
    sys.addaudithook(partial(_watch, done, now))
    for line in sys.stdin:
        name, folder, first = json.loads(line)
        reader = READERS[name]
        # What is loaded, or made once, is none of the file's.
        now['writes'] = reader.writes or first
        now['starts'] = reader.starts
        if first:
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
        verdict = _attempt(reader, Path(folder), done, first)
        if first:
            # Nor is it garbage, which MMEngine's datasets collect whenever they are made.
            gc.freeze()
            pages = int(Path('/proc/self/statm').read_text().split()[0])
            limit = pages * resource.getpagesize() + MEMORY
            resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        print(verdict, file=out, flush=True)


def _watch(done: list[str], now: dict[str, bool], event: str, args: tuple) -> None:
    if event == 'subprocess.Popen' and now['starts'] and args[1][0] == sys.executable:
        return
    if now['writes']:
        forbidden = event.startswith(('os.system', 'os.exec', 'subprocess', 'pickle', 'socket'))
    elif event == 'open':
        flags = args[2] if isinstance(args[2], int) else 0
        forbidden = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) and args[0] != os.devnull
    else:
        forbidden = bool(_FORBIDDEN.fullmatch(event))
    if forbidden:
        done.append(event)


def _attempt(reader: Reader, folder: Path, done: list[str], first: bool) -> str:
    done.clear()
    try:
        reader.read(folder)
        verdict = 'read'
    except (ValueError, OSError) as error:
        text = str(error)
        named = Path(reader.file).name in text or re.search(reader.named, text)
        if named and len(text.splitlines()) == 1 and len(text) < 2000:
            verdict = 'refused'
        else:
            verdict = f'failed says {_shown(error)}'
    except Exception as error:
        verdict = f'failed {_shown(error)}'
    return f'failed does {sorted(set(done))}' if done and not first else verdict


def _shown(error: Exception) -> str:
    """The error and its place, in one line that is the same of all that fail alike."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    own = [f for f in traceback.extract_tb(error.__traceback__) if '/mmvad/' in f.filename]
    lines = [f'{Path(f.filename).name}:{f.lineno}' for f in (own[-1:] or []) + [place]]
    return (
        f'{type(error).__name__} at {" ".join(lines)}: {re.sub("[0-9]+", "9", str(error))[:90]!r}'
    )


if __name__ == '__main__':
    _serve()
