import av
import cv2
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes

from mmvad.visualization import (
    VideoOverview,
    annotate_frames,
    append_score_strip,
    draw_objects,
    overlay,
    pattern_heatmaps,
    pick_frames,
    plot_overview,
    plot_pictures,
    plot_score_grid,
    plot_scores,
    plots,
    score_color,
    seconds_text,
    video,
    video_encoder,
    write_annotated_video,
    write_video,
)

SCORES = np.sin(np.arange(60) / 8) + 2
LABELS = np.zeros(60, dtype=np.uint8)
LABELS[20:35] = 1


def gray_frames(count, height=120, width=161):
    return [np.full((height, width, 3), 90, dtype=np.uint8) for _ in range(count)]


def decode(path):
    image = cv2.imread(str(path))
    assert image is not None
    return image


def count_color(image, color, tolerance=12):
    difference = np.abs(image.astype(int) - np.array(color)).max(axis=2)
    return int((difference <= tolerance).sum())


def test_score_colors_go_from_green_over_yellow_to_red():
    _, green, red = np.array([score_color(s, (2.0, 4.0)) for s in (1.0, 2.0, 3.0, 4.0, 9.0)]).T
    assert green[0] == green[1] > 2 * red[1]
    assert min(green[2], red[2]) > 200
    assert red[3] == red[4] > 2 * green[3]
    assert score_color(5.0, (5.0, 5.0)) == score_color(2.0, (2.0, 4.0))


def test_objects_are_drawn_where_they_are():
    frame = gray_frames(1)[0]
    boxes = np.array([[10, 30, 40, 70], [90, 50, 130, 110]], dtype=np.float32)
    image = draw_objects(frame, boxes, np.array([1.0, 3.0]), (1.0, 3.0), scale=3)
    assert image.shape == (360, 483, 3)
    assert image[150, 30].tolist() == list(score_color(1.0, (1.0, 3.0)))  # left side of the first
    assert image[240, 390].tolist() == list(score_color(3.0, (1.0, 3.0)))  # right of the second
    assert image[20, 240].tolist() == image[240, 330].tolist() == [90, 90, 90]
    assert (frame == 90).all()
    # Labels of boxes at the picture's corners stay inside it: their patches are complete.
    for box in ([0, 0, 20, 20], [140, 100, 161, 120]):
        drawn = draw_objects(frame, np.array([box]), np.array([2.0]), (1.0, 3.0), scale=3)
        assert count_color(drawn, score_color(2.0, (1.0, 3.0))) > 400
    # Of two boxes in one place the more abnormal is seen, whatever their order.
    for scores in ([1.0, 3.0], [3.0, 1.0]):
        drawn = draw_objects(frame, boxes[[0, 0]], np.array(scores), (1.0, 3.0))
        assert drawn[50, 10].tolist() == list(score_color(3.0, (1.0, 3.0)))
    empty = draw_objects(frame, np.zeros((0, 4)), np.zeros(0), (0.0, 1.0))
    np.testing.assert_array_equal(empty, frame)


@pytest.mark.parametrize(
    ('frame', 'boxes', 'words'),
    [
        (np.zeros((20, 20, 3), dtype=np.float32), np.zeros((1, 4)), 'BGR uint8.*float32'),
        (np.zeros((20, 20), dtype=np.uint8), np.zeros((1, 4)), 'BGR uint8'),
        (np.zeros((20, 20, 3), dtype=np.uint8), np.zeros((2, 4)), r'\(1, 4\).*\(2, 4\)'),
    ],
)
def test_bad_drawing_input_is_refused(frame, boxes, words):
    with pytest.raises(ValueError, match=words):
        draw_objects(frame, boxes, np.zeros(1), (0.0, 1.0))


def test_strip_shows_the_past_and_the_labels():
    image = gray_frames(1, 100, 240)[0]
    strip = append_score_strip(image, SCORES, 30, (1.0, 3.0), LABELS)[100:]
    assert strip.shape == (96, 240, 3)
    # Frames 20 ... 34 of 60 are columns 80 ... 139 of 240.
    bottom = strip[-1].astype(int)
    red = bottom[:, 2] > bottom[:, 1] + 30
    assert red[80:120].all() and red[125:140].all()
    assert not red[:80].any() and not red[140:].any()
    # The curve ends at the present frame, column 122; only the dot reaches a little further.
    bright = (strip[22:].min(axis=2) > 90).any(axis=0)
    assert bright[3:120].all()
    assert not bright[127:].any()
    with pytest.raises(ValueError, match='0 to 59, got 60'):
        append_score_strip(image, SCORES, 60, (1.0, 3.0))


def drawn_texts(monkeypatch):
    """What OpenCV is asked to write from now on."""
    texts, put = [], cv2.putText

    def noted(image, text, *args):
        texts.append(text)
        return put(image, text, *args)

    monkeypatch.setattr(cv2, 'putText', noted)
    return texts


def test_strip_tells_the_boxes_score_from_the_frames(monkeypatch):
    texts, none = drawn_texts(monkeypatch), np.zeros(0)
    smooth, raw = np.full(3, 4.75), np.array([4.0, 7.25, 3.0])
    list(
        annotate_frames(
            gray_frames(3), smooth, np.array([1, 1]), np.array([[9, 9, 40, 40]] * 2),
            np.array([7.25, 2.5]), raw=raw, known_fps=2.0,
        )
    )  # fmt: skip
    boxes, strip = texts[1:3], texts[3]
    assert boxes == ['2.50', '7.25']
    assert strip == 'frame 1, 0.5 s   score 4.75 (smoothed; as it was 7.25)   highest box 7.25'
    assert 'highest' not in texts[0]
    # Without a rate no time is made up.
    texts.clear()
    list(annotate_frames(gray_frames(3), smooth, none, np.zeros((0, 4)), none))
    assert texts == [f'frame {index}   score 4.75' for index in range(3)]


def test_letters_and_lines_grow_with_the_picture():
    """At 4K they are three times those of 720 lines, so that they are read on the same screen."""
    heights, sides = [], []
    for scale in (1, 3):
        frame = gray_frames(1, 720 * scale, 1280 * scale)[0]
        box = np.array([[300, 300, 600, 600]]) * scale
        drawn = draw_objects(frame, box, np.array([7.25]), (0.0, 9.0))
        changed = (drawn != frame).any(axis=2)
        column = np.flatnonzero(changed[: 300 * scale, 310 * scale])
        heights.append(np.ptp(column) + 1)
        sides.append(int(changed[450 * scale, : 400 * scale].sum()))
        strip = append_score_strip(
            frame, SCORES, 59, (1.0, 3.0), LABELS, raw=SCORES, known_fps=25.0
        )
        assert strip.shape[0] == (720 + 96) * scale
    assert heights[1] == pytest.approx(3 * heights[0], rel=0.15)
    assert sides[1] == sides[0] + 4  # 6 pixels in place of 2, and their soft edges


def test_narrow_strips_hold_all_their_text(monkeypatch):
    ends, size = [], cv2.getTextSize

    def noted(image, text, origin, font, scale, color, pen, line):
        ends.append((origin[0], origin[0] + size(text, font, scale, pen)[0][0]))

    monkeypatch.setattr(cv2, 'putText', noted)
    picture = gray_frames(1, 480, 200)[0]
    append_score_strip(
        picture, SCORES, 25, (1.0, 3.0), LABELS, raw=SCORES, known_fps=25.0, highest=7.25
    )
    (left, middle), (start, right) = ends
    assert 0 <= left < middle < start < right <= 200


def test_strip_of_a_constant_score():
    image = gray_frames(1)[0]
    assert append_score_strip(image, np.ones(9), 8, (1.0, 1.0), threshold=1.0).shape[0] == 216


@pytest.mark.parametrize('size', [(120, 161), (480, 640)])
def test_annotated_video_can_be_read_back(tmp_path, size):
    path = tmp_path / 'deep' / 'video.mp4'
    object_frames = np.array([5, 5, 11])
    boxes = np.array([[10, 30, 40, 70], [90, 50, 130, 110], [50, 50, 90, 100]])
    arguments = (SCORES[:12], object_frames, boxes, np.array([1.0, 3.0, 2.0]))
    options = dict(labels=LABELS[:12], threshold=2.5)
    write_annotated_video(iter(gray_frames(12, *size)), path, 10, *arguments, **options)

    pictures = list(annotate_frames(gray_frames(12, *size), *arguments, **options))
    scale = 4 if size[0] == 120 else 1
    assert pictures[0].shape == (size[0] * scale + 96, size[1] * scale, 3)
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FPS) == 10
    read = []
    while (item := capture.read())[0]:
        read.append(item[1])
    assert len(read) == 12
    for picture, decoded in zip(pictures, read, strict=True):
        assert decoded.shape == picture.shape
        assert np.abs(decoded.astype(int) - picture).mean() < 6
    # Only frames 5 and 11 have boxes.
    drawn = [count_color(p[:-96], score_color(3.0, (1.0, 3.0))) for p in pictures]
    assert [index for index, pixels in enumerate(drawn) if pixels] == [5]
    assert [path.name for path in path.parent.iterdir()] == ['video.mp4']


def played(path):
    """Codec, pixel format and seconds of a video, as FFmpeg reads them."""
    with av.open(str(path)) as container:
        (stream,) = container.streams.video
        ends = [
            float((frame.pts + frame.duration) * frame.time_base) for frame in container.decode()
        ]
        return stream.codec_context.name, stream.codec_context.pix_fmt, ends[-1]


@pytest.mark.parametrize('fps', [10, 24, 29.97, 60])
def test_videos_are_what_browsers_play_and_as_long_as_what_they_show(tmp_path, fps):
    path = write_video(gray_frames(48), tmp_path / 'a.mp4', fps)
    codec, pixels, seconds = played(path)
    assert (path.suffix, codec, pixels) == ('.mp4', 'h264', 'yuv420p')
    assert seconds == pytest.approx(48 / fps, rel=1e-3)
    # The index comes first, so that a browser need not read to the end before it can jump.
    assert 0 < path.read_bytes().find(b'moov') < path.read_bytes().find(b'mdat')


def test_without_h264_it_is_vp9(tmp_path, monkeypatch):
    monkeypatch.setattr(video, 'ENCODERS', (video.Encoder('none', '', '', ''), video.ENCODERS[-1]))
    video_encoder.cache_clear()
    try:
        path = write_video(gray_frames(10), tmp_path / 'a.mp4', 10)
        assert path == tmp_path / 'a.webm'
        assert played(path) == ('vp9', 'yuv420p', pytest.approx(1.0, abs=0.01))
        video_encoder.cache_clear()
        monkeypatch.setattr(video, 'ENCODERS', video.ENCODERS[:1])
        with pytest.raises(ValueError, match='no video for browsers: it has none of none'):
            write_video(gray_frames(10), tmp_path / 'b.mp4', 10)
    finally:
        video_encoder.cache_clear()


def test_odd_pictures_are_written(tmp_path):
    write_video(gray_frames(3, 33, 47), tmp_path / 'odd.mp4', 5)
    found, picture = cv2.VideoCapture(str(tmp_path / 'odd.mp4')).read()
    assert found and picture.shape == (34, 48, 3)


@pytest.mark.parametrize(
    ('images', 'name', 'fps', 'words'),
    [
        ([], 'a.mp4', 10, 'a.mp4: no pictures'),
        (gray_frames(1) + gray_frames(1, 50, 50), 'a.mp4', 10, r'a.mp4: .*\(50, 50, 3\)'),
        (gray_frames(2), 'a.mp4', 0, 'frames per second, got 0'),
        (gray_frames(2), 'a.avi', 10, 'a.avi: .*.mp4'),
    ],
)
def test_failed_video_leaves_nothing(tmp_path, images, name, fps, words):
    with pytest.raises(ValueError, match=words):
        write_video(images, tmp_path / name, fps)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(('frames', 'words'), [(11, '11 frames'), (13, 'more frames')])
def test_frames_and_scores_must_agree(frames, words):
    none = np.zeros(0)
    with pytest.raises(ValueError, match=words):
        list(annotate_frames(gray_frames(frames), SCORES[:12], none, np.zeros((0, 4)), none))


def test_score_plot(tmp_path):
    path = tmp_path / 'plots' / '01.png'
    plot_scores(SCORES, LABELS, path, 'video 01', raw=SCORES + 0.1, threshold=2.5)
    image = decode(path)
    assert image.shape == (420, 1200, 3)
    # 15 of 60 frames are shaded: a quarter of the axes, which fill most of the picture.
    shaded = count_color(image[100:340], np.median(image[60:340, 540:640], axis=(0, 1)))
    assert 0.2 < shaded / image[100:340, :, 0].size < 0.26

    plot_scores(SCORES, None, path, 'video 01')
    assert (decode(path) != image).any()
    plot_scores(np.ones(3), np.ones(3), path, 'constant')
    assert [item.name for item in path.parent.iterdir()] == ['01.png']


def test_time_axis(tmp_path, monkeypatch):
    """The time stands under the frames' numbers where the rate is known, and only there."""
    figures = []
    monkeypatch.setattr(plots, 'save_figure', lambda figure, path: figures.append(figure))
    plot_scores(SCORES, None, tmp_path / 'a.png', 'a', fps=12.5)
    plot_scores(SCORES, None, tmp_path / 'b.png', 'b')
    overview = VideoOverview('a', gray_frames(2), [3, 9], SCORES, fps=12.5)
    plot_overview([overview], tmp_path / 'c.png')
    timed, bare, below = (
        next(a for a in figure.findobj(Axes) if a.get_ylabel() == 'anomaly score')
        for figure in figures
    )
    for axes in (timed, below):
        assert axes.get_xlabel() == 'frame, and time (12.5 frames a second)'
        assert axes.xaxis.get_major_formatter()(50, 0) == '50\n4.0 s'
        assert axes.xaxis.get_major_formatter()(1500, 0) == '1500\n2:00'
    assert bare.get_xlabel() == 'frame'
    figures[1].draw_without_rendering()
    assert not any('\n' in label.get_text() for label in bare.get_xticklabels())


def test_times_are_written_as_people_do():
    times = (0, 4.84, 59.94, 59.96, 64, 3599.6, 7230)
    words = ['0.0 s', '4.8 s', '59.9 s', '1:00', '1:04', '1:00:00', '2:00:30']
    assert [seconds_text(time) for time in times] == words


def test_plot_errors_name_the_file_and_field(tmp_path):
    with pytest.raises(ValueError, match='labels: expected 60 frames, got 9'):
        plot_scores(SCORES, LABELS[:9], tmp_path / 'a.png', 'a')
    with pytest.raises(ValueError, match='raw: expected 60 frames, got 9'):
        plot_scores(SCORES, LABELS, tmp_path / 'a.png', 'a', raw=SCORES[:9])
    with pytest.raises(ValueError, match='a.gif.*.png'):
        plot_scores(SCORES, LABELS, tmp_path / 'a.gif', 'a')
    assert not list(tmp_path.iterdir())


def test_overview(tmp_path):
    colors = ([200, 30, 30], [30, 200, 30], [30, 30, 200])
    images = [np.full((90, 160, 3), color, dtype=np.uint8) for color in colors]
    video = VideoOverview('01', images, pick_frames(SCORES), SCORES, LABELS, threshold=2.5)
    plot_overview([video], tmp_path / 'one.png')
    plot_overview([video, video], tmp_path / 'two.png')
    one, two = decode(tmp_path / 'one.png'), decode(tmp_path / 'two.png')
    assert one.shape[1] == two.shape[1] == 1200
    assert abs(two.shape[0] - 2 * one.shape[0]) <= 1
    # The pictures lie side by side in their own colours and shape, above the curve.
    centers = []
    for color in colors:
        rows, columns = np.nonzero(np.abs(one.astype(int) - color).max(axis=2) <= 3)
        assert np.ptp(columns) / np.ptp(rows) == pytest.approx(160 / 90, abs=0.05)
        assert np.ptp(columns) > 300 and rows.max() < one.shape[0] / 2
        centers.append(columns.mean())
    assert centers == sorted(centers)


def test_overview_refuses_incomplete_videos(tmp_path):
    with pytest.raises(ValueError, match='no videos'):
        plot_overview([], tmp_path / 'a.png')
    with pytest.raises(ValueError, match="video '01'.*1 pictures and 2 indices"):
        video = VideoOverview('01', gray_frames(1), [3, 4], SCORES)
        plot_overview([video], tmp_path / 'a.png')


def test_picked_frames_span_the_scores():
    scores = np.array([5.0, 1.0, 9.0, 4.0, 7.0])
    assert pick_frames(scores) == [0, 1, 2]
    assert pick_frames(scores, 2) == [1, 2]
    assert pick_frames(np.ones(4), 4) == [0, 1, 2, 3]
    with pytest.raises(ValueError, match='2 to 5 frames, got 6'):
        pick_frames(scores, 6)


class Counting(torch.nn.Module):
    """A branch whose one local pattern is the sum of its visual tokens."""

    def tokens(self, crops: torch.Tensor) -> torch.Tensor:
        cells = crops.flatten(2).transpose(1, 2)
        return torch.cat([torch.full_like(cells[:, :1], 9.0), cells], dim=1)

    def patterns(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens.sum(dim=1, keepdim=True)


def test_heat_is_where_the_target_comes_from():
    crops = torch.zeros(1, 2, 3, 3)
    crops[0, 0, 0, 1], crops[0, 0, 2, 2], crops[0, 1, 1, 0] = 4.0, 1.0, 7.0
    heat = pattern_heatmaps(Counting(), crops, lambda patterns: patterns[:, 0, 0])
    expected = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.25]])
    torch.testing.assert_close(heat[0], expected)
    # What speaks against the target is not shown, and the other channel is another target.
    against = pattern_heatmaps(Counting(), crops, lambda patterns: -patterns[:, 0, 0])
    assert not against.any()
    other = pattern_heatmaps(Counting(), crops, lambda patterns: patterns[:, 0, 1])
    assert other[0, 1, 0] == 1 and other.sum() == 1


def test_overlaid_heat_is_red_where_it_is_high():
    heat = np.zeros((4, 4))
    heat[0, 0] = 1
    picture = overlay(np.full((32, 32, 3), 128, np.uint8), heat, size=80).astype(int)
    assert picture.shape == (80, 80, 3)
    assert picture[5, 5, 2] > picture[5, 5, 0] and picture[70, 70, 0] > picture[70, 70, 2]


def test_pictures_and_score_grids_are_drawn_whole(tmp_path):
    picture = np.zeros((40, 40, 3), np.uint8)
    picture[:] = (30, 200, 60)
    plot_pictures({'Normal': [[picture] * 3] * 4, 'Abnormal': [[picture] * 3]}, tmp_path / 'h.png')
    drawn = decode(tmp_path / 'h.png').astype(int)
    share = (np.abs(drawn - (30, 200, 60)).max(axis=2) <= 3).mean()
    assert 0.2 < share < 0.8
    labels = (np.arange(len(SCORES)) > 3).astype(int)
    videos = [VideoOverview(f'Video {n}', [], [], SCORES, labels, SCORES) for n in range(3)]
    plot_score_grid(videos, tmp_path / 'g.png')
    grid = decode(tmp_path / 'g.png')
    height, width = grid.shape[0] // 5, grid.shape[1] // 5
    corners = [
        grid[row * height : (row + 1) * height, column * width : (column + 1) * width]
        for row, column in ((1, 1), (1, 3), (3, 1), (3, 3))
    ]
    assert [bool((corner == 255).all()) for corner in corners] == [False, False, False, True]
