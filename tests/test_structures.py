"""Object tubes, whole-file writes, stage folders, safe checkpoints."""

import json

import numpy as np
import pytest
import torch

from mmvad.structures import (
    ObjectTubes,
    StageFolder,
    atomic_path,
    digest,
    load_fitting_weights,
    read_weights,
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


def test_files_that_are_no_proposals_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='nothing.npz: no such proposals'):
        ObjectTubes.load(tmp_path / 'nothing.npz')
    np.savez(tmp_path / 'other.npz', boxes=np.zeros((0, 4)))
    with pytest.raises(ValueError, match='other.npz: not a proposals file.*objects'):
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


def test_interrupted_time_is_counted(tmp_path):
    folder = StageFolder(tmp_path / 'stage', 'a')
    folder.open()
    manifest = folder.path / 'manifest.json'
    manifest.write_text(json.dumps(dict(json.loads(manifest.read_text()), seconds=100.0)))
    again = StageFolder(tmp_path / 'stage', 'a')
    again.open()
    again.finish()
    assert 100 <= again.record['seconds'] < 110


def test_digest_depends_on_settings_and_file_contents(tmp_path):
    file = tmp_path / 'f'
    file.write_text('1')
    first = digest(dict(b=1, a=(2, 3)), file)
    assert first == digest(dict(a=[2, 3], b=1), file)
    assert first != digest(dict(a=[2, 4], b=1), file)
    file.write_text('2')
    assert first != digest(dict(b=1, a=(2, 3)), file)


def test_weights_must_fit(tmp_path):
    path = tmp_path / 'w.pth'
    model = torch.nn.Linear(2, 3)
    torch.save(dict(state_dict=model.state_dict()), path)
    load_fitting_weights(torch.nn.Linear(2, 3), read_weights(path), path)
    with pytest.raises(ValueError, match=r'w.pth: made by another config.*weight \(3, 2\)'):
        load_fitting_weights(torch.nn.Linear(4, 3), read_weights(path), path)
    with pytest.raises(ValueError, match='1 left over'):
        load_fitting_weights(torch.nn.Linear(2, 3, bias=False), read_weights(path), path)


def test_unsafe_checkpoints_are_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ('code ran',))

    path = tmp_path / 'evil.pth'
    torch.save(dict(state_dict=Evil()), path)
    with pytest.raises(ValueError, match='evil.pth: cannot be loaded as plain weights'):
        read_weights(path)
    with pytest.raises(FileNotFoundError, match='none.pth'):
        read_weights(tmp_path / 'none.pth')
