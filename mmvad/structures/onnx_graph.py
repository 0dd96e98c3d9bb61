"""Networks as ONNX graphs: how they are exported, and how ONNX Runtime runs them.

Detectors and the parts of a model share this; onnxruntime is imported where a graph is run.
"""

from __future__ import annotations

import io
import os
import warnings
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

RUNTIMES = ('torch', 'onnx')
PROVIDERS = {'cpu': 'CPUExecutionProvider', 'cuda': 'CUDAExecutionProvider'}
OPSET = 17


def check_runtime(runtime: str) -> None:
    """Raise a ValueError if there is no such runtime, or it is not installed."""
    if runtime not in RUNTIMES:
        raise ValueError(f'runtime: expected one of {RUNTIMES}, got {runtime!r}')
    if runtime == 'onnx' and not (find_spec('onnx') and find_spec('onnxruntime')):
        raise ValueError("runtime='onnx': not installed; pip install 'mmvad[onnx]'")


def check_provider(device: torch.device) -> None:
    """Raise a ValueError if the onnxruntime that is installed does not run on a device."""
    from onnxruntime import get_available_providers

    if PROVIDERS.get(device.type) not in get_available_providers():
        raise ValueError(
            f"runtime='onnx': the onnxruntime installed does not run on {device.type!r}; use "
            "device='cpu' or runtime='torch'"
        )


def export_graph(
    network: nn.Module,
    inputs: Mapping[str, Tensor],
    dynamic: Mapping[str, Mapping[int, str]],
    outputs: Sequence[str] | None = None,
) -> bytes:
    """A network as an ONNX graph of opset :data:`OPSET`, in one piece.

    Args:
        network: In eval mode; takes the inputs by position and gives tensors.
        inputs: Name to an example, with which it is traced.
        dynamic: Name of an input or output to its axes of any length, and what these are called.
        outputs: Names, where they matter.

    Raises:
        Exception: What the exporter raises of what it cannot express.
    """
    file = io.BytesIO()
    # The exporter warns of each branch that it takes, and prints the graph when it fails, though no
    # log is asked for.
    quiet = mock.patch.object(torch._C, '_jit_onnx_log', create=True)
    with torch.no_grad(), warnings.catch_warnings(), quiet, _plain_attention():
        warnings.simplefilter('ignore')
        # The newer exporter takes half a minute instead of seconds, for the same graph.
        torch.onnx.export(
            network,
            tuple(inputs.values()),
            file,
            dynamo=False,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=None if outputs is None else list(outputs),
            dynamic_axes={name: dict(axes) for name, axes in dynamic.items()},
        )
    return file.getvalue()


@contextmanager
def _plain_attention() -> Iterator[None]:
    """torch has attention in one piece for inference, which no exporter knows."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


class OnnxGraph:
    """A graph that ONNX Runtime runs, by as many threads as torch has at the time.

    Args:
        graph: As :func:`export_graph` gives it, or read from a file.
        device: Where it runs, and where its results are put.
    """

    def __init__(self, graph: bytes, device: torch.device | str = 'cpu') -> None:
        self.graph, self.device = graph, torch.device(device)
        self._session, self._threads = None, 0
        _ALL.add(self)

    def __reduce__(self) -> tuple:
        # A session is of one process.
        return type(self), (self.graph, self.device)

    @property
    def inputs(self) -> dict[str, tuple[int | str, ...]]:
        """Name of each input to its shape; axes of any length have names."""
        return {node.name: tuple(node.shape) for node in self._running.get_inputs()}

    def run(self, inputs: Mapping[str, Tensor]) -> list[Tensor]:
        """The outputs, in the graph's order, of inputs by name."""
        fed = {name: value.detach().cpu().numpy() for name, value in inputs.items()}
        return [torch.from_numpy(each).to(self.device) for each in self._running.run(None, fed)]

    @property
    def _running(self) -> Any:
        """The session, of as many threads as torch has now."""
        if self._threads != (threads := torch.get_num_threads()):
            self._session, self._threads = self._new_session(threads), threads
        return self._session

    def _new_session(self, threads: int) -> Any:
        from onnxruntime import InferenceSession, SessionOptions

        options = SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors
        # Threads that wait for work by spinning would take the core from who measures meanwhile.
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        provider = PROVIDERS[self.device.type]
        where = {'device_id': self.device.index or 0} if self.device.type == 'cuda' else {}
        session = InferenceSession(self.graph, options, providers=[(provider, where)])
        # It would go on without one that does not start, on the CPU.
        if provider not in session.get_providers():
            raise ValueError(f'{provider} does not start')
        return session


# Graphs that have a session, and sessions of the process that this one was forked from, as a
# loader's worker is. Their threads are not here, for which deleting them would wait for ever.
_ALL: weakref.WeakSet[OnnxGraph] = weakref.WeakSet()
_INHERITED: list[Any] = []


def _leave_sessions() -> None:
    for graph in _ALL:
        _INHERITED.append(graph._session)
        graph._session, graph._threads = None, 0


os.register_at_fork(after_in_child=_leave_sessions)
