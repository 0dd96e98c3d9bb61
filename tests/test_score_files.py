"""Files of scores and boxes that are damaged, of other programs or hostile."""

from __future__ import annotations

import io
import json
import os
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from mutations import mutated

from mmvad.datasets.annotations import VideoAnnotation, read_annotations, write_annotations
from mmvad.evaluation.functional import Detections
from mmvad.evaluation.score_files import read_boxes, read_scores

LENGTHS = dict(a=3, b=2)
SCORES = dict(a=np.array([0.5, -1, 2]), b=np.array([3, 4.25]))
HEAD = 'video,frame,score\n'
CSV = HEAD + 'a,0,0.5\na,1,-1\na,2,2\nb,0,3\nb,1,4.25\n'
BOX_HEAD = 'video,frame,x1,y1,x2,y2,score\n'


def npy(array: np.ndarray, allow_pickle: bool = False) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=allow_pickle)
    return file.getvalue()


def npy_of(header: str, data: bytes = bytes(24), version: tuple[int, int] = (1, 0)) -> bytes:
    """A numpy file with a header of one's own."""
    length = struct.pack('<H' if version[0] == 1 else '<I', len(header))
    return b'\x93NUMPY' + bytes(version) + length + header.encode() + data


def claiming(shape: str, descr: str = "'<f8'", data: bytes = bytes(24)) -> bytes:
    return npy_of(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n", data)


def npz(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def patched(data: bytes, *changes: tuple[bytes, int, bytes]) -> bytes:
    """Other bytes at an offset from every place of a mark."""
    changed = bytearray(data)
    for mark, offset, new in changes:
        at = data.find(mark)
        while at >= 0:
            changed[at + offset : at + offset + len(new)] = new
            at = data.find(mark, at + 1)
    return bytes(changed)


@pytest.fixture
def bounded():
    """Whatever a file claims, little memory is taken: here, 64 MB."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20


def refused(path: Path, words: str, lengths=LENGTHS) -> None:
    """One line that names the file, whether the lengths are known or not."""
    for known in (None, lengths):
        with pytest.raises((ValueError, OSError), match=words) as caught:
            read_scores(path, known)
        assert path.name in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1
        assert len(str(caught.value)) < 500 + len(str(path))


def assert_scores(found: dict[str, np.ndarray]) -> None:
    assert set(found) == set(SCORES)
    for video, scores in SCORES.items():
        np.testing.assert_array_equal(found[video], scores)


class TestCsv:
    @pytest.mark.parametrize(
        'data',
        [
            pytest.param(CSV.encode('utf-8-sig'), id='byte order mark of Excel'),
            pytest.param(CSV.replace('\n', '\r\n').encode(), id='line ends of Windows'),
            pytest.param(CSV.replace('\n', '\n\n').encode(), id='empty lines'),
            pytest.param(CSV.replace('a,0', '"a","0"').encode(), id='quotes'),
        ],
    )
    def test_ways_to_write_it(self, tmp_path, data):
        (tmp_path / 's.csv').write_bytes(data)
        assert_scores(read_scores(tmp_path / 's.csv', LENGTHS))

    @pytest.mark.parametrize(
        ('text', 'words'),
        [
            ('a,1700000000000,1', 'line 2: frame 1700000000000 of video .a.: .*expected'),
            (
                'a,0,1\na,99999999,1',
                "('a': 2 .* frame 99999999, but none of frame 1|line 3: frame 99999999 of)",
            ),
            (f'a,{"9" * 5000},1', "line 2: frame: expected a number from 0 up, got '9999"),
            (f'a,{"9" * 90},1', 'line 2: frame 99999'),
            ('a,1,1\na,2,1\na,3,1', '(3 scores up to frame 3, but none of frame 0|frame 3 of)'),
            ('a,0,1\na,0,1', "line 3: frame 0 of video 'a' comes twice"),
            ('a,0.0,1', "line 2: frame: expected a number from 0 up, got '0.0'"),
            ('a,,1', "line 2: frame: .*got ''"),
            ('a,0', 'line 2: 2 columns, expected 3'),
            ('a,0,0,5', 'line 2: 4 columns, expected 3'),
            ('a,0,nan', "line 2: score: expected a finite number, got 'nan'"),
            ('a,0,1_0', "line 2: score: expected a finite number, got '1_0'"),
            ('a,0,٣', "line 2: score: expected a finite number, got '٣'"),
            ('a,٣,1', "line 2: frame: expected a number from 0 up, got '٣'"),
            ('a,0,1e999', "line 2: score: expected a finite number, got '1e999'"),
            ('a,0,1\n"a,1,1\na,2,1', 'line 3: unexpected end of data, expected CSV with quotes'),
            ('a,0,1\n"a,1,1' + 'x,' * 70000, 'line 3: field larger than field limit'),
            ('a,0,"1"2', r'line 2: .* expected after .*quotes that are closed'),
        ],
    )
    def test_lines_that_are_off_are_named(self, tmp_path, bounded, text, words):
        (tmp_path / 's.csv').write_text(HEAD + text, encoding='utf-8')
        refused(tmp_path / 's.csv', words)

    @pytest.mark.parametrize(
        ('data', 'words'),
        [
            (b'', 'no columns in its first line, expected the columns video,frame,score'),
            (b'\n' + CSV.encode(), 'no columns in its first line'),
            (CSV.replace(',', ';').encode(), 'separated by a semicolon or tab.* with commas'),
            (CSV.replace(',', '\t').encode(), 'separated by a semicolon or tab.* with commas'),
            (CSV.replace('a,', 'ä,').encode('latin-1'), r'not UTF-8: .*0xe4.*UTF-8 text'),
            (CSV.encode('utf-16'), 'not UTF-8: .*0xff.*UTF-8 text'),
            (CSV.encode('utf-16-le'), r'expected the columns .* found .*v\\x00'),
            (b'video,frame,score,score\na,0,1,2', 'a column twice'),
            (b'"video,frame,score\na,0,1', 'line 1: unexpected end of data'),
        ],
    )
    def test_files_that_are_no_such_csv(self, tmp_path, data, words):
        (tmp_path / 's.csv').write_bytes(data)
        refused(tmp_path / 's.csv', words)

    def test_what_does_not_fit_the_videos_is_told_by_line(self, tmp_path):
        (tmp_path / 's.csv').write_text(CSV + 'b,2,0\n')
        with pytest.raises(ValueError, match="line 7: frame 2 of video 'b': the video has 2 fr"):
            read_scores(tmp_path / 's.csv', LENGTHS)
        (tmp_path / 's.csv').write_text(CSV + 'c,0,0\n')
        with pytest.raises(ValueError, match="line 7: video 'c' is not in the test set"):
            read_scores(tmp_path / 's.csv', LENGTHS)


class TestJson:
    @pytest.mark.parametrize(
        ('text', 'words'),
        [
            ('[' * 100_000, 'nested too deep'),
            ('{"a": ' * 100_000, 'nested too deep'),
            ('{"a": [[[[]]]]}', r"'a', frame 0: expected a finite number, got \[\[\["),
            ('{"a": [0, 1e999]}', "video 'a', frame 1: expected a finite number, got inf"),
            ('{"a": [NaN]}', "video 'a', frame 0: .*got nan"),
            (f'{{"a": [{"9" * 5000}]}}', "video 'a', frame 0: .*got inf"),
            (f'{{"a": [{"9" * 400}]}}', "video 'a', frame 0: .*got inf"),
            ('{"a": [true]}', "video 'a', frame 0: .*got True"),
            (f'{{"a": ["{"x" * 9999}"]}}', "video 'a', frame 0: .*got 'xxx"),
            ('{"a": [1], "b": [], "a": [2]}', "key 'a' comes 2 times, expected each once"),
            ('{"a": 1}', 'expected an object with a list of scores a video'),
            ('', 'not JSON: Expecting value: line 1'),
        ],
    )
    def test_what_is_off_is_named(self, tmp_path, text, words):
        (tmp_path / 's.json').write_text(text)
        refused(tmp_path / 's.json', words)

    def test_encodings(self, tmp_path):
        text = json.dumps({video: scores.tolist() for video, scores in SCORES.items()})
        (tmp_path / 's.json').write_text(text, encoding='utf-8-sig')
        assert_scores(read_scores(tmp_path / 's.json', LENGTHS))
        for encoding in ('utf-16', 'latin-1'):
            (tmp_path / 's.json').write_text(text.replace('a', 'ä'), encoding=encoding)
            refused(tmp_path / 's.json', 's.json: not UTF-8: .* at byte')


# An array that says of itself what is not so, with the words of the refusal.
ARRAYS = {
    'much': (claiming('(1000000000000,)'), 'array of shape|not a plain numpy file'),
    'more': (claiming('(4,)'), '(array of shape|file: .*bytes, expected what its header claims)'),
    'less': (claiming('(2,)'), 'array of shape|not a plain numpy file: .* expected what'),
    'overflow': (claiming(f'({"9" * 4290},)'), 'array of shape|not a plain numpy file'),
    'negative': (claiming('(-3,)'), 'array of shape|not a plain numpy file'),
    'digits': (claiming(f'({"9" * 5000},)'), 'not a plain numpy file'),
    'not a shape': (claiming('(3.0,)'), 'not a plain numpy file: shape is not valid'),
    'flat': (claiming('()', data=bytes(8)), r'expected the shape \(F,\), one score a frame, got'),
    'wide': (npy(np.zeros((3, 1))), r'expected the shape \(F,\).*got \(3, 1\)'),
    'objects': (npy(np.array([None] * 3), True), 'expected real numbers, got dtype'),
    'pickled': (b'\x80\x04N.', 'not a plain numpy file: .*magic'),
    'empty': (b'', 'not a plain numpy file'),
    'cut': (npy(np.zeros(3))[:40], 'not a plain numpy file'),
    'complex': (npy(np.zeros(3, complex)), 'expected real numbers, got dtype'),
    'text': (npy(np.array(['1'] * 3)), 'expected real numbers, got dtype'),
    'bytes': (npy(np.array([b'1'] * 3)), 'expected real numbers, got dtype'),
    'truth': (npy(np.zeros(3, bool)), 'expected real numbers, got dtype'),
    'dates': (npy(np.zeros(3, 'M8[s]')), 'expected real numbers, got dtype'),
    'fields': (npy(np.zeros(3, 'f4,f4')), 'expected real numbers, got dtype'),
    'no type': (claiming('(3,)', "'<q9'"), 'not a plain numpy file'),
    'odd types': (claiming('(3,)', "[('a',)]"), 'not a plain numpy file'),
    'no header': (npy_of(''), 'not a plain numpy file'),
    'no literal': (npy_of("{'descr': 1 +"), 'not a plain numpy file'),
    'tokens': (npy_of('{"""'), 'not a plain numpy file'),
    'no key': (npy_of('{[]: 1}'), 'not a plain numpy file'),
    'deep': (npy_of('[' * 900), 'not a plain numpy file'),
    'long': (npy_of(' ' * 60_000), 'not a plain numpy file'),
    'version': (npy_of('', version=(9, 9)), r'not a plain numpy file: .*\(9, 9\)'),
}  # fmt: skip


class TestArrays:
    @pytest.mark.parametrize(('data', 'words'), ARRAYS.values(), ids=ARRAYS)
    def test_arrays_that_are_off_are_named(self, tmp_path, bounded, data, words):
        (tmp_path / 'raw').mkdir()
        (tmp_path / 'raw/a.npy').write_bytes(data)
        with pytest.raises(ValueError, match=f'raw/a.npy: .*({words})'):
            read_scores(tmp_path / 'raw')
        refused(tmp_path / 'raw', words)
        (tmp_path / 's.npz').write_bytes(npz({'a.npy': data}))
        refused(tmp_path / 's.npz', f"s.npz: array 'a': .*({words})")

    def test_a_sparse_file_is_not_read(self, tmp_path, bounded):
        """Its size agrees with its header, and is no more than that on disk."""
        head = claiming('(1000000000000,)', data=b'')
        (tmp_path / 'a.npy').write_bytes(head)
        os.truncate(tmp_path / 'a.npy', len(head) + 8 * 10**12)
        refused(tmp_path, 'array of shape|expected .*at most 1073741824')

    def test_a_zip_bomb_is_not_unpacked(self, tmp_path, bounded):
        with (
            zipfile.ZipFile(tmp_path / 's.npz', 'w', zipfile.ZIP_DEFLATED) as archive,
            archive.open('a.npy', 'w') as member,
        ):
            member.write(claiming(f'({1 << 24},)', data=b''))
            for _ in range(8):
                member.write(bytes(1 << 24))
        assert (tmp_path / 's.npz').stat().st_size < 1 << 20
        with pytest.raises(ValueError, match=r's.npz: array .a.: expected 3 scores.*16777216'):
            read_scores(tmp_path / 's.npz', LENGTHS)

    def test_what_the_directory_of_a_zip_claims(self, tmp_path, bounded):
        good = npz({'a.npy': npy(SCORES['a']), 'b.npy': npy(SCORES['b'])})
        path = tmp_path / 's.npz'
        path.write_bytes(good)
        assert_scores(read_scores(path, LENGTHS))
        entry = b'PK\x01\x02'
        for change, words in (
            ((entry, 24, struct.pack('<I', 1 << 31)), 'bytes when unpacked, expected at most'),
            ((entry, 24, struct.pack('<I', 8)), 'not a plain numpy file'),
            ((entry, 16, b'\0\0\0\0'), "'a': not a plain numpy file: Bad CRC-32"),
            ((entry, 10, struct.pack('<H', 14)), 'compressed by method 14'),
            ((entry, 10, struct.pack('<H', 77)), 'compressed by method 77'),
            ((entry, 8, b'\1'), 'not a plain numpy file: .*encrypted'),
            ((b'a.npy', 0, b'x.npy'), 'videos that are not in the test set|array .x.'),
            ((b'a.npy', 0, b'b.npy'), 'a second array of this name'),
            ((b'b.npy', 0, b'b.txt'), "'b.txt' is no array, expected <name>.npy"),
        ):
            path.write_bytes(patched(good, change))
            with pytest.raises(ValueError, match=f's.npz: .*({words})'):
                read_scores(path, LENGTHS)
        path.write_bytes(good[: len(good) // 2])
        refused(path, 'not a plain numpy file: File is not a zip file')
        path.write_bytes(npy(SCORES['a']))
        refused(path, 'not a plain numpy file: File is not a zip file')

    @pytest.mark.parametrize('method', [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    def test_compression_that_numpy_does_not_write(self, tmp_path, method):
        (tmp_path / 's.npz').write_bytes(npz({'a.npy': npy(SCORES['a'])}, method))
        refused(tmp_path / 's.npz', f'by method {method}, expected deflated or stored')

    def test_other_files_of_a_folder_are_passed_over(self, tmp_path):
        for video, scores in SCORES.items():
            np.save(tmp_path / f'{video}.npy', scores)
        for name in ('._a.npy', '.a.npy', 'notes.txt', 'a.npz'):
            (tmp_path / name).write_bytes(b'other')
        (tmp_path / 'raw').mkdir()
        (tmp_path / 'raw/c.npy').write_bytes(b'other')
        (tmp_path / 'c.npy').mkdir()
        assert_scores(read_scores(tmp_path, LENGTHS))
        (tmp_path / 'b.npy').unlink()
        (tmp_path / 'b.npy').symlink_to('nowhere')
        with pytest.raises(OSError, match='b.npy: cannot be read: No such file'):
            read_scores(tmp_path)
        (tmp_path / 'only').mkdir()
        (tmp_path / 'only/.a.npy').write_bytes(npy(SCORES['a']))
        refused(tmp_path / 'only', 'expected a <video>.npy for every video, found none')

    def test_names_with_folders_in_them(self, tmp_path):
        lengths = {'S/a': 3, 'b': 2}
        for folder in ('S', 'raw/S', '.cache/S'):
            (tmp_path / folder).mkdir(parents=True)
            np.save(tmp_path / folder / 'a.npy', SCORES['a'])
        np.save(tmp_path / 'b.npy', SCORES['b'])
        assert {v: len(found) for v, found in read_scores(tmp_path, lengths).items()} == lengths
        np.savez(tmp_path / 'S/a.npz', frames=[2], boxes=np.array([[0, 0, 4, 5]]), score=[1])
        found = read_boxes(tmp_path, list(lengths), lengths=lengths)
        assert (found.videos.tolist(), found.frames.tolist()) == ([0], [2])
        with pytest.raises(ValueError, match=r"not in the test set: \['S/a.npz'\]"):
            read_boxes(tmp_path, ['a', 'b'])
        with pytest.raises(ValueError, match="not in the test set: .'S/a'"):
            read_scores(tmp_path, LENGTHS)

    def test_integers_and_half_floats_are_numbers(self, tmp_path):
        for dtype in ('<i2', '>i8', 'u1', '<f2', '>f4', np.longdouble):
            np.savez(tmp_path / 's.npz', a=np.arange(3).astype(dtype))
            assert read_scores(tmp_path / 's.npz', LENGTHS)['a'].tolist() == [0, 1, 2]


class TestBoxes:
    @pytest.mark.parametrize(
        ('line', 'words'),
        [
            ('a,3,0,0,1,1,1', "line 2: frame 3 of video 'a': the video has 3 frames"),
            ('a,1700000000000,0,0,1,1,1', 'line 2: frame 1700000000000 .* the video has 3 frames'),
            ('a,0,0,0,1,1', 'line 2: 6 columns, expected 7'),
            ('a,0,0,0,inf,1,1', "line 2: x2: expected a finite number, got 'inf'"),
            ('a,0,0,0,0,1,1', 'b.csv: boxes: .*'),
        ],
    )
    def test_lines_that_are_off_are_named(self, tmp_path, line, words):
        (tmp_path / 'b.csv').write_text(BOX_HEAD + line)
        with pytest.raises(ValueError, match=words):
            read_boxes(tmp_path / 'b.csv', list(LENGTHS), lengths=LENGTHS)

    def test_without_lengths_frames_stay_numbers_of_frames(self, tmp_path):
        (tmp_path / 'b.csv').write_text(f'{BOX_HEAD}a,{10**20},0,0,1,1,1')
        with pytest.raises(ValueError, match='line 2: frame 1000.*expected less than 100000000'):
            read_boxes(tmp_path / 'b.csv', ['a'])

    @pytest.mark.parametrize(
        ('changes', 'words'),
        [
            (dict(frames=np.array([0, 3])), 'row 1: frame 3, expected 0 to 2'),
            (dict(frames=np.array([0, -1])), 'row 1: frame -1, expected 0 to 2'),
            (dict(frames=np.array([0, 0.5])), 'row 1: frame 0.5, expected 0 to 2'),
            (dict(frames=np.array([np.nan, 0])), 'row 0: frame nan, expected 0 to 2'),
            (dict(frames=np.array([0, 2**64 - 1], np.uint64)), 'row 1: frame 18446744073709551615'),
            (dict(boxes=np.zeros(8)), r"array 'boxes': expected the shape \(n, 4\)"),
            (dict(boxes=np.zeros((2, 3))), r'boxes \(n, 4\) .* got \(2,\), \(2, 3\)'),
            (dict(boxes=np.zeros((2, 4), complex)), "array 'boxes': expected real numbers"),
            (dict(score=np.zeros(3)), r'got \(2,\), \(2, 4\) and \(3,\)'),
            (dict(score=np.array([np.nan, 0])), 'scores'),
        ],
    )
    def test_arrays_that_are_off_are_named(self, tmp_path, changes, words):
        good = dict(frames=np.array([0, 2]), boxes=np.array([[0, 0, 4, 5.0]] * 2), score=np.ones(2))
        np.savez(tmp_path / 'a.npz', **good)
        (tmp_path / '._a.npz').write_bytes(b'of macOS')
        found = read_boxes(tmp_path, list(LENGTHS), lengths=LENGTHS)
        assert found.frames.tolist() == [0, 2]
        np.savez(tmp_path / 'a.npz', **{**good, **changes})
        with pytest.raises(ValueError, match=words) as caught:
            read_boxes(tmp_path, list(LENGTHS), lengths=LENGTHS)
        assert str(tmp_path) in str(caught.value)

    def test_a_video_without_boxes_may_have_a_file(self, tmp_path):
        nothing = dict(frames=np.array([]), boxes=np.zeros((0, 4)), score=np.array([]))
        np.savez(tmp_path / 'a.npz', **nothing)
        assert len(read_boxes(tmp_path, list(LENGTHS), lengths=LENGTHS).frames) == 0

    def test_other_files_are_refused(self, tmp_path):
        (tmp_path / 'b.txt').write_text('')
        with pytest.raises(
            ValueError, match='b.txt: expected a folder of .npz or .txt files or a .csv'
        ):
            read_boxes(tmp_path / 'b.txt', ['a'])
        with pytest.raises(FileNotFoundError, match='none.csv: no such file or folder of boxes'):
            read_boxes(tmp_path / 'none.csv', ['a'])


class TestAnnotations:
    VIDEO = dict(video='a', path='a', num_frames=9)
    META = dict(dataset='d', split='s', ground_truth='g')

    def text(self, **changes) -> str:
        return json.dumps(dict(metainfo=self.META, data_list=[{**self.VIDEO, **changes}]))

    @pytest.mark.parametrize(
        ('data', 'words'),
        [
            (b'[' * 100_000, 'not JSON: '),
            (b'{"metainfo": ' + b'9' * 5000 + b'}', 'not JSON: '),
            (b'\xff\xfe', 'not UTF-8: .* at byte 0'),
        ],
    )
    def test_files_that_are_off_are_named(self, tmp_path, data, words):
        (tmp_path / 'd.json').write_bytes(data)
        with pytest.raises(ValueError, match=f'd.json: {words}'):
            read_annotations(tmp_path / 'd.json')

    def test_a_folder_is_named(self, tmp_path):
        with pytest.raises(OSError, match=f'^{tmp_path}: cannot be read: '):
            read_annotations(tmp_path)

    def test_a_byte_order_mark_is_passed_over(self, tmp_path):
        (tmp_path / 'd.json').write_text(self.text(), encoding='utf-8-sig')
        assert read_annotations(tmp_path / 'd.json')[1] == [VideoAnnotation(**self.VIDEO)]

    @pytest.mark.parametrize(
        ('changes', 'words'),
        [
            (dict(num_frames=10**12), r'\(a\): num_frames: expected at most 100000000, got 1000'),
            (
                dict(intervals=[[5, 3], 7]),
                r'intervals: expected ascending .* got .*\[5, 3\] after 0',
            ),
        ],
    )
    def test_entries_that_are_off_are_named(self, tmp_path, changes, words):
        (tmp_path / 'd.json').write_text(self.text(**changes))
        with pytest.raises(ValueError, match=words):
            read_annotations(tmp_path / 'd.json')

    def test_many_videos_are_compared_at_once(self, tmp_path):
        videos = [VideoAnnotation(f'{n}', 'a', 1) for n in range(20_000)]
        with pytest.raises(ValueError, match=r"videos named twice: \['7'\]"):
            write_annotations(tmp_path / 'd.json', self.META, [*videos, videos[7]])


VALID = {
    'a.npy': npy(SCORES['a']),
    's.npz': npz({f'{video}.npy': npy(scores) for video, scores in SCORES.items()}),
    'stored.npz': npz({'a.npy': npy(SCORES['a'])}, zipfile.ZIP_STORED),
    's.csv': CSV.encode(),
    's.json': b'{"a": [0.5, -1, 2], "b": [3, 4.25]}',
}
BOXES = {
    'b.csv': (BOX_HEAD + 'a,0,0,0,4,5,0.5\nb,1,1,1,3,9.5,2\n').encode(),
    'a.npz': npz(
        {
            'frames.npy': npy(np.array([0, 2])),
            'boxes.npy': npy(np.array([[0, 0, 4, 5.0]] * 2)),
            'score.npy': npy(np.ones(2)),
        }
    ),
}


@pytest.mark.parametrize('name', VALID)
def test_damaged_scores_are_refused_or_numbers(name, tmp_path_factory):
    folder = tmp_path_factory.mktemp('damaged')
    path = folder / name

    @settings(max_examples=150, deadline=None)
    @given(mutated(VALID[name]))
    def check(data: bytes) -> None:
        path.write_bytes(data)
        for lengths in (None, LENGTHS):
            try:
                found = read_scores(folder if name == 'a.npy' else path, lengths)
            except (ValueError, OSError) as error:
                assert name in str(error)
                assert len(str(error).splitlines()) == 1
                continue
            for scores in found.values():
                assert scores.ndim == 1 and scores.dtype.kind in 'fiu'

    check()


@pytest.mark.parametrize('name', BOXES)
def test_damaged_boxes_are_refused_or_numbers(name, tmp_path_factory):
    folder = tmp_path_factory.mktemp('damaged')

    @settings(max_examples=150, deadline=None)
    @given(mutated(BOXES[name]))
    def check(data: bytes) -> None:
        (folder / name).write_bytes(data)
        for lengths in (None, LENGTHS):
            try:
                path = folder if name == 'a.npz' else folder / name
                found = read_boxes(path, list(LENGTHS), lengths=lengths)
            except (ValueError, OSError) as error:
                assert name in str(error)
                assert len(str(error).splitlines()) == 1
                continue
            assert isinstance(found, Detections)

    check()
