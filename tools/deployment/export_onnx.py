"""Write a trained LocalVAD model as ONNX graphs, which run without torch and without mmvad.

    python tools/deployment/export_onnx.py configs/localvad/ped2_cpu.py \\
        work_dirs/ped2_cpu/localvad.pth --out onnx/ped2_cpu --compare 1000

--out gets branches.onnx, errors.onnx and step.onnx, each of any number of objects, and export.json,
which names their inputs, outputs and shapes, and what they were made of. --compare then runs what
was written on so many objects of the config's test videos: how far it is from torch, and how fast.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, DictAction
from mmengine.registry import DefaultScope
from torch import Tensor

import mmvad  # noqa: F401 (repairs the stack before anything else is imported)
from mmvad import __version__, cli
from mmvad.engine import read_config
from mmvad.methods.objects import build_model, find_and_measure
from mmvad.models import LocalVAD
from mmvad.models.onnx_parts import OnnxParts, Part, onnx_parts
from mmvad.registry import DATASETS, PROPOSERS
from mmvad.structures import atomic_path, file_digest, megabytes, write_json
from mmvad.structures.onnx_graph import OPSET, OnnxGraph, check_runtime


def write_graphs(out: Path, model: LocalVAD, checkpoint: Path) -> list[Path]:
    """Write the graphs and, last, ``export.json``.

    Args:
        out: The folder; graphs that an earlier export left there are replaced.
        model: In eval mode, on the CPU.
        checkpoint: What it was read from.

    Returns:
        The graphs.
    """
    out.mkdir(parents=True, exist_ok=True)
    # Of the graphs that are about to change; there is none that does not fit them.
    (out / 'export.json').unlink(missing_ok=True)
    graphs, paths = {}, []
    for name, part in onnx_parts(model).items():
        path = out / f'{name}.onnx'
        with atomic_path(path) as tmp:
            tmp.write_bytes(part.export())
        graphs[name] = dict(file=path.name, sha256=file_digest(path), **described(part))
        paths.append(path)
    tube = model.tube
    write_json(
        out / 'export.json',
        dict(
            mmvad_version=__version__,
            opset=OPSET,
            checkpoint=dict(name=checkpoint.name, sha256=file_digest(checkpoint)),
            branches=sorted(model.spatial.branches),
            tube=dict(window=tube.window, horizon=tube.horizon, takes=tube.gives),
            score_steps=None if model.temporal is None else model.temporal.score_steps,
            graphs=graphs,
        ),
    )
    return paths


def described(part: Part) -> dict[str, Any]:
    """What a graph computes, and the shapes of its inputs and outputs."""
    with torch.no_grad():
        found = part.network(*part.inputs.values())
    outputs = zip(part.outputs, found if isinstance(found, tuple) else (found,), strict=True)

    def shapes(values: Mapping[str, Tensor]) -> dict[str, Any]:
        return {n: dict(shape=['objects', *v.shape[1:]], type='float32') for n, v in values.items()}

    return dict(says=part.says, inputs=shapes(part.inputs), outputs=shapes(dict(outputs)))


class Comparison:
    """Measures as a model does, and by graphs: how far apart, and how long each takes.

    Args:
        model: Of torch, with its copy for inference.
        graphs: By name, as they were written.
    """

    def __init__(self, model: LocalVAD, graphs: Mapping[str, OnnxGraph]) -> None:
        self.model, self.graphs, self.parts = model, graphs, OnnxParts(graphs)
        # What a sweep asks of a model.
        self.tube, self.measurements = model.tube, model.measurements
        self.objects = 0
        self._timed = 0
        self._seconds = dict.fromkeys(('torch', 'ONNX Runtime'), 0.0)
        self._off: dict[str, float] = {}
        self._most: dict[str, float] = {}

    @torch.no_grad()
    def extract(self, item: Mapping[str, Any]) -> dict[str, Tensor]:
        """See :meth:`LocalVAD.extract`."""
        inputs, measured, by_graphs = item['inputs'], {}, {}

        def in_torch() -> None:
            measured.update(self.model.extract(item))
            if self.model.temporal is not None:
                measured['errors'] = self.model.temporal.errors(measured['patterns'])

        def in_onnx() -> None:
            found = self.parts.patterns(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2])
            by_graphs['patterns'] = found.half()
            if 'errors' in self.graphs:
                by_graphs['errors'] = self.parts.errors(by_graphs['patterns'])

        took = dict(zip(self._seconds, (_seconds(in_torch), _seconds(in_onnx)), strict=True))
        # The first pass of each makes room and plans.
        if self.objects:
            self._timed += len(inputs)
            for name, seconds in took.items():
                self._seconds[name] += seconds
        self.objects += len(inputs)
        for name, values in by_graphs.items():
            self._note(name, values, measured[name])
        expected = measured.pop('errors', None)
        if expected is not None:
            self._note('step', self._by_steps(measured['patterns']), expected)
        scorer = self.model.scorer
        if scorer is not None and scorer.fitted:
            other = self.model.quantities(dict(measured, patterns=by_graphs['patterns']))
            if 'prediction_error' in other:
                other['prediction_error'] = by_graphs['errors']
            scored = scorer(other)
            for channel, values in self.model.score(measured).items():
                self._note(f'scores {channel}', scored[channel], values)
        return measured

    def _by_steps(self, patterns: Tensor) -> Tensor:
        """(n,) errors of tubes (n, T, 2, N_q, E_d) that come step by step."""
        temporal = self.model.temporal
        state, values = temporal.smm.initial_state(len(patterns)), []
        for number, step in enumerate(patterns.float().unbind(dim=1)):
            value, made, state = self.graphs['step'].run(dict(patterns=step, state=state))
            values.append(value)
            if number == temporal.smm.window - 1:
                prediction = made
        count = temporal.smm.unseen if temporal.score_steps == 'unseen' else temporal.smm.window
        off = prediction[:, -count:] - torch.stack(values, dim=1)[:, -count:]
        return off.square().flatten(1).mean(dim=1)

    def _note(self, name: str, values: Tensor, expected: Tensor) -> None:
        off, most = (values.float() - expected.float()).abs().max(), expected.abs().max()
        self._off[name] = max(self._off.get(name, 0.0), float(off))
        self._most[name] = max(self._most.get(name, 0.0), float(most))

    def lines(self) -> list[str]:
        """What was found, in words."""
        off = [f'{name} {value:.1e} of {self._most[name]:.3g}' for name, value in self._off.items()]
        lines = [f'{self.objects} objects, largest difference from torch: {"; ".join(off)}']
        if self._timed:
            rates = [f'{name} {self._timed / took:.0f}' for name, took in self._seconds.items()]
            threads = torch.get_num_threads()
            lines.append(f'objects/s with {threads} thread(s): {", ".join(rates)}')
        return lines


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(cfg: Config, model: LocalVAD, paths: list[Path], count: int) -> list[str]:
    """Run the graphs beside torch on objects of the config's test videos.

    Args:
        cfg: The config.
        model: In eval mode, on the CPU.
        paths: Of the graphs.
        count: Objects, at least, if there are as many.
    """
    videos = DATASETS.build(cfg.get('test_dataset') or cfg.train_dataset)
    sources = {video: videos.source(video) for video in videos.lengths}
    proposer = PROPOSERS.build(cfg.proposer)
    proposer.fit(list(sources.values()))
    graphs = {path.stem: OnnxGraph(path.read_bytes()) for path in paths}
    found = Comparison(model.optimize_for_inference(), graphs)
    for video, frames in sources.items():
        with closing(find_and_measure(frames, proposer, found, video)) as parts:
            for _ in parts:
                if found.objects >= count:
                    return found.lines()
    if not found.objects:
        raise ValueError(f'{cfg.filename}: no object in its videos to compare on')
    return found.lines()


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file that the model was trained by')
    parser.add_argument('checkpoint', type=Path, help='its complete model file')
    parser.add_argument('--out', type=Path, required=True, help='folder for the graphs')
    parser.add_argument(
        '--compare', type=int, metavar='N', help='hold them against torch on N objects'
    )
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help='override settings: key=value ...'
    )
    return parser


def main(args: argparse.Namespace) -> None:
    check_runtime('onnx')
    if args.compare is not None and args.compare < 1:
        raise ValueError(f'--compare: expected 1 or more objects, got {args.compare}')
    cfg = read_config(args.config, args.cfg_options)
    with DefaultScope.overwrite_default_scope('mmvad'):
        model = build_model(cfg, args.checkpoint).eval()
        if not isinstance(model, LocalVAD):
            raise ValueError(
                f'{args.checkpoint}: a {type(model).__name__} has learned nothing that a graph '
                'could hold; detectors are run by runtime="onnx"'
            )
        paths = write_graphs(args.out, model, args.checkpoint)
        sizes = ', '.join(f'{path.name} {megabytes(path.stat().st_size)}' for path in paths)
        print(f'{args.out}: {sizes} (opset {OPSET})', flush=True)
        if args.compare:
            print('\n'.join(compare(cfg, model, paths, args.compare)))


if __name__ == '__main__':
    cli.run(main, make_parser())
