"""An mmdet detector's boxes and feature maps of a frame, from one pass.

Shape letters: H x W the frame, n boxes, C channels and h x w the size of a map.
"""

from __future__ import annotations

import json
import os
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.device import get_device
from mmengine.hub import get_config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch.utils._pytree import tree_map
from torchvision.ops import masks_to_boxes

from mmvad.stack import require_operators
from mmvad.structures import load_fitting_weights, read_weights
from mmvad.structures.onnx_graph import check_runtime

from .onnx_forward import forward_by_onnx

# What a detector gives feature maps by.
PARTS = ('backbone', 'neck')
#: Of so many of the last frames that a thread showed it a detector knows what it saw: who finds
#: objects may be ahead, in a thread, of who cuts tokens out of the same frames. More would cost
#: memory.
REMEMBERED = 3
# MMEngine's default scope is one for all threads.
_SCOPE = threading.RLock()


@dataclass(frozen=True)
class Seen:
    """What a detector sees in one frame.

    Args:
        instances: ``bboxes`` (n, 4) xyxy, pixels of the frame, ``scores`` and ``labels`` (n,); of
            what finds masks alone, the boxes around these.
        maps: Name, such as ``neck.0``, to features (C, h, w).
        scales: Name to (2,): pixels of the frame to cells of the map, in x and y.
    """

    instances: InstanceData
    maps: Mapping[str, Tensor]
    scales: Mapping[str, Tensor]


class MMDetDetector:
    """A detector of mmdet, and what it has computed on the way to its boxes.

    Args:
        config: mmdet config: a file, or a name such as ``'mmdet::rpn/rpn_r50_fpn_1x_coco.py'`` of
            one that the mmdet package ships.
        checkpoint: Weights: a file or a URL. They must fit the config.
        device: Where it runs; by default a GPU if there is one.
        cfg_options: Overrides of the detector's config.
        runtime: What computes the network: ``'torch'``, or ``'onnx'``, ONNX Runtime
            (``pip install 'mmvad[onnx]'``), which finds the same to float noise, on a CPU faster;
            see :func:`~mmvad.proposals.onnx_forward.forward_by_onnx`.
        amp: Compute backbone and neck in half precision where torch deems it safe: float16 on a
            GPU, bfloat16 on a CPU. What comes after them stays in float32.

    Raises:
        FileNotFoundError: If the config or the checkpoint is missing.
        ValueError: If no detector can be built of the config or it needs a package that is not
            installed, if the checkpoint cannot be loaded safely or does not fit the config, or if
            the runtime is unknown, not installed or cannot run the detector; and of a frame, if the
            detector finds no boxes.
    """

    def __init__(
        self,
        config: str,
        checkpoint: str,
        device: str | None = None,
        cfg_options: dict | None = None,
        runtime: str = 'torch',
        amp: bool = False,
    ) -> None:
        check_runtime(runtime)
        require_operators()
        if amp and runtime != 'torch':
            raise ValueError(f"amp: torch's own, expected runtime='torch', got {runtime!r}")
        # Here, so that other proposers and stored proposals work without mmdet.
        from mmdet.apis import init_detector
        from mmdet.utils import get_test_pipeline_cfg

        device = device or get_device()
        if not ('::' in config or Path(config).is_file()):
            raise FileNotFoundError(f'proposer.config: {config}: no such file')
        self.config = config
        detector_cfg = _read_config(config)
        if 'tracker' in detector_cfg.get('model', {}):
            raise ValueError(
                f'{config}: tracks over frames, by the boxes of a detector; expected the config of '
                f'that ({detector_cfg.model.detector.get("type")})'
            )
        # Read the weights first: building a detector takes a while.
        state = read_weights(checkpoint)
        with _naming(config), _SCOPE, DefaultScope.overwrite_default_scope('mmdet'):
            self.model = init_detector(
                detector_cfg, None, palette='random', device=device, cfg_options=cfg_options
            )
            # Built once: mmdet would build it for every frame.
            pipeline = get_test_pipeline_cfg(self.model.cfg.copy())
            pipeline[0]['type'] = 'mmdet.LoadImageFromNDArray'
            for step in pipeline:
                # A model file, which is JSON, holds tuples as lists, which mmcv refuses here.
                if isinstance(step.get('scale'), list):
                    step['scale'] = tuple(step['scale'])
            self.pipeline = Compose(pipeline)
        if hasattr(self.model, 'panoptic_fusion_head') and find_spec('panopticapi') is None:
            raise ValueError(
                f'{config}: panoptic, needs the package panopticapi, which is not installed'
            )
        for module in self.model.modules():
            # mmdet 3.3 looks at the loss of every dense head to make scores; SSD's has none.
            if hasattr(module, 'predict_by_feat') and not hasattr(module, 'loss_cls'):
                module.loss_cls = None
        load_fitting_weights(self.model, state, checkpoint)
        # The hooks do not know the detector itself, which would never be freed at once.
        found: dict[str, Any] = {}
        self._found = found
        for part in PARTS:
            module = getattr(self.model, part, None)
            if isinstance(module, nn.Module):
                module.register_forward_hook(
                    lambda _, __, out, part=part: found.__setitem__(part, out)
                )
        if amp:
            _halve(self.model)
        if runtime == 'onnx':
            forward_by_onnx(self.model, found, config)
        # Thread, frame and what was seen in it.
        self._last: list[tuple[int, weakref.ref, Seen]] = []

    def __call__(self, frame: np.ndarray) -> Seen:
        """Look at a (H, W, 3) uint8 BGR frame; once only while it is among the last
        :data:`REMEMBERED` of some thread, and exists."""
        seen = self._known(frame)
        if seen is None:
            with _SCOPE:
                # Another thread may have looked meanwhile.
                seen = self._known(frame)
                if seen is None:
                    (seen,) = self._look([frame])
                    self._remember(frame, seen)
        return seen

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of what it tells apart, by the config; empty where that names none."""
        from mmdet.registry import DATASETS

        for loader in ('test_dataloader', 'val_dataloader', 'train_dataloader'):
            dataset = (self.model.cfg.get(loader) or {}).get('dataset') or {}
            while 'dataset' in dataset and 'metainfo' not in dataset:
                dataset = dataset['dataset']
            if names := (dataset.get('metainfo') or {}).get('classes'):
                return (names,) if isinstance(names, str) else tuple(names)
            found = DATASETS.get(dataset['type']) if 'type' in dataset else None
            if names := getattr(found, 'METAINFO', {}).get('classes'):
                return tuple(names)
        return ()

    def look_ahead(self, frames: Sequence[np.ndarray]) -> None:
        """Look at several (H, W, 3) frames of one size in one pass; what is seen in them is
        remembered for when they are asked for."""
        with _SCOPE:
            new = [frame for frame in frames if self._known(frame) is None]
            if len({frame.shape for frame in new}) == 1:
                for frame, seen in zip(new, self._look(new), strict=True):
                    self._remember(frame, seen, len(frames))

    def _known(self, frame: np.ndarray) -> Seen | None:
        return next((seen for _, ref, seen in self._last if ref() is frame), None)

    def _remember(self, frame: np.ndarray, seen: Seen, count: int = 1) -> None:
        me = threading.get_ident()
        alive = [known for known in self._last if known[1]() is not None]
        # Those of other threads stay: one that is behind would push out what it comes to next.
        mine = [known for known in alive if known[0] == me]
        others = [known for known in alive if known[0] != me]
        # At once, since others read it meanwhile.
        kept = mine[1 - max(REMEMBERED, count) :]
        self._last = [*others, *kept, (me, weakref.ref(frame), seen)]

    def _look(self, frames: Sequence[np.ndarray]) -> list[Seen]:
        self._found.clear()
        trouble = 'the detector cannot look at a frame'
        scope = DefaultScope.overwrite_default_scope('mmdet')
        with _naming(self.config, trouble), scope, torch.no_grad():
            items = [self.pipeline(dict(img=frame, img_id=0)) for frame in frames]
            samples = self.model.test_step({key: [i[key] for i in items] for key in items[0]})
        return [self._seen(sample, index) for index, sample in enumerate(samples)]

    def _seen(self, sample: Any, index: int) -> Seen:
        """What was seen in one frame of a pass; ``index`` is its place in the batch."""
        found = sample.get('pred_instances', {})
        if 'bboxes' not in found and 'masks' not in found:
            raise ValueError(f'{self.config}: finds no boxes; it gives {sample.keys()}')
        instances = _boxes_of(found)
        # Pixels of the frame to those of the input, and on to cells of each map; what is padded is
        # to the right and below.
        # CenterNet's pipeline does not resize, and pads all around: its boxes are of the frame, but
        # its cells begin elsewhere, so that it gives no maps.
        resized = torch.tensor(sample.get('scale_factor', (1.0, 1.0)), dtype=torch.float32)
        height, width = sample.batch_input_shape
        maps, scales = {}, {}
        for part, levels in self._found.items() if 'border' not in sample else ():
            levels = levels if isinstance(levels, (tuple, list)) else [levels]
            for number, level in enumerate(levels):
                if not (isinstance(level, Tensor) and level.ndim == 4):
                    continue
                name = f'{part}.{number}'
                maps[name] = level[index].float()
                cells = torch.tensor([level.shape[3] / width, level.shape[2] / height])
                scales[name] = resized * cells
        return Seen(instances, maps, scales)


def _halve(model: nn.Module) -> None:
    """Have a detector's backbone and neck compute in half precision."""
    # Not the model itself, which would never be freed at once.
    whole, known = type(model).extract_feat, weakref.ref(model)
    device = next(model.parameters()).device.type
    half = torch.float16 if device == 'cuda' else torch.bfloat16

    def extract_feat(*args: Any, **kwargs: Any) -> Any:
        with torch.autocast(device, half):
            feats = whole(known(), *args, **kwargs)
        return tree_map(lambda x: x.float() if isinstance(x, Tensor) else x, feats)

    model.extract_feat = extract_feat


def _boxes_of(found: InstanceData) -> InstanceData:
    """Boxes, scores and labels alone: masks are as large as the frame, each."""
    boxes, masks = found.get('bboxes'), found.get('masks')
    if isinstance(masks, Tensor) and len(masks) and (boxes is None or not boxes.any()):
        # Detectors of masks alone leave zeros. The box ends where the last pixel does; an empty
        # mask has no box, and none that is long enough to be kept.
        boxes = torch.zeros(len(masks), 4, device=masks.device)
        some = masks.flatten(1).any(dim=1)
        boxes[some] = masks_to_boxes(masks[some]).float()
        boxes[some, 2:] += 1
    elif boxes is None:
        boxes = torch.zeros(0, 4)
    return InstanceData(bboxes=boxes.float(), scores=found.scores.float(), labels=found.labels)


def _read_config(config: str) -> Config:
    with _naming(config):
        return get_config(config) if '::' in config else Config.fromfile(config)


def save_random_weights(config: str, path: str | Path) -> str:
    """Save weights that were never trained of a detector, the same every time: they tell how fast
    it is, and that it runs, with no download.

    Args:
        config: See :class:`MMDetDetector`.
        path: The checkpoint to write.

    Returns:
        The path.

    Raises:
        FileNotFoundError: If the config is missing.
        ValueError: If no detector can be built of it.
    """
    from mmdet.registry import MODELS

    cfg = _read_config(config)
    with _naming(config), _SCOPE, DefaultScope.overwrite_default_scope('mmdet'):
        torch.manual_seed(0)
        model = MODELS.build(cfg.model)
    torch.save(dict(state_dict=model.state_dict()), path)
    return str(path)


@contextmanager
def _naming(
    config: str, trouble: str = 'no detector of mmdet can be built of it and its cfg_options'
) -> Iterator[None]:
    """Names the config in whatever MMEngine and mmdet come up with of it: assertions, too."""
    try:
        yield
    except (OSError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        said = ' '.join(str(error).split()) or type(error).__name__
        raise ValueError(f'{config}: {trouble} ({said:.200})') from error


# Detectors that are in use, by what they were made of, and the one that was asked for last:
# transforms are built for every video, and a detector takes seconds.
_DETECTORS: weakref.WeakValueDictionary[str, MMDetDetector] = weakref.WeakValueDictionary()
_LAST: list[MMDetDetector] = []


def shared_detector(
    config: str,
    checkpoint: str,
    device: str | None = None,
    cfg_options: dict | None = None,
    runtime: str = 'torch',
    amp: bool = False,
) -> MMDetDetector:
    """A detector, the same one for all who ask for the same: they share its pass over a frame.

    See :class:`MMDetDetector`. A file that was written anew makes another detector.
    """
    settings = dict(
        device=device or get_device(), cfg_options=cfg_options, runtime=runtime, amp=amp
    )
    files = [
        (os.path.abspath(file), os.stat(file).st_mtime_ns) if Path(file).is_file() else file
        for file in (config, checkpoint)
    ]
    # As JSON: a model file holds tuples as lists.
    key = json.dumps([files, settings], sort_keys=True, default=str)
    detector = _DETECTORS.get(key)
    if detector is None:
        detector = _DETECTORS[key] = MMDetDetector(config, checkpoint, **settings)
    _LAST[:] = [detector]
    return detector
