"""Checkpoints of others: what MMEngine's and mmdet's runners leave, addresses, and attacks."""

from __future__ import annotations

import os
import runpy
import threading
from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import REPO
from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch.utils.data import Dataset

from mmvad.engine.trainer import WholeCheckpointRunner, check_resumable
from mmvad.registry import RUNNERS
from mmvad.structures import read_checkpoint, read_weights


class Line(BaseModel):
    """A model of a few weights, with buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(2)
        self.linear = torch.nn.Linear(2, 1)

    def forward(self, x: torch.Tensor, mode: str = 'tensor') -> dict[str, torch.Tensor]:
        out = self.linear(self.norm(x))
        return dict(loss=out.square().mean(), share=out.detach().mean())


class Points(Dataset):
    metainfo = dict(classes=('thing',), palette=np.arange(3))

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return dict(x=torch.tensor([index / 8, 1 - index / 4]))


def runner(work_dir: Path, kind: type[Runner] = Runner, epochs: int = 2, **more) -> Runner:
    """Of MMEngine, as mmdet's and mmaction2's own ``tools/train.py`` make it."""
    torch.manual_seed(0)
    return kind(
        model=Line(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=2,
            dataset=Points(),
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.05)),
        param_scheduler=[dict(type='LinearLR', start_factor=0.1, begin=0, end=1)],
        custom_hooks=[dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.3)],
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
        default_scope='mmdet',
        experiment_name=f'{work_dir}{epochs}{kind.__name__}{len(more)}',
        log_level='ERROR',
        cfg=Config(dict(left=1)),
        **more,
    )


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> tuple[Path, Runner]:
    """A checkpoint of two epochs that the runner left, and that runner."""
    import mmdet.models  # noqa: F401 (its moving averages are registered)

    folder = tmp_path_factory.mktemp('trained')
    with pytest.MonkeyPatch.context() as patch:
        # mmdet's scope, which a runner sets for the life of the process.
        patch.setattr(DefaultScope, '_instance_dict', OrderedDict())
        done = runner(folder)
        done.train()
    return folder / 'epoch_2.pth', done


class TestOfMMEngine:
    def test_it_is_one_that_the_safe_loader_refuses(self, trained):
        with pytest.raises(Exception, match='Weights only load failed'):
            torch.load(trained[0], weights_only=True)
        unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(trained[0])
        assert {'builtins.getattr', 'mmengine.logging.history_buffer.HistoryBuffer'} <= set(unsafe)

    def test_the_averages_are_its_weights(self, trained):
        path, done = trained
        (hook,) = (hook for hook in done.hooks if isinstance(hook, EMAHook))
        averaged, last = hook.ema_model.module.state_dict(), done.model.state_dict()
        weights = read_weights(path)
        assert weights.keys() == averaged.keys()
        assert all(torch.equal(weights[key], averaged[key]) for key in weights)
        assert not torch.equal(weights['linear.weight'], last['linear.weight'])

    def test_the_rest_is_plain(self, trained):
        path, done = trained
        read = read_checkpoint(path)
        # What the unsafe loader makes of it, which only a test may ask.
        whole = torch.load(path, weights_only=False)
        logs = read['message_hub']['log_scalars']
        assert logs.keys() == whole['message_hub']['log_scalars'].keys()
        for name, buffer in whole['message_hub']['log_scalars'].items():
            history, counts = buffer.data
            assert np.array_equal(logs[name]['history'].numpy(), history)
            assert np.array_equal(logs[name]['counts'].numpy(), counts)
        assert type(read['message_hub']['runtime_info']['eta']) is float
        assert read['meta']['dataset_meta']['palette'].tolist() == [0, 1, 2]
        assert read['meta']['epoch'] == 2

    def test_it_is_gone_on_from(self, trained, tmp_path):
        """By our runner as by MMEngine's own, given to it unsafely: same weights, same log."""
        path, _ = trained
        ours = runner(tmp_path / 'a', WholeCheckpointRunner, 3, resume=True, load_from=str(path))
        ours.train()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, 'load', partial(torch.load, weights_only=False))
            theirs = runner(tmp_path / 'b', Runner, 3, resume=True, load_from=str(path))
            theirs.train()
        for key, value in theirs.model.state_dict().items():
            assert torch.equal(ours.model.state_dict()[key], value)
        a, b = (
            torch.load(tmp_path / name / 'epoch_3.pth', weights_only=False) for name in ('a', 'b')
        )
        for key, value in b['state_dict'].items():
            assert torch.equal(a['state_dict'][key], value)
        lines = [item['message_hub']['log_scalars']['train/loss'].data[0] for item in (a, b)]
        assert len(lines[0]) == 12 and np.array_equal(*lines)

    def test_by_the_tool_with_a_config_that_is_no_method(self, trained, tmp_path):
        """``tools/train.py CONFIG --resume FILE``, FILE being what MMEngine's runner left."""
        from mmengine.registry import DATASETS, MODELS

        MODELS.register_module(name='ToolLine', module=Line, force=True)
        DATASETS.register_module(name='ToolPoints', module=Points, force=True)
        cfg = Config(
            dict(
                model=dict(type='ToolLine'),
                train_dataloader=dict(
                    batch_size=2,
                    dataset=dict(type='ToolPoints'),
                    sampler=dict(type='DefaultSampler', shuffle=False),
                    collate_fn=dict(type='default_collate'),
                ),
                train_cfg=dict(by_epoch=True, max_epochs=3),
                optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.05)),
                default_scope='mmengine',
            )
        )
        cfg.dump(tmp_path / 'config.py')
        tool = runpy.run_path(str(REPO / 'tools/train.py'), run_name='tool')
        options = ['--work-dir', str(tmp_path / 'work'), '--resume', str(trained[0])]
        args = tool['make_parser']().parse_args([str(tmp_path / 'config.py'), *options])
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv('LOCAL_RANK', '0')
            tool['main'](args)
        assert (tmp_path / 'work/epoch_3.pth').is_file()
        assert not (tmp_path / 'work/epoch_2.pth').exists()

    def test_ours_is_a_runner_that_a_config_names(self):
        assert RUNNERS.get('mmvad.WholeCheckpointRunner') is WholeCheckpointRunner

    def test_weights_alone_are_told(self, trained, tmp_path):
        for content, lack in (
            (dict(state_dict=Line().state_dict()), 'meta.epoch'),
            ({**read_checkpoint(trained[0]), 'optimizer': None}, 'optimizer'),
        ):
            torch.save(content, tmp_path / 'weights.pth')
            with pytest.raises(ValueError, match=rf'weights\.pth: cannot be gone .* no {lack};'):
                check_resumable(tmp_path / 'weights.pth')

    def test_names_of_wrapped_models_and_of_mmcv_1(self, tmp_path):
        state = {'norm.weight': torch.ones(2), 'ema_rate': torch.ones(1)}
        torch.save({f'module.{key}': value for key, value in state.items()}, tmp_path / 'a.pth')
        assert read_weights(tmp_path / 'a.pth').keys() == state.keys()
        torch.save({**state, 'ema_norm_weight': torch.zeros(2)}, tmp_path / 'b.pth')
        assert read_weights(tmp_path / 'b.pth').keys() == state.keys()


class Attack:
    """Pickles as a call."""

    def __init__(self, function, *args) -> None:
        self.call = function, args

    def __reduce__(self):
        return self.call


class TestAttacks:
    @pytest.mark.parametrize('where', ['state_dict', 'meta', 'message_hub'])
    def test_calls_are_refused(self, tmp_path, where):
        mark = tmp_path / 'ran'
        content = dict(state_dict=dict(weight=torch.ones(2)))
        content[where] = dict(weight=Attack(os.system, f'touch {mark}'))
        torch.save(content, tmp_path / 'evil.pth')
        with pytest.raises(ValueError, match=r'evil\.pth: cannot be loaded as plain weights'):
            read_checkpoint(tmp_path / 'evil.pth')
        assert not mark.exists()

    def test_attributes_are_never_got(self, tmp_path):
        """By ``getattr`` an attack reaches what is not named: here a method of a buffer."""
        hit = []

        class Watched(HistoryBuffer):
            @property
            def gone(self):
                hit.append(self)

        torch.save(
            dict(
                state_dict=dict(weight=torch.ones(2)),
                reached=Attack(getattr, torch.nn.Parameter(torch.ones(1)), 'data'),
                called=Attack(getattr, HistoryBuffer, 'min'),
            ),
            tmp_path / 'reach.pth',
        )
        read = read_checkpoint(tmp_path / 'reach.pth')
        assert read['reached'] is None and read['called'] is None

    def test_objects_inside_numpy_are_refused(self, tmp_path):
        mark = tmp_path / 'ran'
        evil = np.array([Attack(os.system, f'touch {mark}')], dtype=object)
        torch.save(dict(state_dict=dict(w=torch.ones(1)), meta=evil), tmp_path / 'evil.pth')
        with pytest.raises(ValueError, match=r'evil\.pth: cannot be loaded'):
            read_checkpoint(tmp_path / 'evil.pth')
        assert not mark.exists()

    def test_its_config_is_not_run(self, trained, tmp_path):
        """MMEngine runs ``meta.config`` as Python when it goes on."""
        mark = tmp_path / 'ran'
        content = read_checkpoint(trained[0])
        content['meta']['config'] = f'import os\nos.system("touch {mark}")\n'
        torch.save(content, tmp_path / 'evil.pth')
        ours = runner(
            tmp_path / 'a', WholeCheckpointRunner, 3, resume=True,
            load_from=str(tmp_path / 'evil.pth'),
        )  # fmt: skip
        ours.train()
        assert ours.epoch == 3 and not mark.exists()


class Server(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.startswith('/cut/'):
            self.path = self.path.removeprefix('/cut')
            content = Path(self.translate_path(self.path)).read_bytes()
            self.send_response(200)
            self.send_header('Content-Length', str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
        else:
            super().do_GET()

    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def address(trained, tmp_path, monkeypatch) -> Iterator[str]:
    """Of a server on this machine, which serves the folder of the checkpoint."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    handler = partial(Server, directory=str(trained[0].parent))
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


class TestAddresses:
    def test_one_is_read_as_the_file(self, trained, address, tmp_path):
        url, kept = f'{address}/epoch_2.pth', tmp_path / 'torch/hub/checkpoints'
        for _ in range(2):  # the second time from where it is kept
            weights = read_weights(url)
            assert all(torch.equal(weights[k], v) for k, v in read_weights(trained[0]).items())
            assert len(list(kept.iterdir())) == 1
        # Another one that ends alike is another.
        with pytest.raises(OSError, match='404'):
            read_weights(f'{address}/elsewhere/epoch_2.pth')

    def test_what_is_missing_is_told_by_its_address(self, address):
        with pytest.raises(OSError, match=rf'{address}/none.pth: nothing to download \(404'):
            read_weights(f'{address}/none.pth')
        with pytest.raises(OSError, match=r'http://127.0.0.1:9/w.pth: cannot be downloaded \('):
            read_weights('http://127.0.0.1:9/w.pth')

    def test_a_damaged_download_is_told_and_not_kept(self, trained, address, tmp_path):
        with pytest.raises(ValueError, match=r'/cut/epoch_2.pth: .*damaged on its way; not kept'):
            read_weights(f'{address}/cut/epoch_2.pth')
        assert not list((tmp_path / 'torch/hub/checkpoints').iterdir())
