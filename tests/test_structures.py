"""Object tubes and what they are, whole-file writes, stage folders, safe checkpoints."""

import json
import os
import shutil

import numpy as np
import pytest
import torch

from mmvad.structures import (
    FileDigests,
    ObjectTubes,
    StageFolder,
    TubeSpec,
    atomic_path,
    captions_path,
    digest,
    file_digest,
    load_fitting_weights,
    measurement_path,
    read_checkpoint,
    read_weights,
    tubes_path,
    weights_digest,
)


def tubes(frames=(5, 5, 8), num_frames=10) -> ObjectTubes:
    boxes = np.tile(np.array([[1, 2, 11, 12]], np.float32), (len(frames), 1))
    return ObjectTubes(boxes, boxes + 0.5, np.array(frames, np.int32), num_frames, (20, 30))


def test_tubes_round_trip_and_lookup(tmp_path):
    tubes().save(tmp_path / 'a.npz')
    back = ObjectTubes.load(tmp_path / 'a.npz')
    np.testing.assert_array_equal(back.objects, tubes().objects)
    assert (back.num_frames, back.frame_shape, len(back)) == (10, (20, 30), 3)
    assert (back.at(5), back.at(6), back.at(8)) == (slice(0, 2), slice(2, 2), slice(2, 3))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(boxes=np.zeros((2, 4), np.float32)), r'ObjectTubes.boxes: expected shape \(3, 4\)'),
        (dict(objects=np.zeros((3, 4), np.float32)), 'ObjectTubes.objects: expected x1 < x2'),
        (dict(frames=np.array([8, 5, 5])), 'ObjectTubes.frames: expected ascending'),
        (dict(num_frames=8), r'ObjectTubes.frames: expected frames in \[0, 8\)'),
    ],
)
def test_tubes_name_the_field_that_is_off(change, message):
    with pytest.raises(ValueError, match=message):
        ObjectTubes(**{**vars(tubes()), **change})


class TestTubeSpec:
    def test_what_follows_from_it(self):
        plain = TubeSpec()
        assert (plain.window, plain.horizon, plain.steps, plain.first_scored) == (5, 1, 6, 5)
        assert (plain.channels, plain.crop_size, plain.strides) == (3, None, (1,))
        flow = dict(type='ComputeTubeFlow')
        flow = TubeSpec.of(dict(window=4, horizon=3, crop_size=32, flow=flow, strides=[1, 3]))
        assert (flow.steps, flow.first_scored, flow.channels) == (7, 6, 5)
        assert (flow.crop_size, flow.strides) == ((32, 32), (1, 3))
        assert TubeSpec(crop_size=[24, 32]).crop_size == (24, 32)

    @pytest.mark.parametrize(
        ('settings', 'words'),
        [
            (dict(window=0), r'model.tube.window: expected a whole number >= 1, got 0'),
            (dict(window=2.5), r'model.tube.window: expected a whole number >= 1, got 2.5'),
            (dict(horizon=-1), r'model.tube.horizon: expected a whole number >= 1, got -1'),
            (dict(horizon='1'), r"model.tube.horizon: expected a whole number >= 1, got '1'"),
            (dict(strides=()), r'model.tube.strides: expected whole numbers >= 1, got \(\)'),
            (dict(strides=(1, 0)), r'model.tube.strides: expected whole numbers >= 1, got \(1, 0'),
            (dict(strides=(1, 2, 2)), r'model.tube.strides: \(1, 2, 2\) names a stride twice'),
            (dict(crop_size=7), r'model.tube.crop_size: expected .* whole numbers >= 8.*got 7'),
            (dict(crop_size=(32, 32, 3)), r'model.tube.crop_size: expected one or two'),
            (dict(crop_size=(32, 16.5)), r'model.tube.crop_size: .*got \(32, 16.5\)'),
            (dict(flow=dict(pairs=2)), 'model.tube.flow.type: missing; expected a transform'),
            (dict(windw=5), r"model.tube.windw: no such field; did you mean 'window'"),
            (dict(colour=1), r"model.tube.colour: no such field; there are \['window'"),
        ],
    )
    def test_values_out_of_range_and_unknown_fields_are_named(self, settings, words):
        with pytest.raises(ValueError, match=words):
            TubeSpec.of(settings)


def test_every_file_of_a_video_has_one_name(tmp_path):
    assert tubes_path(tmp_path, '01') == tmp_path / '01.npz'
    assert captions_path(tmp_path, '01') == tmp_path / '01.jsonl'
    assert captions_path(tmp_path, '01', 3) == tmp_path / 'stride_3' / '01.jsonl'
    assert measurement_path(tmp_path, 'patterns', '01') == tmp_path / 'patterns' / '01.npy'


def test_files_that_are_no_proposals_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='nothing.npz: no such proposals'):
        ObjectTubes.load(tmp_path / 'nothing.npz')
    np.savez(tmp_path / 'other.npz', boxes=np.zeros((0, 4)))
    with pytest.raises(ValueError, match="other.npz: no array named 'objects'"):
        ObjectTubes.load(tmp_path / 'other.npz')
    np.savez(tmp_path / 'pickled.npz', boxes=np.array([object()], dtype=object))
    with pytest.raises(ValueError, match='pickled.npz'):
        ObjectTubes.load(tmp_path / 'pickled.npz')


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / 'file.txt'
    path.write_text('old')
    with pytest.raises(RuntimeError), atomic_path(path) as tmp:
        tmp.write_text('half')
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ['file.txt']
    assert path.read_text() == 'old'
    with atomic_path(path) as tmp:
        tmp.write_text('new')
    assert [p.read_text() for p in tmp_path.iterdir()] == ['new']


def test_stage_folders_keep_what_fits_and_move_the_rest_aside(tmp_path):
    folder = StageFolder(tmp_path / 'stage', 'a')
    assert not folder.complete
    assert folder.open() is None
    (folder.path / 'part').write_text('1')
    # A run of the same settings that was interrupted finds its parts.
    again = StageFolder(tmp_path / 'stage', 'a')
    assert again.open() is None and (again.path / 'part').exists()
    again.finish(checkpoint='x')
    assert again.complete and again.record['checkpoint'] == 'x'
    # Other settings do not trust them, and lose nothing.
    other = StageFolder(tmp_path / 'stage', 'b')
    assert not other.complete
    stale = other.open()
    assert (stale / 'part').read_text() == '1' and not (other.path / 'part').exists()


def test_what_no_stage_made_is_never_removed(tmp_path):
    path = tmp_path / 'stage'
    path.mkdir()
    (path / 'mine').write_text('by hand')
    for number, key in enumerate('abcd'):
        StageFolder(path, key).open()
        (path / 'part').write_text(str(number))
    assert (tmp_path / 'stage.stale/mine').read_text() == 'by hand'
    # What stages leave takes one more place, not ever more.
    assert (tmp_path / 'stage.stale.1/part').read_text() == '2'
    assert not (tmp_path / 'stage.stale.2').exists()


def test_output_beside_the_folder_is_moved_aside_with_it(tmp_path):
    model = tmp_path / 'model.pth'
    for key in 'ab':
        folder = StageFolder(tmp_path / 'stage', key, leaves=('../model.pth',))
        folder.open()
        assert not model.exists()
        model.write_text(key)
        folder.finish()
        assert folder.complete
    assert (tmp_path / 'stage.stale/model.pth').read_text() == 'a'
    # What is there before the stage ever ran is somebody's.
    shutil.rmtree(tmp_path / 'stage')
    stale = StageFolder(tmp_path / 'stage', 'c', leaves=('../model.pth',)).open()
    assert (stale / 'model.pth').read_text() == 'b' and stale.name == 'stage.stale.1'


def test_interrupted_time_is_counted(tmp_path):
    folder = StageFolder(tmp_path / 'stage', 'a')
    folder.open()
    manifest = folder.path / 'manifest.json'
    manifest.write_text(json.dumps(dict(json.loads(manifest.read_text()), seconds=100.0)))
    again = StageFolder(tmp_path / 'stage', 'a')
    again.open()
    again.finish()
    assert 100 <= again.record['seconds'] < 110


def finished(path, **kwargs) -> StageFolder:
    folder = StageFolder(path, 'a', **kwargs)
    folder.open()
    (folder.path / 'part.npy').write_bytes(b'1234')
    (folder.path / 'notes.txt').write_text('of no account')
    folder.finish()
    return folder


def test_a_stage_whose_files_changed_is_not_complete(tmp_path):
    folder = finished(tmp_path / 'stage', leaves=('*.npy',))
    part, content = folder.path / 'part.npy', folder.content
    assert folder.complete and folder.damaged == []
    # Files that are not its output do not count, nor does the time of a change alone.
    (folder.path / 'notes.txt').unlink()
    os.utime(part, (1, 1))
    assert folder.complete and folder.content == content
    for change in (lambda: part.write_bytes(b'4321'), lambda: part.write_bytes(b'12'), part.unlink):
        change()
        assert folder.finished and not folder.complete and folder.damaged == [part]
    # What is made again starts without the files that are not as they were.
    part.write_bytes(b'12')
    assert folder.open() is None and not part.exists()


def test_large_output_counts_as_what_made_it_and_edited_output_as_what_it_holds_now(tmp_path):
    large = finished(tmp_path / 'large', hashed=False)
    part = large.path / 'part.npy'
    assert large.content == large.key
    os.utime(part, (1, 1))
    assert large.complete
    for held in (b'12', b'1235'):
        part.write_bytes(held)
        assert large.damaged == [part]

    edited = finished(tmp_path / 'edited', editable=True)
    before = edited.content
    (edited.path / 'part.npy').write_bytes(b'other')
    assert edited.complete and edited.content != before
    (edited.path / 'part.npy').unlink()
    assert not edited.complete


def test_a_folder_without_a_manifest_that_can_be_read_is_not_trusted(tmp_path):
    folder = finished(tmp_path / 'stage')
    (folder.path / 'manifest.json').write_text('{"key": "a", ')
    assert not folder.complete and folder.record == {}
    assert (folder.open() / 'part.npy').exists()


def test_digest_depends_on_settings():
    first = digest(dict(b=1, a=(2, 3)), 'f')
    assert first == digest(dict(a=[2, 3], b=1), 'f')
    assert first != digest(dict(a=[2, 4], b=1), 'f')
    assert first != digest(dict(b=1, a=(2, 3)), 'g')


def test_file_digests_depend_on_contents(tmp_path):
    file, other = tmp_path / 'f', tmp_path / 'g'
    file.write_text('1')
    other.write_text('2')
    assert file_digest(file) != file_digest(other)
    digests = FileDigests(tmp_path / 'cache.json')
    first = digests.of([file, other])
    assert first != digests.of([other, file]) and first != digests.of([file])
    file.write_text('2')
    assert first != FileDigests(tmp_path / 'cache.json').of([file, other])
    file.write_text('1')
    os.utime(file, (1, 1))
    assert first == FileDigests(tmp_path / 'cache.json').of([file, other])
    # What is remembered saves reading, and a cache that is damaged costs no more than that.
    (tmp_path / 'cache.json').write_text('{')
    assert first == FileDigests(tmp_path / 'cache.json').of([file, other])
    with pytest.raises(FileNotFoundError):
        digests.of([tmp_path / 'none'])


def test_files_that_look_the_same_are_read_once(tmp_path, monkeypatch):
    read = []
    real = file_digest
    monkeypatch.setattr(
        'mmvad.structures.files.file_digest', lambda path: read.append(path) or real(path)
    )
    file = tmp_path / 'f'
    file.write_text('1')
    for _ in range(3):
        FileDigests(tmp_path / 'cache.json').of([file])
    assert read == [file]


def test_a_copy_that_keeps_the_time_of_change_is_seen(tmp_path):
    """As `cp -p`, `rsync` and archives of packages do, whose files may all have the same time."""
    file, other = tmp_path / 'w.pth', tmp_path / 'other.pth'
    file.write_text('old weights')
    other.write_text('new weights')
    for path in (file, other):
        os.utime(path, (1e9, 1e9))
    digests = FileDigests(tmp_path / 'cache.json')
    before = digests.of([file])
    shutil.copy2(other, file)
    assert file.stat().st_mtime == 1e9
    assert digests.of([file]) != before
    file.write_text('old weights')
    file.touch()
    assert FileDigests(tmp_path / 'cache.json').of([file]) == before


def test_weights_must_fit(tmp_path):
    path = tmp_path / 'w.pth'
    model = torch.nn.Linear(2, 3)
    torch.save(dict(state_dict=model.state_dict()), path)
    load_fitting_weights(torch.nn.Linear(2, 3), read_weights(path), path)
    with pytest.raises(ValueError, match=r'w.pth: made by another config.*weight \(3, 2\)'):
        load_fitting_weights(torch.nn.Linear(4, 3), read_weights(path), path)
    with pytest.raises(ValueError, match='1 left over'):
        load_fitting_weights(torch.nn.Linear(2, 3, bias=False), read_weights(path), path)
    bare = torch.nn.Linear(2, 3, bias=False)
    load_fitting_weights(bare, read_weights(path), path, ignored=['bias'])
    assert bare.weight.equal(model.weight)
    with pytest.raises(ValueError, match='1 weights missing'):
        load_fitting_weights(model, bare.state_dict(), path)


def test_weights_are_told_apart_by_names_and_values():
    state = dict(a=torch.ones(2), b=torch.zeros(2))
    assert weights_digest(state) == weights_digest(dict(b=torch.zeros(2), a=torch.ones(2)))
    assert weights_digest(state) != weights_digest(dict(b=torch.ones(2), a=torch.zeros(2)))


def test_checkpoints_hold_weights_or_are_refused(tmp_path):
    path = tmp_path / 'w.pth'
    torch.save(dict(weight=torch.ones(2)), path)
    assert read_checkpoint(path)['state_dict']['weight'].equal(torch.ones(2))
    torch.save(dict(state_dict=dict(weight=torch.ones(2)), meta=dict(seed=3)), path)
    assert read_checkpoint(path)['meta'] == dict(seed=3)
    for content in (dict(state_dict={}), dict(epoch=3), [torch.ones(2)]):
        torch.save(content, path)
        with pytest.raises(ValueError, match='w.pth: expected a checkpoint'):
            read_checkpoint(path)
    path.write_bytes(b'no checkpoint')
    with pytest.raises(ValueError, match='w.pth: cannot be loaded as plain weights'):
        read_checkpoint(path)


def test_unsafe_checkpoints_are_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ('code ran',))

    path = tmp_path / 'evil.pth'
    torch.save(dict(state_dict=Evil()), path)
    with pytest.raises(ValueError, match='evil.pth: cannot be loaded .*trust its .*convert it'):
        read_weights(path)
    with pytest.raises(FileNotFoundError, match='none.pth'):
        read_weights(tmp_path / 'none.pth')
