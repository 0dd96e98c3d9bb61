"""An mmdet detector's network in ONNX Runtime; what comes before and after it stays mmdet's.

Shape letters: H x W the input, padded.
"""

from __future__ import annotations

import io
import os
import warnings
import weakref
from importlib.util import find_spec
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

RUNTIMES = ('torch', 'onnx')
PROVIDERS = {'cpu': 'CPUExecutionProvider', 'cuda': 'CUDAExecutionProvider'}
# (H, W) of the noise that a graph is traced with, and of what it is then held against torch with:
# numbers that tracing has frozen show at other sizes. Small, so that this takes seconds; not below
# the 300 of SSD. The last is no multiple of anything, for detectors that do not pad their input.
TRACED, CHECKED = (320, 384), ((448, 320), (421, 333))
# Of the largest value of a map; float noise is about 1e-5.
TOLERANCE = 1e-3
OPSET = 17


def check_runtime(runtime: str) -> None:
    """Raise a ValueError if there is no such runtime, or it is not installed."""
    if runtime not in RUNTIMES:
        raise ValueError(f'runtime: expected one of {RUNTIMES}, got {runtime!r}')
    if runtime == 'onnx' and not (find_spec('onnx') and find_spec('onnxruntime')):
        raise ValueError("runtime='onnx': not installed; pip install 'mmvad[onnx]'")


def forward_by_onnx(model: nn.Module, found: dict[str, Any], config: str) -> None:
    """Have a detector of mmdet compute what ``extract_feat`` does in ONNX Runtime.

    The forward pass of a head goes along where it is the dense head of a single-stage detector, as
    of YOLOX, RTMDet or RPN, and can be exported; other heads stay in torch.

    Args:
        model: The detector, in eval mode, with its weights: later changes of these do not count.
        found: What forward hooks of the backbone and the neck fill; each pass fills it then.
        config: To name the detector by.

    Raises:
        ValueError: If ONNX Runtime cannot compute backbone and neck, or not on the model's device.
    """
    from onnxruntime import get_available_providers

    device = next(model.parameters()).device
    if PROVIDERS.get(device.type) not in get_available_providers():
        raise ValueError(
            f"runtime='onnx': the onnxruntime installed does not run on {device.type!r}; use "
            "device='cpu' or runtime='torch'"
        )
    for head in (True, False) if _has_dense_head(model) else (False,):
        try:
            graph = OnnxForward(model, found, head)
            break
        # Whatever an exporter or a runtime comes up with.
        except Exception as error:
            reason = error
    else:
        raise ValueError(
            f"{config}: ONNX Runtime cannot run its backbone and neck; use runtime='torch' "
            f'({(str(reason).strip() or type(reason).__name__).splitlines()[0]})'
        ) from reason
    said = {}

    def extract_feat(inputs: Tensor) -> Any:
        said.update(graph(inputs))
        found.update(said['found'])
        return said['feats']

    model.extract_feat = extract_feat
    if head:
        model.bbox_head.forward = lambda feats: said['head']


def _has_dense_head(model: nn.Module) -> bool:
    """Whether all that is between features and boxes is ``bbox_head.forward(features)``."""
    from mmdet.models import SingleStageDetector
    from mmdet.models.dense_heads.base_dense_head import BaseDenseHead

    return (
        getattr(type(model), 'predict', None) is SingleStageDetector.predict
        and getattr(type(model.bbox_head), 'predict', None) is BaseDenseHead.predict
    )


class OnnxForward:
    """A graph of any input size, made and checked once.

    Args:
        model, found: See :func:`forward_by_onnx`.
        head: Whether to export the forward pass of ``model.bbox_head`` too.

    Raises:
        Exception: What the exporter or ONNX Runtime raises; a ValueError if the graph does not
            compute what torch does.
    """

    def __init__(self, model: nn.Module, found: dict[str, Any], head: bool) -> None:
        self.device = next(model.parameters()).device
        self._session, self._threads = None, 0
        _ALL.add(self)
        network = _Network(model, found, head).eval()
        file = io.BytesIO()
        # The exporter warns of each branch that it takes, and prints the graph when it fails,
        # though no log is asked for.
        quiet = mock.patch.object(torch._C, '_jit_onnx_log', create=True)
        with torch.no_grad(), warnings.catch_warnings(), quiet:
            warnings.simplefilter('ignore')
            # The newer exporter takes half a minute instead of seconds, for the same graph.
            torch.onnx.export(
                network,
                (self._noise(TRACED),),
                file,
                dynamo=False,
                opset_version=OPSET,
                input_names=['image'],
                dynamic_axes={'image': {2: 'height', 3: 'width'}},
            )
            self._graph = file.getvalue()
            self._layout, self._places = network.layout, network.places
            self._check(network, getattr(model.data_preprocessor, 'pad_size_divisor', 1))

    def _noise(self, size: tuple[int, int]) -> Tensor:
        values = np.random.default_rng(0).uniform(0, 255, (1, 3, *size))
        return torch.from_numpy(values.astype(np.float32)).to(self.device)

    def _check(self, network: nn.Module, divisor: int) -> None:
        """Hold the graph against torch, at sizes that are multiples of ``divisor``."""
        for number, size in enumerate(CHECKED):
            inputs = self._noise(tuple(-(-side // divisor) * divisor for side in size))
            try:
                expected = network(inputs)
            except RuntimeError:
                if number == 0:
                    raise
                continue  # torch cannot do it either: its test pipeline pads
            for ours, theirs in zip(self._run(inputs), expected, strict=True):
                if ours.shape != theirs.shape:
                    raise ValueError('the exported graph gives maps of another shape')
                off, most = (ours - theirs).abs().max(), theirs.abs().max()
                if not off <= TOLERANCE * most:
                    raise ValueError(f'the exported graph is off by {off:.2g} of {most:.2g}')

    def __call__(self, inputs: Tensor) -> dict[str, Any]:
        """A (1, 3, H, W) input to what :class:`_Network` says of it."""
        unique = self._run(inputs)
        return tree_unflatten([unique[place] for place in self._places], self._layout)

    def _run(self, inputs: Tensor) -> list[Tensor]:
        if self._threads != (threads := torch.get_num_threads()):
            self._session, self._threads = self._new_session(threads), threads
        found = self._session.run(None, {'image': inputs.cpu().numpy()})
        return [torch.from_numpy(each).to(self.device) for each in found]

    def _new_session(self, threads: int) -> Any:
        from onnxruntime import InferenceSession, SessionOptions

        options = SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors
        # Threads that wait for work by spinning would take the core from who measures meanwhile.
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        provider = PROVIDERS[self.device.type]
        where = {'device_id': self.device.index or 0} if self.device.type == 'cuda' else {}
        session = InferenceSession(self._graph, options, providers=[(provider, where)])
        # It would go on without one that does not start, on the CPU.
        if provider not in session.get_providers():
            raise ValueError(f'{provider} does not start')
        return session


# Graphs that have a session, and sessions of the process that this one was forked from, as a
# loader's worker is. Their threads are not here, for which deleting them would wait for ever.
_ALL: weakref.WeakSet[OnnxForward] = weakref.WeakSet()
_INHERITED: list[Any] = []


def _leave_sessions() -> None:
    for graph in _ALL:
        _INHERITED.append(graph._session)
        graph._session, graph._threads = None, 0


os.register_at_fork(after_in_child=_leave_sessions)


class _Network(nn.Module):
    """What is exported: an input to its maps, each tensor once.

    ``layout`` and ``places`` say how these make up a dict: ``found``, what hooks of the backbone
    and the neck found; ``feats``, what ``extract_feat`` returns; ``head``, what the head does.
    """

    def __init__(self, model: nn.Module, found: dict[str, Any], head: bool) -> None:
        super().__init__()
        self.model, self.found, self.head = model, found, head

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        self.found.clear()
        feats = self.model.extract_feat(image)
        said = dict(found=dict(self.found), feats=feats)
        if self.head:
            said.update(head=self.model.bbox_head(feats))
        leaves, self.layout = tree_flatten(said)
        if not all(isinstance(leaf, Tensor) for leaf in leaves):
            raise TypeError('the network gives more than tensors')
        unique = {id(leaf): leaf for leaf in leaves}
        order = {key: place for place, key in enumerate(unique)}
        self.places = [order[id(leaf)] for leaf in leaves]
        return tuple(unique.values())
