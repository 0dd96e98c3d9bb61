"""The whole job on a tiny plaza: stages, resuming after SIGKILL, bad input."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import REPO, TINY_PLAZA, tiny_config
from mmengine.config import Config

from mmvad.datasets.transforms import LoadTubeFrames
from mmvad.registry import RUNNERS
from mmvad.structures import ObjectTubes


def train(cfg: Config) -> dict:
    return RUNNERS.build(cfg).train()


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    """A copy of the finished work dir, to be written to."""
    return Path(shutil.copytree(finished, tmp_path / 'copy'))


def figures(work_dir: Path) -> dict:
    metrics = json.loads((work_dir / 'metrics.json').read_text())
    metrics.pop('seconds')
    metrics.pop('protocol')
    return metrics


class TestWholeRun:
    def test_leaves_what_it_promises(self, finished, plaza):
        metrics = json.loads((finished / 'metrics.json').read_text())
        assert metrics['frames'] == 80 and metrics['videos'] == 2
        assert 0 < metrics['abnormal_frames'] < 80
        assert 0 <= metrics['auc/micro'] <= 100
        assert {
            'auc/micro_raw',
            'auc/macro',
            'ap/step',
            'rbdc',
            'tbdc_raw',
            'auc_smm/micro',
        } <= set(metrics)
        assert metrics['protocol']['ground_truth'].endswith('testing/test_frame_mask')
        areas = []
        for path in sorted((plaza / 'testing/test_pixel_mask').glob('*.npy')):
            for mask in np.load(path):
                stats = cv2.connectedComponentsWithStats(mask, connectivity=8)[2]
                areas += stats[1:, cv2.CC_STAT_AREA].tolist()
        regions = metrics['protocol']['regions']
        assert regions['min_region_area'] == 10
        assert regions['specks'] == sum(area < 10 for area in areas) > 0
        assert regions['regions'] == sum(area >= 10 for area in areas)
        assert len((finished / 'videos.csv').read_text().splitlines()) == 3
        stages = {'tubes', 'captions', 'spatial', 'features', 'temporal', 'calibrate', 'test'}
        assert set(metrics['seconds']) == stages
        assert all(seconds > 0 for seconds in metrics['seconds'].values())
        for video in ('00', '01'):
            scores = np.load(finished / 'scores' / f'{video}.npy', allow_pickle=False)
            assert scores.shape == (40,) and np.isfinite(scores).all()
            assert (finished / 'plots' / f'{video}.png').stat().st_size > 1000
        assert len(list((finished / 'annotated').glob('*.mp4'))) == 1
        assert not list(finished.rglob('.*tmp*'))

    def test_features_have_the_shape_of_the_flow(self, finished):
        tubes = ObjectTubes.load(finished / 'proposals/testing/00.npz')
        folder = finished / 'features/testing'
        features = np.load(folder / 'patterns/00.npy', allow_pickle=False)
        assert features.shape == (len(tubes), 6, 2, 8, 64) and features.dtype == np.float16
        assert tubes.frames.min() >= 5
        attributes = np.load(folder / 'attributes/00.npy', allow_pickle=False)
        assert attributes.shape == (len(tubes), 5) and attributes.dtype == np.float32

    def test_a_tube_keeps_its_number(self, finished):
        tubes = ObjectTubes.load(finished / 'proposals/testing/00.npz')
        with np.load(finished / 'objects/00.npz', allow_pickle=False) as objects:
            np.testing.assert_array_equal(objects['tubes'], np.arange(len(tubes)))
            np.testing.assert_array_equal(objects['frames'], tubes.frames)
            np.testing.assert_array_equal(objects['boxes'], tubes.objects)

    def test_the_log_holds_the_diagnostics(self, finished):
        log = '\n'.join(path.read_text() for path in finished.rglob('*.log'))
        for name in ('err_over_copy', 'err_over_mean', 'fused_std', 'acc_action', 'auc/micro'):
            assert name in log

    def test_training_losses_fall(self, plaza, tmp_path):
        cfg = tiny_config(
            plaza,
            tmp_path / 'run',
            **{
                'stages.spatial.train_dataloader.sampler.num_samples': 64,
                'stages.spatial.train_cfg.max_epochs': 4,
                'stages.temporal.train_cfg.max_epochs': 20,
            },
        )
        cfg.test_dataset = None
        train(cfg)
        for stage in ('spatial', 'temporal'):
            lines = []
            for path in sorted((tmp_path / 'run' / stage).rglob('scalars.json')):
                lines += [json.loads(line) for line in path.read_text().splitlines()]
            losses = [line['loss'] for line in lines if 'loss' in line]
            third = len(losses) // 3
            assert np.mean(losses[-third:]) < 0.95 * np.mean(losses[:third]), stage

    def test_a_second_run_repeats_no_stage(self, finished, plaza):
        stamps = {p: p.stat().st_mtime_ns for p in finished.rglob('*.pth')}
        stamps |= {p: p.stat().st_mtime_ns for p in (finished / 'features').rglob('*.npy')}
        before = figures(finished)
        train(tiny_config(plaza, finished))
        assert {p: p.stat().st_mtime_ns for p in stamps} == stamps
        assert not list(finished.rglob('*.stale'))
        assert figures(finished) == before

    def test_other_settings_redo_what_depends_on_them(self, copied, plaza):
        spatial = (copied / 'spatial/epoch_2.pth').stat().st_mtime_ns
        train(tiny_config(plaza, copied, **{'model.temporal.smm.drive': 'per_component'}))
        assert (copied / 'spatial/epoch_2.pth').stat().st_mtime_ns == spatial
        assert (copied / 'temporal.stale').is_dir()
        # The seconds are those of what is there, not of what was moved aside.
        metrics = json.loads((copied / 'metrics.json').read_text())
        kept = json.loads((copied / 'temporal/manifest.json').read_text())['seconds']
        assert metrics['seconds']['temporal'] == pytest.approx(kept, abs=0.1)

    def test_a_moved_work_dir_goes_on(self, copied, finished, plaza, tmp_path):
        """It needs nothing of where it was, and repeats no stage."""
        moved = shutil.move(copied, tmp_path / 'moved')
        (moved / 'temporal/temporal.pth').unlink()
        spatial = (moved / 'spatial/branches.pth').stat().st_mtime_ns
        train(tiny_config(plaza, moved))
        assert (moved / 'spatial/branches.pth').stat().st_mtime_ns == spatial
        assert figures(moved) == figures(finished)

    def test_a_copy_resumes_from_its_own_checkpoint(self, copied, plaza, tmp_path):
        """MMEngine notes absolute paths; the original's are not followed."""
        other = Path(shutil.copytree(copied, tmp_path / 'other'))
        shutil.rmtree(copied)
        (other / 'spatial/branches.pth').unlink()
        train(tiny_config(plaza, other))
        log = '\n'.join(path.read_text() for path in (other / 'spatial').rglob('*.log'))
        assert 'resumed epoch: 2' in log and str(other / 'spatial/epoch_2.pth') in log

    @pytest.mark.parametrize('change', ['gone', 'cut', 'altered'])
    def test_files_that_are_not_what_they_were_are_made_again(
        self, finished, copied, plaza, change
    ):
        file = copied / 'proposals/testing/01.npz'
        whole = file.read_bytes()
        if change == 'gone':
            file.unlink()
        else:
            cut = whole[: len(whole) // 2]
            file.write_bytes(cut if change == 'cut' else cut + bytes(len(whole) - len(cut)))
        train(tiny_config(plaza, copied))
        assert ObjectTubes.load(file).frames.size and figures(copied) == figures(finished)
        log = '\n'.join(path.read_text() for path in copied.glob('*.log'))
        assert '01.npz and 0 other files are gone or not what they were' in log

    def test_other_videos_of_the_same_names_and_lengths(self, finished, copied, plaza, tmp_path):
        data = Path(shutil.copytree(plaza, tmp_path / 'plaza'))
        folders = data / 'testing/frames/00', data / 'testing/frames/01'
        for first, second in zip(*(sorted(folder.iterdir()) for folder in folders), strict=True):
            held = first.read_bytes()
            first.write_bytes(second.read_bytes())
            second.write_bytes(held)
        scores = np.load(copied / 'scores/00.npy', allow_pickle=False)
        train(tiny_config(data, copied))
        assert (copied / 'proposals/testing.stale').is_dir()
        swapped = np.load(copied / 'scores/00.npy', allow_pickle=False)
        assert np.abs(swapped - scores).max() > 0.1

    def test_frames_that_only_look_newer_change_nothing(self, copied, plaza, tmp_path):
        data = Path(shutil.copytree(plaza, tmp_path / 'plaza'))
        for path in data.rglob('*.jpg'):
            path.touch()
        train(tiny_config(data, copied))
        assert not list(copied.rglob('*.stale'))

    def test_other_strides_make_captions_anew(self, finished, plaza, tmp_path):
        work_dir = tmp_path / 'copy'
        work_dir.mkdir()
        subprocess.run(
            ['cp', '-r', finished / 'proposals', finished / 'captions', work_dir], check=True
        )
        captions = work_dir / 'captions'

        def made(**options) -> dict[Path, int]:
            train(tiny_config(plaza, work_dir, stage='captions', **options))
            return {
                path.relative_to(captions): path.stat().st_mtime_ns
                for path in captions.rglob('*.jsonl')
            }

        before = made()
        assert {path.parent.name for path in before} == {'', 'stride_3'}
        assert made() == before and not (work_dir / 'captions.stale').exists()
        after = made(**{'model.tube.strides': (1, 2)})
        assert {path.parent.name for path in after} == {'', 'stride_2'}
        kept = before.keys() & after.keys()
        assert kept and all(after[path] != before[path] for path in kept)
        assert (work_dir / 'captions.stale/stride_3/00.jsonl').is_file()

    def test_training_draws_the_strides_that_have_captions(
        self, finished, plaza, tmp_path, monkeypatch
    ):
        subprocess.run(
            ['cp', '-r', finished / 'proposals', finished / 'captions', tmp_path], check=True
        )
        load, strides = LoadTubeFrames.transform, []

        def note(self, results):
            results = load(self, results)
            strides.append(results['stride'])
            return results

        monkeypatch.setattr(LoadTubeFrames, 'transform', note)
        train(tiny_config(plaza, tmp_path, stage='spatial'))
        assert len(strides) == 32 and set(strides) == {1, 3}

    def test_the_model_file_alone_gives_the_same_figures(self, finished, plaza, tmp_path):
        cfg = tiny_config(plaza, tmp_path / 'other', load_from=str(finished / 'localvad.pth'))
        RUNNERS.build(cfg).test()
        assert figures(tmp_path / 'other') == figures(finished)

    def test_the_model_file_in_its_own_work_dir_only_scores(self, copied, plaza):
        stamps = {p: p.stat().st_mtime_ns for p in (copied / 'features').rglob('*.npy')}
        before = figures(copied)
        RUNNERS.build(tiny_config(plaza, copied, load_from=str(copied / 'localvad.pth'))).test()
        assert {p: p.stat().st_mtime_ns for p in stamps} == stamps
        assert figures(copied) == before

    def test_checkpoints_load_safely(self, finished):
        for path in finished.rglob('*.pth'):
            state = torch.load(path, weights_only=True)['state_dict']
            if path.name == 'localvad.pth':
                assert not any('text' in key for key in state)


# What shows that a stage is in its middle, below the work dir.
MIDDLE = dict(
    tubes='proposals/testing/00.npz',
    captions='captions/00.jsonl',
    spatial='spatial/epoch_1.pth',
    features='features/training/patterns/00.npy',
    temporal='temporal/epoch_1.pth',
    # It is there from the stage's start; what the stage leaves comes at its end.
    calibrate='calibrate/manifest.json',
    test='objects/00.npz',
)


def test_killed_in_every_stage_it_ends_as_undisturbed(finished, plaza, tmp_path):
    """SIGKILL once in each stage; the same command goes on and gives the same figures."""
    work_dir = tmp_path / 'killed'
    config = tmp_path / 'plaza.py'
    tiny_config(plaza, work_dir).dump(config)
    command = [sys.executable, str(REPO / 'tools/train.py'), str(config)]
    done: dict[Path, int] = {}
    for stage, marker in MIDDLE.items():
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        deadline = time.monotonic() + 240
        while not (work_dir / marker).exists():
            assert process.poll() is None, f'{stage}: the run ended before {marker} was there'
            assert time.monotonic() < deadline, f'{stage}: {marker} did not come'
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        # What was complete stays as it was.
        assert {path: path.stat().st_mtime_ns for path in done} == done, stage
        for manifest in work_dir.rglob('manifest.json'):
            if json.loads(manifest.read_text())['complete']:
                done[manifest] = manifest.stat().st_mtime_ns
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert figures(work_dir) == figures(finished)


class TestBadInput:
    def test_a_checkpoint_to_resume_needs_its_stage(self, plaza, tmp_path):
        cfg = tiny_config(plaza, tmp_path, resume=True, load_from='some.pth')
        with pytest.raises(ValueError, match='some.pth needs the stage it belongs to'):
            train(cfg)

    def test_a_launcher_that_started_nothing_is_refused(self, plaza, tmp_path):
        with pytest.raises(ValueError, match='launcher: pytorch: RANK is not set; .* torchrun'):
            train(tiny_config(plaza, tmp_path, launcher='pytorch'))

    def test_a_single_stage_asks_for_the_ones_before(self, plaza, tmp_path):
        with pytest.raises(ValueError, match="stage 'tubes' is not complete.*--stage tubes"):
            train(tiny_config(plaza, tmp_path, stage='captions'))

    def test_missing_data_is_named_before_anything_runs(self, tmp_path):
        cfg = tiny_config(tmp_path / 'none', tmp_path / 'work', name='ped2_cpu')
        with pytest.raises(FileNotFoundError, match='none/training/frames'):
            train(cfg)
        assert not (tmp_path / 'work/proposals').exists()

    def test_labels_unlike_the_frames_stop_the_run_at_once(self, plaza, tmp_path):
        data = tmp_path / 'plaza'
        subprocess.run(['cp', '-r', plaza, data], check=True)
        np.save(data / 'testing/test_frame_mask/01.npy', np.zeros(39, np.uint8))
        with pytest.raises(ValueError, match='video 01 has 40 frames but 39 labels'):
            train(tiny_config(data, tmp_path / 'work'))
        assert not (tmp_path / 'work/proposals').exists()

    def test_attributes_that_a_term_looks_at_must_be_measured(self, plaza, tmp_path):
        cfg = tiny_config(plaza, tmp_path)
        cfg.model.tube.measure = {}
        with pytest.raises(ValueError, match=r"scorer.terms: \['attributes'\] are not measured"):
            train(cfg)
        assert not (tmp_path / 'proposals').exists()

    def test_channels_that_the_scorer_lacks_are_named(self, plaza, tmp_path):
        cfg = tiny_config(plaza, tmp_path)
        cfg.stages.test.evaluator.channels = ['all', 'gait']
        with pytest.raises(ValueError, match=r"the scorer has no channels \['gait'\]; .* it has"):
            train(cfg)

    @pytest.mark.parametrize(
        ('key', 'value', 'message'),
        [
            ('proposer.thresold', 3, "proposer.thresold: .*did you mean 'threshold'"),
            ('train_datset', {}, "train_datset: .*did you mean 'train_dataset'"),
            ('stages.tubes.train_strid', 2, "train_strid: .*did you mean 'train_stride'"),
            ('randomness.sead', 2, "randomness.sead: .*did you mean 'seed'"),
            ('model.tube.windw', 2, "model.tube.windw: .*did you mean 'window'"),
            ('model.tube.window', -3, r'model.tube.window: expected a whole number >= 1, got -3'),
            ('model.tube.crop_size', 2, 'model.tube.crop_size: expected'),
            ('model.temporal.smm.window', 4, 'set model.tube.window instead'),
            ('stages.test.evaluator.smoothing.type', 'gausian', 'evaluator.smoothing.type'),
            ('stages.test.evaluator.smoothing.sigma', -3, 'evaluator.smoothing.sigma'),
            ('stages.test.evaluator.tracking.sigma', -3, 'evaluator.tracking.sigma'),
            ('stages.test.min_region_area', -1, 'stages.test.min_region_area: expected .* got -1'),
            ('stages.test.min_region_area', 0.5, 'stages.test.min_region_area: .*pixels.* got 0.5'),
            ('default_hooks.checkpoint.max_keep_ckpts', 1, 'max_keep_ckpts: 1 leaves no checkp'),
            ('stages.calibrate.held_out', 2, 'stages.calibrate.held_out: expected above 0'),
            ('stages.temporal.type', 'TemporalStag', "did you mean 'TemporalStage'"),
        ],
    )
    def test_keys_and_values_that_mean_nothing(self, plaza, tmp_path, key, value, message):
        """Refused before the first stage, with the key's name."""
        cfg = tiny_config(plaza, tmp_path, **{key: value})
        with pytest.raises((ValueError, KeyError), match=message):
            train(cfg)
        assert not (tmp_path / 'proposals').exists()

    def test_an_option_that_the_config_does_not_have(self, tmp_path):
        command = [sys.executable, str(REPO / 'tools/train.py')]
        command += [str(REPO / 'configs/localvad/plaza.py'), '--work-dir', str(tmp_path)]
        done = subprocess.run(
            [*command, '--cfg-options', 'propser.threshold=3'], capture_output=True, text=True
        )
        assert done.returncode != 0 and "did you mean 'proposer'" in done.stderr

    def test_an_unknown_stage(self, plaza, tmp_path):
        with pytest.raises(ValueError, match="expected one of .'tubes', .*got 'training'"):
            train(tiny_config(plaza, tmp_path, stage='training'))

    def test_a_batch_that_is_larger_than_the_data(self, finished, plaza, tmp_path):
        for part in ('proposals', 'captions'):
            shutil.copytree(finished / part, tmp_path / part)
        options = {'stages.spatial.train_dataloader.batch_size': 500}
        with pytest.raises(ValueError, match='stages.spatial.train_dataloader.batch_size: 500 is'):
            train(tiny_config(plaza, tmp_path, stage='spatial', **options))

    def test_proposals_that_were_not_given(self, plaza, tmp_path):
        with pytest.raises(FileNotFoundError, match=r'00.npz: no such proposals.*2 of 2 files'):
            train(tiny_config(plaza, tmp_path, proposer=None))

    def test_no_objects_at_all_is_an_error(self, plaza, tmp_path):
        cfg = tiny_config(plaza, tmp_path, **{'proposer.min_area': 10**6})
        with pytest.raises(ValueError, match='no object in any training video'):
            train(cfg)

    def test_a_frame_that_breaks_leaves_nothing_a_stage_would_trust(self, plaza, tmp_path):
        data = tmp_path / 'plaza'
        subprocess.run(['cp', '-r', plaza, data], check=True)
        bad = sorted((data / 'training/frames/01').iterdir())[20]
        bad.write_bytes(b'broken')
        with pytest.raises(ValueError, match=f'{bad.name}: does not decode'):
            train(tiny_config(data, tmp_path / 'work'))
        folder = tmp_path / 'work/proposals/training'
        assert '01.npz' not in [p.name for p in folder.glob('*.npz')]
        assert not json.loads((folder / 'manifest.json').read_text())['complete']

    def test_a_checkpoint_of_another_config_is_refused(self, finished, plaza, tmp_path):
        options = {'load_from': str(finished / 'localvad.pth')}
        options['model.temporal.smm.num_components'] = 32
        with pytest.raises(
            ValueError,
            match='localvad.pth: made by another config.*smm.num_components is 64 there and 32',
        ):
            RUNNERS.build(tiny_config(plaza, tmp_path, **options)).test()

    def test_a_test_video_without_objects_is_counted(self, finished, plaza, tmp_path):
        work_dir = tmp_path / 'copy'
        for part in ('proposals', 'localvad.pth'):
            work_dir.mkdir(exist_ok=True)
            subprocess.run(['cp', '-r', finished / part, work_dir], check=True)
        empty = ObjectTubes.from_frames({}, 40, (120, 160))
        empty.save(work_dir / 'proposals/testing/01.npz')
        model = str(work_dir / 'localvad.pth')
        RUNNERS.build(tiny_config(plaza, work_dir, proposer=None, load_from=model)).test()
        assert figures(work_dir)['videos_without_objects'] == 1


def test_videos_without_labels_are_scored(finished, plaza, tmp_path):
    options = {
        'load_from': str(finished / 'localvad.pth'),
        'test_dataset.labels': None,
        # As a config for one's own camera inherits it.
        'test_dataset.pixel_masks': 'masks/{video}_of_another_dataset',
    }
    RUNNERS.build(tiny_config(plaza, tmp_path, **options)).test()
    assert not any(key.startswith('auc') for key in figures(tmp_path))
    for video in ('00', '01'):
        scores = np.load(tmp_path / 'scores' / f'{video}.npy', allow_pickle=False)
        np.testing.assert_array_equal(scores, np.load(finished / 'scores' / f'{video}.npy'))
        assert (tmp_path / 'plots' / f'{video}.png').exists()


def test_a_converted_dataset_gives_the_same_figures(finished, plaza, tmp_path):
    """Plaza has ShanghaiTech's layout: its converter's annotation files tell the same."""
    data = tmp_path / 'plaza'
    names = {'00': '01_0010', '01': '01_0020'}
    for split in ('training', 'testing'):
        for old, new in names.items():
            (data / split / 'frames').mkdir(parents=True, exist_ok=True)
            (data / split / 'frames' / new).symlink_to(plaza / split / 'frames' / old)
    for kind in ('frame', 'pixel'):
        (data / f'testing/test_{kind}_mask').mkdir()
        for old, new in names.items():
            source = plaza / f'testing/test_{kind}_mask/{old}.npy'
            (data / f'testing/test_{kind}_mask/{new}.npy').symlink_to(source)
    script = REPO / 'tools/dataset_converters/shanghaitech.py'
    subprocess.run([sys.executable, script, data], check=True)
    cfg = tiny_config(data, tmp_path / 'work', load_from=str(finished / 'localvad.pth'))
    for split, name in (('train_dataset', 'training'), ('test_dataset', 'testing')):
        cfg[split] = dict(type='VideoDataset', data_root=str(data), ann_file=f'{name}.json')
    RUNNERS.build(cfg).test()
    assert figures(tmp_path / 'work') == figures(finished)


def test_training_without_a_test_split_leaves_a_model(plaza, tmp_path):
    cfg = tiny_config(plaza, tmp_path)
    cfg.test_dataset = None
    assert train(cfg) == {}
    assert (tmp_path / 'localvad.pth').is_file()


def test_plaza_is_made_where_it_is_missing(tmp_path):
    cfg = tiny_config(tmp_path / 'fresh', tmp_path / 'work', stage='tubes')
    train(cfg)
    assert (tmp_path / 'fresh/plaza.json').is_file()
    assert json.loads((tmp_path / 'fresh/plaza.json').read_text())['seed'] == TINY_PLAZA['seed']


def test_predictors_are_compared_and_results_drawn(plaza, finished, tmp_path):
    """The analysis tools on a complete run, as from the command line."""
    config = tmp_path / 'tiny.py'
    tiny_config(plaza, finished).dump(str(config))
    tools = REPO / 'tools/analysis_tools'
    script = [sys.executable, str(tools / 'compare_predictors.py'), str(config), str(finished)]
    table = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    rows = [line.split(' | ') for line in table.splitlines() if line.startswith('| ')][2:]
    assert len(rows) == 4 * 3  # predictors, branches
    assert [row[2] for row in rows if row[0] == '| training mean'] == ['1.00'] * 3
    # SMM's own row is the run's channel.
    own = next(row for row in rows if row[0].startswith('| SMM') and row[1] == 'both')
    assert float(own[3]) == pytest.approx(figures(finished)['auc_smm/micro'], abs=0.11)

    script = [sys.executable, str(tools / 'draw_results.py'), str(config), str(finished)]
    subprocess.run([*script, str(tmp_path / 'tiny'), '--objects', '3'], check=True)
    for name in ('curves', 'patterns', 'failures'):
        assert cv2.imread(str(tmp_path / f'tiny_{name}.png')).std() > 5
