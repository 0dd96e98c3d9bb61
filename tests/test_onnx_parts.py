"""What is learned gives in ONNX Runtime what it gives in torch, exported and by itself."""

from __future__ import annotations

import copy
import hashlib
import json
import pickle
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from conftest import REPO, tiny_config
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmvad.apis import VADInferencer, init_model
from mmvad.models import LocalVAD
from mmvad.models.backbone import BranchBackbone
from mmvad.models.onnx_parts import OnnxParts, onnx_parts
from mmvad.registry import MODELS
from mmvad.structures import onnx_graph
from mmvad.structures.onnx_graph import OPSET, OnnxGraph, export_graph

# Of the largest value; float noise is about 1e-6.
NEAR = 1e-5


def model_of(name: str, **temporal) -> LocalVAD:
    cfg = Config.fromfile(REPO / f'configs/localvad/{name}.py')
    smm = temporal.pop('smm', {})
    cfg.model.temporal.update(temporal)
    cfg.model.temporal.smm.update(smm)
    cfg.model.pop('scorer')
    if name == 'plaza_tokens':
        # Its detector is built when it first sees a frame.
        cfg.model.tube.tokens.runtime = 'torch'
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmvad'):
        return MODELS.build(cfg.model).eval()


def noise(shape: tuple[int, ...], grey: bool = False) -> torch.Tensor:
    values = torch.from_numpy(np.random.default_rng(len(shape)).normal(size=shape)).float()
    return (128 + 40 * values).clamp(0, 255) if grey else values


def assert_near(values: torch.Tensor, expected: torch.Tensor) -> None:
    assert values.shape == expected.shape
    near = NEAR * float(expected.abs().max())
    torch.testing.assert_close(values, expected, rtol=0, atol=near)


@pytest.mark.parametrize(
    ('name', 'temporal'),
    [
        ('plaza', {}),
        ('plaza_tokens', {}),
        ('plaza', dict(target='fused', loss_steps='all', score_steps='all')),
        ('plaza', dict(smm=dict(drive='per_component'), score_steps='all')),
    ],
)
@torch.no_grad()
def test_graphs_give_what_the_parts_give_whatever_the_batch(name, temporal):
    model = model_of(name, **temporal)
    # Statistics that are not those of the start.
    shape = model.temporal.feature_shape
    model.temporal.set_statistics(0.1 * noise(shape), 0.2 + 0.01 * noise(shape).abs())
    for buffer in (b for key, b in model.spatial.named_buffers() if 'running_var' in key):
        buffer.uniform_(0.5, 2)
    graphs = {key: OnnxGraph(part.export()) for key, part in onnx_parts(model).items()}
    parts, temporal_part = OnnxParts(graphs), model.temporal
    tube = model.tube
    for count in (1, 3, 64):
        if tube.gives == 'crops':
            look = noise((count, tube.channels, *tube.crop_size), grey=True)
            normal = model.spatial.data_preprocessor(dict(inputs=look[:, None]))['inputs'][:, 0]
        else:
            backbone = model.spatial.branches['action'].backbone
            look = normal = noise((count, backbone.num_tokens - 1, backbone.in_channels))
        patterns = model.spatial.extract_feat(normal)
        assert_near(parts.patterns(look), patterns)
        tubes = noise((count, tube.steps, *shape)).half()
        errors = temporal_part.errors(tubes)
        assert errors.shape == (count,)
        assert_near(parts.errors(tubes), errors)
        # SMM from a zero state over the window says what the window does (paper, Eq. 3 and 5).
        state, values = temporal_part.smm.initial_state(count), []
        for number in range(tube.steps):
            step = dict(patterns=tubes[:, number].float(), state=state)
            value, prediction, state = graphs['step'].run(step)
            values.append(value)
            if number == tube.window - 1:
                expected, targets = temporal_part.predict(tubes)
                assert_near(prediction, expected)
        assert_near(torch.stack(values, dim=1)[:, tube.horizon :], targets)


def test_cells_that_do_not_divide_the_map():
    """The paper's 28 x 28 map and 16 x 16 cells, for which ONNX has no operator."""
    with DefaultScope.overwrite_default_scope('mmvad'):
        backbone = BranchBackbone(channels=16, token_dim=8, grid=16).eval()
    crops = noise((3, 3, 224, 224))
    graph = export_graph(backbone, dict(crops=crops[:2]), dict(crops={0: 'n'}))
    with torch.no_grad():
        expected = backbone(crops)
    assert_near(OnnxGraph(graph).run(dict(crops=crops))[0], expected)
    # By torch's own pooling: of 28 rows, cell 5 holds those from floor(8.75) to ceil(10.5).
    pooled = F.adaptive_avg_pool2d(torch.arange(28.0).expand(1, 1, 28, 28), 16)
    assert pooled[0, 0, 0, 5] == pytest.approx((8 + 9 + 10) / 3)


def test_flow_that_no_branch_of_tokens_looks_at_is_left_out():
    model = model_of('plaza_tokens')
    channels = model.spatial.branches['action'].backbone.in_channels
    parts, look = OnnxParts.of(model), noise((3, 16, channels))
    with_flow = torch.cat([look, noise((3, 16, 2))], dim=2)
    torch.testing.assert_close(parts.patterns(with_flow), parts.patterns(look), rtol=0, atol=0)


@pytest.fixture(scope='module')
def by_torch(finished, plaza):
    return VADInferencer(finished / 'localvad.pth', device='cpu')(plaza / 'testing/frames', False)


def assert_scored_alike(results, expected) -> None:
    assert [r.video for r in results] == [r.video for r in expected]
    for ours, theirs in zip(results, expected, strict=True):
        # Patterns are stored in half precision, which rounds noise up or down.
        np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-3, atol=1e-3)
        for key in ('frames', 'boxes'):
            np.testing.assert_array_equal(ours.objects[key], theirs.objects[key])


def test_the_inferencer_gives_the_same_scores(finished, plaza, by_torch, monkeypatch):
    inferencer = VADInferencer(finished / 'localvad.pth', device='cpu', runtime='onnx')
    asked = []
    for owner, name in ((OnnxParts, 'patterns'), (OnnxParts, 'errors')):
        real = getattr(owner, name)
        monkeypatch.setattr(
            owner, name, lambda *a, real=real, name=name: (asked.append(name), real(*a))[1]
        )

    def in_torch(*args):
        raise AssertionError('computed in torch')

    for part, name in (
        (inferencer.model.spatial, 'extract_feat'),
        (inferencer.model.temporal, 'errors'),
    ):
        monkeypatch.setattr(part, name, in_torch)
    assert_scored_alike(inferencer(plaza / 'testing/frames', False), by_torch)
    assert set(asked) == {'patterns', 'errors'}


def test_the_tool_for_videos_takes_the_runtime(finished, plaza, by_torch, tmp_path):
    command = [sys.executable, REPO / 'tools/infer.py', finished / 'localvad.pth']
    command += [plaza / 'testing/frames', '--runtime', 'onnx', '--device', 'cpu']
    command += ['--out-dir', tmp_path]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    scores = np.load(tmp_path / 'scores/00.npy', allow_pickle=False)
    np.testing.assert_allclose(scores, by_torch[0].scores, rtol=1e-3, atol=1e-3)


def test_a_model_keeps_its_runtime_when_it_is_moved_copied_or_given_weights(finished):
    model = init_model(finished / 'localvad.pth', 'cpu', runtime='onnx')
    item = dict(inputs=noise((2, 6, 5, 32, 32), grey=True))
    before = model.extract(item)['patterns']
    moved = copy.deepcopy(model).to('cpu')
    torch.testing.assert_close(moved.extract(item)['patterns'], before)
    assert VADInferencer(moved, device='cpu').model.extract(item)['patterns'].equal(before)
    state = model.state_dict()
    key = 'spatial.branches.action.itam.image.projection.bias'
    model.load_state_dict({**state, key: state[key] + 1})
    assert not model.extract(item)['patterns'].equal(before)
    parts = pickle.loads(pickle.dumps(OnnxParts.of(moved)))
    torch.testing.assert_close(parts.patterns(item['inputs'][:, 0]).half(), before[:, 0])
    with pytest.raises(ValueError, match='runtime: of a model file only'):
        VADInferencer(moved, runtime='onnx')


def test_detectors_of_a_config_get_the_runtime():
    cfg = tiny_config('data', 'work', name='plaza', method='objects')
    cfg.model.tube.measure.tokens = dict(type='MeasureTokens', config='a.py', checkpoint='b.pth')
    cfg.proposer = dict(type='MMDetProposer', config='a.py', checkpoint='b.pth')
    model = init_model(cfg, 'cpu', runtime='onnx')
    assert model.tube.measure['tokens']['runtime'] == model.cfg.proposer.runtime == 'onnx'
    # Others are computed in one way only.
    others = [t for name, t in model.tube.measure.items() if name != 'tokens']
    assert others and all('runtime' not in transform for transform in others)
    assert 'runtime' not in cfg.proposer
    assert 'runtime' not in init_model(cfg, 'cpu').cfg.proposer


@pytest.mark.parametrize(
    ('runtime', 'message'),
    [
        ('tensorrt', "runtime: expected one of .*'onnx'.*got 'tensorrt'"),
        ('onnx', r"runtime='onnx': not installed; pip install 'mmvad\[onnx\]'"),
    ],
)
def test_a_runtime_that_is_not_there(finished, monkeypatch, runtime, message):
    monkeypatch.setattr(onnx_graph, 'find_spec', lambda name: None)
    with pytest.raises(ValueError, match=message) as caught:
        init_model(finished / 'localvad.pth', runtime=runtime)
    assert '\n' not in str(caught.value)


def export(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, REPO / 'tools/deployment/export_onnx.py', *arguments]
    return subprocess.run([str(c) for c in command], capture_output=True, text=True)


def test_the_tool_writes_graphs_that_say_what_they_are(finished, plaza, tmp_path):
    cfg = tiny_config(plaza, tmp_path / 'work')
    cfg.dump(tmp_path / 'config.py')
    checkpoint, out = finished / 'localvad.pth', tmp_path / 'onnx'
    done = export(tmp_path / 'config.py', checkpoint, '--out', out, '--compare', 30)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert f'(opset {OPSET})' in said[0] and 'branches.onnx' in said[0]
    found = [float(part.split()[-3]) for part in said[1].partition(': ')[2].split('; ')]
    names = [part.rsplit(None, 3)[0].split()[-1] for part in said[1].partition(': ')[2].split('; ')]
    assert names[:2] == ['patterns', 'errors'] and {'step', 'all', 'smm'} <= set(names)
    assert int(said[1].split()[0]) >= 30 and max(found) < 0.01
    assert sorted(p.name for p in out.iterdir()) == [
        'branches.onnx',
        'errors.onnx',
        'export.json',
        'step.onnx',
    ]
    record = json.loads((out / 'export.json').read_text())
    assert record['opset'] == OPSET and str(tmp_path) not in json.dumps(record)
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert record['checkpoint'] == dict(name='localvad.pth', sha256=digest)
    for graph in record['graphs'].values():
        path = out / graph['file']
        assert hashlib.sha256(path.read_bytes()).hexdigest() == graph['sha256']
        model = onnx.load(path)
        onnx.checker.check_model(model)
        assert [o.version for o in model.opset_import] == [OPSET]
        assert not any(t.external_data for t in model.graph.initializer)
        for nodes, told in ((model.graph.input, 'inputs'), (model.graph.output, 'outputs')):
            assert [node.name for node in nodes] == list(graph[told]) or told == 'outputs'
            assert {node.name for node in nodes} == set(graph[told])
            for node in nodes:
                dims = node.type.tensor_type.shape.dim
                shape = graph[told][node.name]['shape']
                assert len(dims) == len(shape) and dims[0].dim_param == shape[0] == 'objects'
                if told == 'inputs':
                    assert [d.dim_value for d in dims][1:] == shape[1:]


def test_the_tool_refuses_what_it_cannot_export(undisturbed, finished, plaza, tmp_path):
    cfg = tiny_config(plaza, tmp_path / 'work', method='attributes')
    cfg.dump(tmp_path / 'config.py')
    for arguments, message in (
        ([undisturbed / 'attributes.pth'], 'a ObjectVAD has learned nothing'),
        ([finished / 'localvad.pth'], 'made by another config'),
        ([tmp_path / 'none.pth'], 'none.pth: no such checkpoint'),
        ([undisturbed / 'attributes.pth', '--compare', '0'], '--compare: expected 1 or more'),
    ):
        done = export(tmp_path / 'config.py', *arguments, '--out', tmp_path / 'onnx')
        assert done.returncode == 1 and done.stderr.startswith('error: ')
        assert message in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / 'onnx').exists()
