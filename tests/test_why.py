"""Why objects score high: terms against their definition, the record of a run, and pictures."""

import copy
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import tiny_config
from mmcv.transforms import BaseTransform
from mmengine.registry import DefaultScope
from sklearn.decomposition import PCA

from mmvad.datasets import MeasurementDataset
from mmvad.evaluation.functional import VideoScores
from mmvad.methods.objects.model_file import build_model, origins_of
from mmvad.methods.objects.why import Happening, pick_happenings, write_why
from mmvad.models import NearestDistance, PredictionError
from mmvad.motion import QUANTITIES, READINGS, attribute_vectors
from mmvad.motion.attributes import ATTRIBUTES
from mmvad.registry import DATASETS, RUNNERS, TRANSFORMS
from mmvad.structures import ObjectOrigins, ObjectTubes, WorkDir, tubes_path
from mmvad.visualization import TermPicture, WhyPicture, object_crop, plot_why


def fitted(shape, n=80, **settings) -> tuple[NearestDistance, torch.Tensor, torch.Tensor]:
    """A term, the training objects it was fitted on, and new ones."""
    generator = torch.Generator().manual_seed(0)
    scales = torch.rand(shape, generator=generator) * 5 + 0.1
    values = torch.randn(n, *shape, generator=generator) * scales + 3
    term = NearestDistance('x', **settings)
    term.fit(values, torch.arange(n) % 4, torch.arange(n) % 4 == 3)
    return term, values, torch.randn(7, *shape, generator=generator) * scales * 1.5 + 4


class TestNearest:
    @pytest.mark.parametrize(
        ('shape', 'settings'),
        [
            ((3,), dict()),
            ((6,), dict(dims=4)),
            ((4, 5), dict(dims=6, standardize=True)),
            ((4, 5), dict(dims=6)),
        ],
    )
    def test_nearest_and_parts_by_their_definition(self, shape, settings):
        term, values, new = fitted(shape, **settings)
        flat, ask = (found.flatten(1).double().numpy() for found in (values, new))
        scale = flat.std(axis=0, ddof=1)
        if 'dims' in settings and not settings.get('standardize'):
            scale = np.ones_like(scale)
        z, at = ((found - flat.mean(axis=0)) / scale for found in (flat, ask))
        span = np.eye(z.shape[1])
        if 'dims' in settings:
            axes = PCA(settings['dims'], svd_solver='randomized', random_state=0).fit(z).components_
            span = axes.T @ axes
        # Of every pair, what is left of the difference in the space that is compared.
        apart = (at[:, None] - z[None]) @ span
        pairs = np.linalg.norm(apart, axis=2)
        order = pairs.argsort(axis=1)[:, :3]
        distances, numbers = term.nearest(new, 3)
        np.testing.assert_array_equal(numbers, order)
        np.testing.assert_allclose(distances, np.take_along_axis(pairs, order, 1), rtol=1e-3)
        parts = term.parts(new)
        assert parts.shape == new.shape and (parts >= 0).all()
        expected = apart[np.arange(7), order[:, 0]] ** 2
        np.testing.assert_allclose(parts.flatten(1), expected, rtol=5e-3, atol=1e-3)
        np.testing.assert_allclose(parts.flatten(1).sum(1), distances[:, 0] ** 2, rtol=1e-4)

    def test_numbers_are_those_of_the_objects_it_was_fitted_on(self):
        term, values, _ = fitted((3,), num_reference=20)
        assert len(term.picks) == 20
        distances, numbers = term.nearest(values[term.picks], 1)
        torch.testing.assert_close(numbers[:, 0], term.picks)
        assert float(distances.max()) < 1e-4
        # Fewer references than are asked for.
        assert term.nearest(values[:2], 50)[0].shape == (2, 20)

    def test_what_was_seen_is_as_it_was_measured(self):
        term, values, _ = fitted((3,), num_reference=20)
        seen, numbers = term.seen()
        torch.testing.assert_close(seen, values[numbers], rtol=1e-4, atol=1e-4)
        assert fitted((6,), dims=2)[0].seen() is None

    def test_it_is_part_of_the_state(self):
        term, _, new = fitted((4, 5), dims=6, standardize=True)
        other = NearestDistance('x', dims=6, standardize=True)
        other.load_state_dict(term.state_dict())
        torch.testing.assert_close(other.parts(new), term.parts(new))
        assert torch.equal(other.nearest(new, 3)[1], term.nearest(new, 3)[1])

    def test_another_term_says_nothing(self):
        term = PredictionError()
        assert term.nearest(torch.ones(2), 3) is term.parts(torch.ones(2)) is term.seen() is None


def scores_of(frames, tracks, raw, smoothed) -> VideoScores:
    table = dict(frames=np.array(frames), all=np.array(raw, np.float32))
    if tracks is not None:
        table['tracks'] = np.array(tracks)
    return VideoScores({}, {}, {}, table, dict(all=np.array(smoothed, float)))


class TestHappenings:
    def test_a_track_counts_once_and_so_does_a_moment(self):
        scored = dict(
            #         peak, same track, its moment, other track, far track
            a=scores_of([5, 6, 5, 90, 40], [0, 0, 1, 0, 2], [1, 9, 8, 7, 2], [9, 8, 7, 6, 3]),
            b=scores_of([0], [0], [5], [5]),
            none=scores_of([], [], [], []),
        )
        apart = dict(a=10, b=10, none=10).get
        # Of the first the object that is highest before smoothing stands for it.
        expected = [Happening('a', 1), Happening('b', 0), Happening('a', 4)]
        assert pick_happenings(scored, 'all', 9, apart) == expected
        assert pick_happenings(scored, 'all', 2, apart) == expected[:2]

    def test_without_tracks_only_time_tells_them_apart(self):
        scored = dict(a=scores_of([5, 14, 15], None, [3, 2, 1], [3, 2, 1]))
        found = pick_happenings(scored, 'all', 9, lambda video: 10)
        assert found == [Happening('a', 0), Happening('a', 2)]

    def test_no_objects_no_happenings(self):
        scored = dict(a=scores_of([], [], [], []))
        assert pick_happenings(scored, 'all', 3, lambda video: 10) == []


class TestOrigins:
    def make(self, **changes) -> ObjectOrigins:
        rng = np.random.default_rng(0)
        low = rng.uniform(0, 50, (30, 2))
        held = dict(
            videos=('a', 'b'),
            owners=np.repeat([0, 1], 15).astype(np.int32),
            frames=np.arange(30, dtype=np.int32),
            boxes=np.concatenate([low, low + rng.uniform(5, 40, (30, 2))], 1).astype(np.float32),
        )
        return ObjectOrigins(**{**held, **changes})

    def test_near_is_near_in_place_and_height(self):
        origins = self.make()
        among, box = np.arange(3, 27), np.array([10.0, 5, 30, 60])
        rows = []
        for x1, y1, x2, y2 in origins.boxes[among].astype(float):
            rows.append([(x1 + x2) / 2, y2, np.log(y2 - y1)])
        rows = np.array(rows)
        away = ((rows - [20, 60, np.log(55)]) / rows.std(axis=0)) ** 2
        expected = np.argsort(away.sum(axis=1))[:5]
        np.testing.assert_array_equal(origins.near(box, among, 5), expected)
        assert len(origins.near(box, among, 99)) == 24

    def test_place(self):
        video, frame, box = self.make().place(20)
        assert (video, frame) == ('b', 20) and box.shape == (4,)

    @pytest.mark.parametrize(
        ('changes', 'words'),
        [
            (dict(owners=np.full(30, 2)), 'owners: expected numbers of 2 videos'),
            (dict(owners=np.zeros(29, int)), r'owners: expected shape \(30,\), got \(29,\)'),
            (dict(frames=np.arange(30) - 1), 'frames: expected frames from 0 up'),
            (dict(boxes=np.zeros((30, 4))), 'boxes: expected finite x1 < x2'),
            (dict(boxes=np.full((30, 4), np.nan)), 'boxes: expected finite x1 < x2'),
        ],
    )
    def test_what_is_none_is_refused(self, changes, words):
        with pytest.raises(ValueError, match=words):
            self.make(**changes)


def test_every_column_has_a_reading():
    table = np.ones(1, ATTRIBUTES)
    assert READINGS.keys() == QUANTITIES.keys()
    for name, readings in READINGS.items():
        assert attribute_vectors(table, [name]).shape == (1, len(readings))
    table['height'] = 40
    (height,) = READINGS['height']
    assert height(attribute_vectors(table, ['height'])[0, 0]) == pytest.approx(40)


@TRANSFORMS.register_module()
class MeasureCells(BaseTransform):
    """Mean colour of the 2 x 2 cells of each object, as a detector's tokens would be."""

    def __init__(self, name: str = 'cells') -> None:
        self.name = name

    def transform(self, results: dict) -> dict:
        cells = []
        for x1, y1, x2, y2 in results['objects'].astype(int):
            image = results['imgs'][-1][y1:y2, x1:x2].astype(np.float32)
            cells.append(cv2.resize(image, (2, 2), interpolation=cv2.INTER_AREA).reshape(4, 3))
        results.setdefault('measurements', {})[self.name] = np.array(cells).reshape(-1, 4, 3)
        return results


@pytest.fixture(scope='module')
def run(plaza, tmp_path_factory):
    """A run of terms of attributes and of cells."""
    work_dir = tmp_path_factory.mktemp('why') / 'run'
    cfg = tiny_config(plaza, work_dir, method='attributes')
    cfg.model.tube.measure.cells = dict(type='MeasureCells')
    cfg.model.scorer.terms.cells = dict(
        type='NearestDistance', of='cells', dims=5, standardize=True, neighbours=1, weight=0.5
    )
    RUNNERS.build(cfg).train()
    return cfg


def training_of(cfg, names: list[str]) -> tuple[dict[str, np.ndarray], list[tuple]]:
    """All that was measured on training objects, and where each of these is from."""
    values, places = {name: [] for name in names}, []
    for video in ('00', '01'):
        tubes = ObjectTubes.load(tubes_path(f'{cfg.work_dir}/proposals/training', video))
        places += [
            (video, int(f), b.tolist()) for f, b in zip(tubes.frames, tubes.objects, strict=True)
        ]
        for name in names:
            values[name].append(np.load(f'{cfg.work_dir}/features/training/{name}/{video}.npy'))
    return {name: np.concatenate(found) for name, found in values.items()}, places


def test_the_record_of_a_run(run):
    place = WorkDir(Path(run.work_dir))
    record = json.loads(place.why.read_text())
    assert record['channel'] == 'all' and len(record['objects']) == 2
    values, places = training_of(run, ['attributes', 'cells'])
    at = np.array([box for _, _, box in places])
    at = np.stack([(at[:, 0] + at[:, 2]) / 2, at[:, 3], np.log(at[:, 3] - at[:, 1])], axis=1)
    for rank, found in enumerate(record['objects'], 1):
        assert found['rank'] == rank and found['seconds'] is None
        with np.load(place.objects(found['video'])) as table:
            row = int(np.flatnonzero(table['tubes'] == found['tube'])[0])
            assert int(table['frames'][row]) == found['frame']
            assert int(table['tracks'][row]) == found['track']
            np.testing.assert_allclose(table['boxes'][row], found['box'], atol=1e-3)
            for name in ('attributes', 'cells'):
                surprisal = found['terms'][name]['surprisal']
                assert surprisal == pytest.approx(table[name][row], abs=1e-3)
            assert found['score'] == pytest.approx(table['all'][row], abs=1e-3)
        # Shares of the weighted sum, in which what is rare beyond 4 nats counts by its logarithm.
        terms, adds = found['terms'], {}
        for name, term in terms.items():
            surprisal = term['surprisal']
            damped = surprisal if surprisal <= 4 else 4 + np.log1p(surprisal - 4)
            adds[name] = term['weight'] * damped
        assert {name: term['weight'] for name, term in terms.items()} == dict(
            attributes=1.0, cells=0.5
        )
        for name, term in terms.items():
            expected = adds[name] / sum(adds.values())
            assert term['share'] == pytest.approx(expected, abs=1e-3)
        # The nearest training objects of the attributes, by their definition.
        file = f'{run.work_dir}/features/testing/attributes/{found["video"]}.npy'
        own = np.load(file)[found['tube']]
        away = (own - values['attributes']) / values['attributes'].std(axis=0, ddof=1)
        order = np.linalg.norm(away, axis=1).argsort()[:3]
        said = terms['attributes']['nearest']
        assert [(n['video'], n['frame'], n['box']) for n in said] == [
            (video, frame, pytest.approx(box, abs=1e-3))
            for video, frame, box in (places[i] for i in order)
        ]
        np.testing.assert_allclose(
            [n['distance'] for n in said], np.linalg.norm(away[order], axis=1), rtol=1e-3
        )
        # What is usual near it, and each number's part.
        x1, y1, x2, y2 = found['box']
        off = (at - [(x1 + x2) / 2, y2, np.log(y2 - y1)]) / at.std(axis=0)
        near = np.square(off).sum(axis=1).argsort(kind='stable')[:200]
        low, high = np.percentile(values['attributes'][near], (5, 95), axis=0)
        units = dict.fromkeys(range(5), lambda number: number) | {2: np.exp, 3: np.exp}
        part = away[order[0]] ** 2 / (away[order[0]] ** 2).sum()
        for i, value in enumerate(terms['attributes']['values']):
            assert value['value'] == pytest.approx(units[i](own[i]), rel=1e-3, abs=1e-3)
            bounds = [units[i](low[i]), units[i](high[i])]
            assert value['usual'] == pytest.approx(bounds, rel=1e-3, abs=1e-3)
            assert value['share'] == pytest.approx(part[i], abs=2e-3)
        assert [v['name'] for v in terms['attributes']['values']][:3] == [
            'velocity to the right',
            'velocity downwards',
            'width',
        ]
        # Of the cells, where in the object.
        heat = np.array(terms['cells']['heat'])
        assert heat.shape == (2, 2) and heat.sum() == pytest.approx(1, abs=1e-3)
        assert 'values' not in terms['cells'] and 'heat' not in terms['attributes']
        picture = cv2.imread(str(place.root / found['picture']))
        assert picture.shape[1] == 1000
    assert {path.name for path in (place.root / 'why').iterdir()} == {
        'overview.jpg',
        *(Path(found['picture']).name for found in record['objects']),
    }


def test_heat_is_the_part_of_each_cell(run):
    place = WorkDir(Path(run.work_dir))
    values, _ = training_of(run, ['cells'])
    flat = values['cells'].reshape(-1, 12).astype(float)
    scale = flat.std(axis=0, ddof=1)
    z = (flat - flat.mean(axis=0)) / scale
    axes = PCA(5, svd_solver='randomized', random_state=0).fit(z).components_
    for found in json.loads(place.why.read_text())['objects']:
        file = f'{run.work_dir}/features/testing/cells/{found["video"]}.npy'
        own = (np.load(file)[found['tube']].reshape(12) - flat.mean(axis=0)) / scale
        apart = (own - z) @ axes.T @ axes
        nearest = np.linalg.norm(apart, axis=1).argmin()
        squares = np.square(apart[nearest]).reshape(2, 2, 3).sum(axis=2)
        heat = np.array(found['terms']['cells']['heat'])
        np.testing.assert_allclose(heat, squares / squares.sum(), atol=5e-3)


def look(
    cfg, out: Path, training=None, testing=None, origins='file', then=lambda: None
) -> tuple[dict, list[str]]:
    """Write why once more, of what a run left; and what was told. Something happens to the frames
    ``then``, when they have been listed."""
    left, told = WorkDir(Path(cfg.work_dir)), []
    file = left.root / cfg.stages.calibrate.model_file
    with DefaultScope.overwrite_default_scope('mmvad'):
        model = build_model(cfg, file).eval()
        normal, videos = (
            DATASETS.build(
                dict(
                    type='VideoDataset',
                    data_root=str(root or split.data_root),
                    data_prefix=dict(split.data_prefix),
                )
            )
            for split, root in ((cfg.train_dataset, training), (cfg.test_dataset, testing))
        )
    dataset = MeasurementDataset(
        videos,
        left.stage('proposals', 'testing'),
        left.stage('features', 'testing'),
        model.measurements,
        model.tube.first_scored,
        test_mode=True,
    )
    scored = {}
    for video in videos.lengths:
        with np.load(left.objects(video)) as table:
            held = {name: table[name] for name in table.files}
        scored[video] = VideoScores({}, {}, {}, held, dict(all=held['all']))
    then()
    place = WorkDir(out)
    known = origins_of(file) if origins == 'file' else origins
    write_why(place, model, dataset, scored, 'all', 8, normal, known, told.append)
    return json.loads(place.why.read_text()), told


def nearest_of(record: dict) -> list:
    return [term.get('nearest') for found in record['objects'] for term in found['terms'].values()]


def test_training_frames_that_are_not_at_hand_any_more(run, plaza, tmp_path):
    whole, told = look(run, tmp_path / 'whole')
    assert told == [] and all(map(any, nearest_of(whole)))
    data = tmp_path / 'plaza'
    shutil.copytree(plaza, data)
    (data / 'training/frames/00').rename(data / 'training/frames/05')
    for image in (data / 'training/frames/01').iterdir():
        image.write_bytes(image.read_bytes()[:200])
    record, told = look(run, tmp_path / 'out', training=data)
    # The record is the same; pictures and what is told are not.
    assert record == whole
    assert len(told) == 2
    assert "training video '00' cannot be shown: there is no such video" in told[0]
    assert "training video '01' cannot be shown: " in told[1]
    for found in record['objects']:
        pictures = [
            cv2.imread(str(tmp_path / name / found['picture'])) for name in ('whole', 'out')
        ]
        assert pictures[0].shape == pictures[1].shape and (pictures[0] != pictures[1]).any()


@pytest.mark.parametrize('cut', [True, False])
def test_test_frames_that_cannot_be_read_again(run, plaza, tmp_path, cut):
    data = tmp_path / 'plaza'
    shutil.copytree(plaza, data)

    def lose() -> None:
        for image in (data / 'testing/frames/01').iterdir():
            image.write_bytes(b'') if cut else image.unlink()

    record, told = look(run, tmp_path / 'out', testing=data, then=lose)
    assert len(told) == 1 and told[0].startswith("test video '01' cannot be shown: ")
    pictures = {found['video']: found['picture'] for found in record['objects']}
    assert pictures['01'] is None and (tmp_path / 'out' / pictures['00']).is_file()


def test_a_model_file_that_does_not_say_where_objects_are_from(run, tmp_path):
    record, told = look(run, tmp_path / 'out', origins=None)
    assert told == ['the model file does not say where training objects are from: none is shown']
    assert not any(nearest_of(record))
    assert all('share' in v for v in record['objects'][0]['terms']['attributes']['values'])


def test_the_model_file_holds_where_objects_are_from(run, tmp_path):
    file = Path(run.work_dir) / 'attributes.pth'
    origins, (_, places) = origins_of(file), training_of(run, [])
    assert len(origins) == len(places)
    for number, (video, frame, box) in enumerate(places):
        found = origins.place(number)
        assert found[:2] == (video, frame) and found[2].tolist() == pytest.approx(box)
    content = torch.load(file, weights_only=True)
    for name, value in (('owners', content['meta']['origins']['owners'] + 7), ('videos', '[')):
        broken = dict(content['meta']['origins'], **{name: value})
        damaged = dict(content, meta=dict(content['meta'], origins=broken))
        torch.save(damaged, tmp_path / 'damaged.pth')
        with pytest.raises(ValueError, match=r'damaged.pth: meta.origins: not where objects'):
            origins_of(tmp_path / 'damaged.pth')
    del content['meta']['origins']
    torch.save(content, tmp_path / 'older.pth')
    assert origins_of(tmp_path / 'older.pth') is None


def test_a_model_file_of_before_says_so(run, tmp_path):
    content = torch.load(Path(run.work_dir) / 'attributes.pth', weights_only=True)
    del content['state_dict']['scorer.terms.cells.picks']
    torch.save(content, tmp_path / 'older.pth')
    with (
        DefaultScope.overwrite_default_scope('mmvad'),
        pytest.raises(ValueError, match='older.pth: made by another config or an earlier mmvad: 1'),
    ):
        build_model(run, tmp_path / 'older.pth')


def test_nothing_of_an_earlier_test_stays(run, plaza, tmp_path):
    shutil.copytree(run.work_dir, tmp_path / 'run')
    (tmp_path / 'run/why/99_old_1.jpg').write_bytes(b'')
    cfg = copy.deepcopy(run)
    cfg.work_dir = str(tmp_path / 'run')
    cfg.stages.test.explain = 1
    RUNNERS.build(cfg).train()
    assert len(list((tmp_path / 'run/why').iterdir())) == 2
    cfg.stages.test.explain = 0
    RUNNERS.build(cfg).train()
    assert not (tmp_path / 'run/why.json').exists()
    assert not list((tmp_path / 'run/why').iterdir())
    cfg.stages.test.explain = -1
    with pytest.raises(ValueError, match='stages.test.explain: expected a whole number >= 0'):
        RUNNERS.build(cfg)


def test_no_objects_in_any_test_video(plaza, tmp_path):
    cfg = tiny_config(plaza, tmp_path / 'run', method='attributes')
    RUNNERS.build(cfg).train()
    shutil.rmtree(tmp_path / 'run/features/testing')
    for file in (tmp_path / 'run/proposals/testing').glob('*.npz'):
        held = ObjectTubes.load(file)
        ObjectTubes.from_frames({}, held.num_frames, held.frame_shape).save(file)
    cfg.proposer = None
    RUNNERS.build(cfg).train()
    assert json.loads((tmp_path / 'run/why.json').read_text())['objects'] == []
    assert not (tmp_path / 'run/why/overview.jpg').exists()


class TestPictures:
    def test_crops_are_square_and_show_the_object(self):
        frame = np.full((90, 160, 3), 60, np.uint8)
        frame[70:90, 0:10] = (0, 200, 0)
        for box in ([0, 70, 10, 90], [150, 0, 160, 12], [20, 20, 140, 80]):
            crop = object_crop(frame, np.array(box, float))
            assert max(crop.shape) == 240 and crop.dtype == np.uint8
        crop = object_crop(frame, np.array([0, 70, 10, 90.0]))
        green = (crop.astype(int) - (0, 200, 0) == 0).all(axis=2)
        rows, columns = np.nonzero(green)
        # At 240 / 34 pixels each, in the lower left corner.
        assert np.ptp(rows) == pytest.approx(20 * 240 / 34, abs=6)
        assert columns.min() <= 3 and rows.max() >= 236

    def test_heat_lies_over_the_object_alone(self):
        frame = np.full((100, 100, 3), 128, np.uint8)
        box = np.array([30.0, 20, 70, 80])
        plain = object_crop(frame, box).astype(int)
        hot = object_crop(frame, box, np.array([[0.0, 0], [0, 1]])).astype(int)
        rows, columns = np.nonzero((plain != hot).any(axis=2))
        assert (np.ptp(columns) + 1) / (np.ptp(rows) + 1) == pytest.approx(40 / 60, abs=0.03)
        middle = rows.mean(), columns.mean()
        red = (hot - plain)[..., 2] > 40
        assert red[int(middle[0]) :, int(middle[1]) :].sum() > 0.95 * red.sum() > 0

    def test_names_are_no_mathematics_and_no_term_need_say_more(self, tmp_path):
        frame = np.zeros((50, 80, 3), np.uint8)
        term = TermPicture('a$_b$c', 2.0, 1.0, 1.0)
        left_out = TermPicture('b', 2.0, 0.0, 0.0, lines=['unused'])
        picture = WhyPicture('1: video $x$', 2.0, frame, frame, [term, left_out])
        plot_why(picture, tmp_path / 'a.jpg')
        plot_why(picture, tmp_path / 'a.png')
        assert (
            cv2.imread(str(tmp_path / 'a.jpg')).shape == cv2.imread(str(tmp_path / 'a.png')).shape
        )
        with pytest.raises(ValueError, match='a.gif: expected a name that ends in .png or .jpg'):
            plot_why(picture, tmp_path / 'a.gif')
