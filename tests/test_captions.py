"""Caption files, templates, vocabulary and the two captioners."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch
from clips import MODEL, clip_sample, save_tiny_clip

from mmvad.captions import (
    TEMPLATES,
    VOCABULARY,
    AttributeCaptioner,
    CLIPCaptioner,
    read_vocabulary,
)
from mmvad.captions.attribute_captioner import WORDS, levels
from mmvad.captions.templates import check_templates, field, fill
from mmvad.methods.localvad.captions import generate_captions
from mmvad.motion import ATTRIBUTES, AttributeMeter, FrameFlow
from mmvad.registry import CAPTIONERS, TRANSFORMS
from mmvad.structures import (
    SENTENCES,
    FrameObjects,
    ObjectTubes,
    StageFolder,
    TubeSpec,
    captions_path,
    read_captions,
    write_captions,
)

# ---- templates and vocabulary


def test_templates_are_filled_as_in_the_paper():
    person = TEMPLATES['person']
    assert fill(person['action'], 'lying') == 'A man is lying'
    assert fill(person['appearance'], 'pink') == 'A man is in pink'
    assert fill(person['background'], 'a room') == 'A man is in a room'
    assert fill(person['object'], 'some smoke') == 'There is some smoke'
    assert fill(TEMPLATES['thing']['action'], 'rolling') == 'Something is rolling'


@pytest.mark.parametrize('template', ['A man', 'A man is {}', 'A {size} man is {actions}'])
def test_a_template_has_one_named_field(template):
    with pytest.raises(ValueError, match='exactly one'):
        field(template)


def test_templates_of_a_subject_are_complete():
    with pytest.raises(ValueError, match='background'):
        check_templates({key: 'is {a}' for key in SENTENCES if key != 'background'})


@pytest.mark.parametrize('name', sorted(VOCABULARY))
def test_shipped_vocabulary_is_sane(name):
    words = read_vocabulary(VOCABULARY[name])
    least = dict(actions=150, motions=50, clothes=100, looks=50, places=100, objects=200)
    assert len(words) >= least[name]
    assert all(word == word.lower() and word.isascii() for word in words)
    if name in ('places', 'objects'):
        for word in words:
            article, _, noun = word.partition(' ')
            if article in ('a', 'an') and not noun.startswith(('uni', 'hour', 'one')):
                assert (article == 'an') == (noun[0] in 'aeiou'), word
    if name in ('actions', 'motions'):
        assert all('ing' in word for word in words)


def test_templates_name_shipped_vocabulary():
    for subject in TEMPLATES.values():
        assert {field(subject[key]) for key in SENTENCES} <= set(VOCABULARY)


def test_read_vocabulary(tmp_path):
    path = tmp_path / 'words.txt'
    path.write_text('# heading\nred\n\n  dark   blue  # the sky at night\n')
    assert read_vocabulary(path) == ('red', 'dark blue')
    path.write_text('red\nblue\nred\n')
    with pytest.raises(ValueError, match=r'words\.txt, line 3.*line 1'):
        read_vocabulary(path)
    path.write_text('# nothing\n')
    with pytest.raises(ValueError, match='found none'):
        read_vocabulary(path)
    with pytest.raises(FileNotFoundError, match='absent'):
        read_vocabulary(tmp_path / 'absent.txt')


# ---- caption files


def make_tubes() -> ObjectTubes:
    boxes = np.array([[0, 0, 10.25, 10], [5, 5, 25, 25.333], [1, 2, 3, 4]], np.float32)
    return ObjectTubes(boxes, boxes, np.array([5, 5, 9], np.int32), 12, (40, 60))


def make_captions(n: int) -> list[dict[str, str]]:
    return [{key: f'{key} of tube {row}, é "quoted"' for key in SENTENCES} for row in range(n)]


def test_caption_file_round_trip(tmp_path):
    tubes, captions, path = make_tubes(), make_captions(3), tmp_path / 'a' / '01.jsonl'
    write_captions(path, tubes, captions)
    assert read_captions(path) == read_captions(path, tubes) == captions
    first = json.loads(path.read_text().splitlines()[1])
    assert first['frame'] == 5 and first['box'] == [5.0, 5.0, 25.0, 25.3]
    assert list(first) == ['frame', 'box', *SENTENCES]
    assert [p.name for p in path.parent.iterdir()] == ['01.jsonl']


def test_caption_file_without_tubes(tmp_path):
    empty = ObjectTubes.from_frames({}, 12, (40, 60))
    write_captions(tmp_path / '01.jsonl', empty, [])
    assert read_captions(tmp_path / '01.jsonl', empty) == []


def test_bad_captions_leave_the_old_file(tmp_path):
    tubes, path = make_tubes(), tmp_path / '01.jsonl'
    write_captions(path, tubes, make_captions(3))
    before = path.read_bytes()
    bad = make_captions(3)
    bad[2]['object'] = ' '
    with pytest.raises(ValueError, match=r'01\.jsonl, line 3: object'):
        write_captions(path, tubes, bad)
    with pytest.raises(ValueError, match='3 tubes but 2 captions'):
        write_captions(path, tubes, make_captions(2))
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ('edit', 'message'),
    [
        (lambda r: r.pop('background'), r'01\.jsonl, line 2: background: missing'),
        (lambda r: r.update(action=''), r'01\.jsonl, line 2: action: expected a sentence'),
        (lambda r: r.update(object=7), r'01\.jsonl, line 2: object: expected a sentence, got 7'),
        (lambda r: r.update(frame=6), r'01\.jsonl, line 2: frame: expected 5, got 6'),
        (lambda r: r.pop('frame'), r'01\.jsonl, line 2: frame: expected 5, got None'),
        (lambda r: r.update(box=[5, 5, 25, 26]), r'01\.jsonl, line 2: box'),
        (lambda r: r.update(box='5 5'), r'01\.jsonl, line 2: box'),
    ],
)
def test_reader_names_file_line_and_field(tmp_path, edit, message):
    tubes, path = make_tubes(), tmp_path / '01.jsonl'
    write_captions(path, tubes, make_captions(3))
    records = [json.loads(line) for line in path.read_text().splitlines()]
    edit(records[1])
    path.write_text(''.join(json.dumps(record) + '\n' for record in records))
    with pytest.raises(ValueError, match=message):
        read_captions(path, tubes)


def test_reader_refuses_what_is_no_caption_file(tmp_path):
    tubes, path = make_tubes(), tmp_path / '01.jsonl'
    write_captions(path, tubes, make_captions(3))
    lines = path.read_text().splitlines()
    path.write_text('\n'.join(lines[:2]) + '\n')
    with pytest.raises(ValueError, match='each of 3 tubes, got 2'):
        read_captions(path, tubes)
    path.write_text(f'{lines[0]}\n{lines[1][:-5]}\n{lines[2]}\n')
    with pytest.raises(ValueError, match=r'01\.jsonl, line 2: not JSON'):
        read_captions(path)
    path.write_text('[1]\n')
    with pytest.raises(ValueError, match='line 1: expected a JSON object, got list'):
        read_captions(path)
    with pytest.raises(FileNotFoundError, match='absent'):
        read_captions(tmp_path / 'absent.jsonl')


# ---- samples


def test_frame_objects_checks_shapes():
    frames, boxes = [np.zeros((8, 8, 3), np.uint8)], np.zeros((2, 4), np.float32)
    assert len(FrameObjects(frames, boxes, boxes, '01', 3)) == 2
    with pytest.raises(ValueError, match='objects'):
        FrameObjects(frames, boxes, boxes[:1], '01', 3)
    with pytest.raises(ValueError, match='no frames'):
        FrameObjects([], boxes, boxes, '01', 3)


# ---- attribute captioner

H, W = 120, 200


def make_sample(items, length=4, ground=110, scale=1) -> FrameObjects:
    """Textured rectangles that move over a plain ground.

    ``items``: (centre x, centre y, width, height, velocity x, velocity y, tone) in the last frame.
    """
    rng = np.random.default_rng(3)
    h, w = H * scale, W * scale
    frames = [np.full((h, w), ground, np.float32) for _ in range(length)]
    for x, y, bw, bh, vx, vy, tone in items:
        noise = rng.uniform(tone - 25, tone + 25, (12, 12)).astype(np.float32)
        for age, frame in enumerate(reversed(frames)):
            # Subpixel motion: the noise and its outline are moved by the same affine map.
            x1, y1 = (x - vx * age - bw / 2) * scale, (y - vy * age - bh / 2) * scale
            move = np.array([[bw * scale / 12, 0, x1], [0, bh * scale / 12, y1]])
            mask = cv2.warpAffine(np.ones_like(noise), move, (w, h))
            patch = cv2.warpAffine(noise, move, (w, h), borderMode=cv2.BORDER_REPLICATE)
            frame += mask * (patch - frame)
    frames = [np.repeat(f.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2) for f in frames]
    boxes, objects = np.zeros((2, len(items), 4), np.float32)
    for row, (x, y, bw, bh, *_) in enumerate(items):
        side = 1.25 * max(bw, bh)
        boxes[row] = [x - side / 2, y - side / 2, x + side / 2, y + side / 2]
        objects[row] = [x - bw / 2, y - bh / 2, x + bw / 2, y + bh / 2]
    boxes = np.clip(boxes * scale, 0, [w, h, w, h]).astype(np.float32)
    return FrameObjects(frames, boxes, objects * scale, '01', 7)


def training_samples() -> list[FrameObjects]:
    """Objects of many speeds, sizes, shapes and tones; grown towards the lower edge."""
    rng = np.random.default_rng(0)
    samples = []
    for _ in range(40):
        items = []
        for x in (40, 100, 160):
            y = rng.uniform(35, 85)
            height = (10 + 0.25 * y) * rng.uniform(0.8, 1.25)
            width = height * rng.uniform(0.4, 1.0)
            vx, vy = rng.uniform(-3, 3, 2) * (height / 30)
            items.append((x, y, width, height, vx, vy, rng.uniform(20, 230)))
        samples.append(make_sample(items))
    return samples


@pytest.fixture(scope='module')
def captioner() -> AttributeCaptioner:
    captioner = CAPTIONERS.build(dict(type='AttributeCaptioner'))
    captioner.fit(training_samples())
    return captioner


def rank(name: str, sentence: str) -> int:
    """Which of the words of a quantity a sentence holds (the longest that fits)."""
    hits = [word for word in WORDS[name] if word in sentence]
    assert hits, sentence
    return WORDS[name].index(max(hits, key=len))


@pytest.mark.parametrize('velocity', [(2, 0), (-3, 0), (0, 1.5), (-1, -1), (0, 0)])
def test_measured_motion(velocity):
    table = AttributeMeter()(make_sample([(100, 60, 24, 30, *velocity, 200)]))
    assert table.dtype == ATTRIBUTES
    np.testing.assert_allclose(table['velocity'][0], velocity, atol=0.25)
    np.testing.assert_allclose(table['speed'][0], np.hypot(*velocity), atol=0.25)


def test_measured_geometry_and_tone():
    sample = make_sample([(50, 60, 20, 30, 1, 0, 200), (80, 70, 20, 30, 1, 0, 40)])
    table = AttributeMeter()(sample)
    np.testing.assert_allclose(table['width'], 20)
    np.testing.assert_allclose(table['height'], 30)
    np.testing.assert_allclose(table['centre'], [[50, 60], [80, 70]])
    np.testing.assert_allclose(table['view'], [[50 / W, 75 / H], [80 / W, 85 / H]])
    np.testing.assert_allclose(table['ring_tone'], 110, atol=1)
    assert table['tone'][0] > 180 and table['tone'][1] < 60
    assert table['neighbours'].tolist() == [[0, 1], [1, 0]]


def test_looks_are_left_out_on_request():
    sample = make_sample([(50, 60, 20, 30, 1, 0, 200), (80, 70, 20, 30, 1, 0, 40)])
    whole, bare = (AttributeMeter()(sample, looks=looks) for looks in (True, False))
    left_out = ['tone', 'contrast', 'ring_tone', 'ring_texture', 'neighbours']
    for name in ATTRIBUTES.names:
        if name in left_out:
            assert whole[name].any() and not bare[name].any()
        else:
            np.testing.assert_array_equal(whole[name], bare[name])


def test_measures_do_not_depend_on_the_resolution():
    items = [(50, 60, 24, 36, 2, 1, 200), (130, 60, 40, 30, -3, 0, 40)]
    meter = AttributeMeter(FrameFlow(short_side=H))
    small = meter(make_sample(items))
    large = meter(make_sample(items, scale=2))
    np.testing.assert_allclose(large['velocity'] / 2, small['velocity'], atol=0.3)
    np.testing.assert_allclose(large['height'] / 2, small['height'])
    np.testing.assert_allclose(large['view'], small['view'])


@pytest.mark.parametrize('short_side', [30, 60, 480])
def test_a_flow_of_any_size_is_read_at_the_right_places(short_side):
    sample = make_sample([(50, 60, 24, 36, 2, 1, 200), (130, 60, 40, 30, -3, 0, 40)], scale=2)
    given = FrameFlow(short_side=short_side)(sample.frames)
    expected = AttributeMeter(FrameFlow(short_side=short_side))(sample)
    np.testing.assert_array_equal(AttributeMeter()(sample, given)['speed'], expected['speed'])
    assert (expected['speed'] > 2).all()


def test_parts_that_move_apart_are_spread():
    apart = make_sample([(92, 60, 16, 30, -2, 0, 200), (108, 60, 16, 30, 2, 0, 200)])
    joint = make_sample([(92, 60, 16, 30, 2, 0, 200), (108, 60, 16, 30, 2, 0, 200)])
    box = np.array([[84, 45, 116, 75]], np.float32)
    apart, joint = (
        AttributeMeter()(FrameObjects(s.frames, box, box, '01', 7)) for s in (apart, joint)
    )
    assert apart['spread'][0] > 3 * joint['spread'][0]
    assert np.linalg.norm(apart['velocity'][0]) < 0.5 * apart['speed'][0]


def test_faster_objects_get_faster_words(captioner):
    items = [(100, 60, 15, 25, speed, 0, 200) for speed in (0, 1, 1.5, 2, 2.5, 4.5)]
    ranks = [rank('speed', captioner.caption(make_sample([i]))[0]['action']) for i in items]
    assert ranks == sorted(ranks)
    assert ranks[0] == 0 and ranks[-1] == len(WORDS['speed']) - 1


def test_same_motion_is_slower_where_objects_are_large(captioner):
    far, near = captioner.caption(
        make_sample([(60, 35, 12, 19, 1.2, 0, 200), (140, 85, 20, 31, 1.2, 0, 200)])
    )
    assert rank('speed', far['action']) > rank('speed', near['action'])


@pytest.mark.parametrize(
    ('velocity', 'words'),
    [
        ((2, 0), 'to the right'),
        ((-2, 0), 'to the left'),
        ((0, 2), 'towards the camera'),
        ((0, -2), 'away from the camera'),
        ((2, -2), 'away to the right'),
        ((-2, -2), 'away to the left'),
        ((2, 2), 'nearer to the right'),
        ((-2, 2), 'nearer to the left'),
    ],
)
def test_direction(captioner, velocity, words):
    (caption,) = captioner.caption(make_sample([(100, 60, 15, 25, *velocity, 200)]))
    assert f' {words} with' in caption['action']
    assert ('to the right' in caption['action']) == ('to the right' in words)
    assert ('to the left' in caption['action']) == ('to the left' in words)


def test_appearance(captioner):
    slim, wide = captioner.caption(
        make_sample([(50, 60, 10, 25, 1, 0, 220), (140, 60, 26, 25, 1, 0, 30)])
    )
    widest = len(WORDS['shape']) - 1
    assert rank('shape', slim['appearance']) == 0
    assert rank('shape', wide['appearance']) == widest
    assert rank('tone', slim['appearance']) == 3 and rank('tone', wide['appearance']) == 0
    small, big = captioner.caption(
        make_sample([(50, 60, 10, 18, 1, 0, 220), (140, 60, 18, 34, 1, 0, 30)])
    )
    assert rank('size', small['appearance']) == 0
    assert rank('size', big['appearance']) == len(WORDS['size']) - 1


def test_background_and_neighbours(captioner):
    captions = captioner.caption(
        make_sample([(20, 40, 10, 20, 0, 0, 200), (35, 40, 10, 20, 0, 0, 200)])
    )
    assert captions[0]['object'] == 'There is a neighbour on the right'
    assert captions[1]['object'] == 'There is a neighbour on the left'
    assert all('on the left, far away' in caption['background'] for caption in captions)
    row = [(x, 90, 10, 30, 0, 0, 200) for x in (140, 160, 180)]
    captions = captioner.caption(make_sample(row))
    assert captions[1]['object'] == 'There is a pair of neighbours on both sides'
    assert 'on the right, close by' in captions[2]['background']
    (alone,) = captioner.caption(make_sample([(100, 60, 10, 20, 0, 0, 200)]))
    assert alone['object'] == 'There is nobody near'
    assert 'in the middle' in alone['background']


def test_each_word_is_used_on_the_training_split(captioner):
    captions = [c for sample in training_samples() for c in captioner.caption(sample)]
    for name, key in (('speed', 'action'), ('size', 'appearance'), ('depth', 'background')):
        counts = np.bincount([rank(name, c[key]) for c in captions], minlength=len(WORDS[name]))
        shares = np.diff([0, *levels(name), 1])
        np.testing.assert_allclose(counts / len(captions), shares, atol=0.02)


def test_usual_height_follows_the_perspective(captioner):
    slope, intercept, _ = captioner.state()['height']
    for y in (40, 60, 80):
        assert slope * y + intercept == pytest.approx(10 + 0.25 * y, rel=0.2)


def test_state_round_trip_gives_the_same_captions(captioner):
    other = AttributeCaptioner()
    other.load_state(json.loads(json.dumps(captioner.state())))
    again = AttributeCaptioner()
    again.fit(training_samples())
    for sample in training_samples()[:5]:
        expected = captioner.caption(sample)
        assert other.caption(sample) == again.caption(sample) == expected
        assert all(set(caption) == set(SENTENCES) for caption in expected)


def test_attribute_captioner_own_templates(captioner):
    other = AttributeCaptioner(templates={key: f'{key}: {{words}}.' for key in SENTENCES})
    other.load_state(captioner.state())
    (caption,) = other.caption(make_sample([(100, 60, 10, 20, 0, 0, 200)]))
    assert caption['object'] == 'object: nobody near.'


def test_attribute_captioner_without_objects_or_perspective():
    empty = make_sample([])
    captioner = AttributeCaptioner()
    with pytest.raises(RuntimeError, match='fit'):
        captioner.caption(empty)
    with pytest.raises(ValueError, match='no object'):
        captioner.fit([empty])
    captioner.fit([make_sample([(100, 60, 10, 20, 1, 0, 200)]), empty])  # a single object
    assert captioner.state()['height'][:2] == [0, 20]
    assert captioner.caption(empty) == []


def test_attribute_captioner_errors(captioner):
    with pytest.raises(ValueError, match='needs 3 frames, got 2'):
        captioner.caption(make_sample([(100, 60, 10, 20, 1, 0, 200)], length=2))
    state = captioner.state()
    for bad, name in (
        (state | {'height': [1.0]}, 'height'),
        ({'height': state['height']}, 'edges'),
        (state | {'edges': state['edges'] | {'size': [1.0, 'x', 2.0, 3.0]}}, 'size'),
    ):
        with pytest.raises(ValueError, match=name):
            AttributeCaptioner().load_state(bad)


# ---- fast-forwarded tubes


class Videos:
    """Videos of 16 frames, in the last of which the objects are."""

    def __init__(self, items: dict[str, list]) -> None:
        self.samples = {video: make_sample(objects, length=16) for video, objects in items.items()}
        self.tubes = {
            video: ObjectTubes(
                sample.boxes, sample.objects, np.full(len(sample), 15, np.int32), 16, (H, W)
            )
            for video, sample in self.samples.items()
        }

    def source(self, video: str) -> list[np.ndarray]:
        return self.samples[video].frames


@pytest.fixture
def two_videos() -> Videos:
    slow = [(x, 70, 14, 28, 0.4, 0, 200) for x in (40, 80, 120, 160)]
    faster = [(x, 70, 14, 28, -0.7, 0, 60) for x in (40, 80, 120, 160)]
    return Videos({'01': slow, '02': faster})


def describe(videos: Videos, folder, strides) -> StageFolder:
    stage = StageFolder(folder, 'key')
    stage.open()
    spec = TubeSpec(window=5, horizon=1, strides=strides)
    generate_captions(videos, AttributeCaptioner(), videos.tubes, stage, spec, fit_frames=10)
    return stage


def test_fast_forwarded_tubes_get_faster_words_in_a_folder_of_their_own(two_videos, tmp_path):
    folder = describe(two_videos, tmp_path / 'captions', (1, 3)).path
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob('*.jsonl'))
    assert files == ['01.jsonl', '02.jsonl', 'stride_3/01.jsonl', 'stride_3/02.jsonl']
    for video, tubes in two_videos.tubes.items():
        usual, fast = (read_captions(captions_path(folder, video, s), tubes) for s in (1, 3))
        for before, after in zip(usual, fast, strict=True):
            assert rank('speed', after['action']) > rank('speed', before['action'])
            for key in ('appearance', 'background', 'object'):
                assert before[key] == after[key]

    # Training looks up the sentences of the stride that it loads the frames with.
    load = TRANSFORMS.build(dict(type='LoadTubeCaptions', folder=str(folder)))
    results = dict(video='02', tubes=two_videos.tubes['02'], tube=1)
    for stride in (1, 3, 1):
        expected = read_captions(captions_path(folder, '02', stride))[1]
        assert load(dict(results, stride=stride))['captions'] == expected


def test_each_stride_is_fitted_on_and_a_missing_file_is_made_with_the_same_words(
    two_videos, tmp_path
):
    both = describe(two_videos, tmp_path / 'both', (1, 3)).path
    usual = describe(two_videos, tmp_path / 'usual', (1,)).path
    assert not (usual / 'stride_1').exists() and not (usual / 'stride_3').exists()

    def fastest(folder) -> float:
        return json.loads((folder / 'captioner.json').read_text())['edges']['speed'][-1]

    assert fastest(both) > 2 * fastest(usual)

    path = both / 'stride_3/01.jsonl'
    before = path.read_bytes()
    path.unlink()
    others = {p: p.stat().st_mtime_ns for p in (*both.rglob('*.jsonl'), both / 'captioner.json')}
    describe(two_videos, both, (1, 3))
    assert path.read_bytes() == before
    assert {p: p.stat().st_mtime_ns for p in others} == others


# ---- CLIP captioner


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))


@pytest.fixture(scope='module')
def clip_file(tmp_path_factory):
    """A random CLIP of a few thousand weights, in a file."""
    pytest.importorskip('open_clip')
    return save_tiny_clip(tmp_path_factory.mktemp('clip'))


def test_clip_captions_equal_a_direct_computation(clip_file):
    import open_clip
    from PIL import Image

    sample = clip_sample()
    model, _, transform = open_clip.create_model_and_transforms(MODEL, pretrained=str(clip_file))
    model.eval()
    tokenize = open_clip.get_tokenizer(MODEL)
    crops = [sample.frames[-1][y1:y2, x1:x2, ::-1] for x1, y1, x2, y2 in sample.boxes.astype(int)]

    def best(crop, texts):
        with torch.no_grad():
            image = model.encode_image(transform(Image.fromarray(crop.copy()))[None])
            cosine = torch.cosine_similarity(model.encode_text(tokenize(list(texts))), image)
        return texts[int(cosine.argmax())], float(cosine.max())

    # Random weights favour few texts: prompts among the favourites, so that both kinds are chosen.
    words = read_vocabulary(VOCABULARY['objects'])
    favourites = sorted({best(crop, words)[0] for crop in crops})
    templates = {
        'person': TEMPLATES['person'] | {'prompts': favourites[:1]},
        'thing': TEMPLATES['thing'] | {'prompts': favourites[1:]},
    }
    args = dict(model=MODEL, pretrained=str(clip_file), templates=templates, device='cpu')
    captions = CAPTIONERS.build(dict(type='CLIPCaptioner', **args)).caption(sample)

    kinds = []
    for crop, caption in zip(crops, captions, strict=True):
        cosines = {kind: best(crop, group['prompts'])[1] for kind, group in templates.items()}
        kinds.append(max(cosines, key=cosines.get))
        for key in SENTENCES:
            template = templates[kinds[-1]][key]
            words = read_vocabulary(VOCABULARY[field(template)])
            assert caption[key] == best(crop, [fill(template, word) for word in words])[0]
    assert set(kinds) == {'person', 'thing'}


def test_clip_captions_do_not_depend_on_the_batch_size(clip_file):
    args = dict(model=MODEL, pretrained=str(clip_file), device='cpu')
    sample = clip_sample()
    whole = CLIPCaptioner(**args).caption(sample)
    small = CLIPCaptioner(**args, batch_size=5)
    assert small.caption(sample) == whole
    empty = FrameObjects(sample.frames, sample.boxes[:0], sample.objects[:0], '01', 7)
    assert CLIPCaptioner(**args).caption(empty) == []


def test_clip_own_vocabulary_and_templates(clip_file, tmp_path):
    (tmp_path / 'acts.txt').write_text('hovering\n')
    (tmp_path / 'places.txt').write_text('the sky\n')
    templates = {
        'thing': {
            'prompts': ['a drone'],
            'action': 'It is {acts}',
            'appearance': 'It is {looks}',
            'background': 'It is in {places}',
            'object': 'There is {objects}',
        }
    }
    vocabulary = dict(acts=tmp_path / 'acts.txt', places=tmp_path / 'places.txt')
    args = dict(model=MODEL, pretrained=str(clip_file), device='cpu', templates=templates)
    captioner = CLIPCaptioner(**args, vocabulary=vocabulary)
    caption = captioner.caption(clip_sample(1))[0]
    assert caption['action'] == 'It is hovering' and caption['background'] == 'It is in the sky'
    assert caption['appearance'].removeprefix('It is ') in read_vocabulary(VOCABULARY['looks'])
    with pytest.raises(ValueError, match="thing.action: no vocabulary 'acts'"):
        CLIPCaptioner(**args)
    with pytest.raises(FileNotFoundError, match='absent'):
        CLIPCaptioner(**args, vocabulary=vocabulary | {'looks': tmp_path / 'absent.txt'})
    templates['thing']['prompts'] = 'a drone'
    with pytest.raises(ValueError, match='thing.prompts'):
        CLIPCaptioner(**args, vocabulary=vocabulary)
