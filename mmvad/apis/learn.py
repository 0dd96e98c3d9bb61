"""A model of one's own camera, from a folder of video in which nothing happens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmvad.datasets import FrameSource, find_videos
from mmvad.engine import read_config
from mmvad.methods.objects.model_file import self_check_of
from mmvad.registry import RUNNERS
from mmvad.structures import atomic_path

from .inferencer import VADInferencer
from .model_folder import MODELS_ROOT, alarm_of, find_model_file, model_folder

_BASES = dict(plain='camera.py', detector='camera_detector.py')


@dataclass(frozen=True)
class Learned:
    """What came of training.

    Args:
        model: The complete model file.
        config: The config that was run.
        threshold: Alarms are above it; None where there was too little normal video.
        seconds: Of normal video that it is taken of.
        false_alarms: An hour, that it allows.
        why: Why there is no threshold; '' where there is one.
        checked: What the self-check found.
    """

    model: Path
    config: Path
    threshold: float | None
    seconds: float
    false_alarms: float
    why: str
    checked: dict[str, Any]

    @property
    def line(self) -> str:
        """All of it in one line."""
        if self.threshold is None:
            alarm = f'no alarm threshold: {self.why}'
        else:
            alarm = (
                f'alarm above {self.threshold:.2f} ({self.false_alarms:g} false an hour, by '
                f'{self.seconds:.0f} s of normal video)'
            )
        return f'model: {self.model}; {alarm}; {_in_short(self.checked)}'


def learn(
    folder: str | Path,
    name: str,
    root: str | Path = MODELS_ROOT,
    detector: str | None = None,
    checkpoint: str | Path | None = None,
    runtime: str = 'torch',
    device: str | None = None,
    false_alarms: float = 1.0,
    options: Mapping[str, Any] | None = None,
    tell: Callable[[str], None] = print,
) -> Learned:
    """Train a model on normal video, by a config that is written for it.

    What is complete in the model's folder is taken as it is, and what was stopped goes on.

    Args:
        folder: Videos and folders of frames, however deep, or a single video. No labels.
        name: Of the model, and of its folder.
        root: Where that folder is.
        detector: Config of an mmdet detector, whose objects and features are used; None: what
            differs from the background is an object.
        checkpoint: The detector's weights.
        runtime: ``'torch'`` or ``'onnx'``, of the detector.
        device: Of the detector; by default a GPU if there is one.
        false_alarms: An hour, for the threshold that is told.
        options: Settings over those of the config, dotted keys to values.
        tell: Takes what a person should know before it begins.

    Raises:
        FileNotFoundError: If there is no such folder or checkpoint.
        ValueError: If no video can be used, or arguments do not go together.
    """
    if (detector is None) != (checkpoint is None):
        raise ValueError('detector and checkpoint: expected both or neither')
    if checkpoint is not None and not Path(checkpoint).is_file():
        raise FileNotFoundError(f'{checkpoint}: no such weights of a detector')
    for line in survey(folder):
        tell(line)
    place = model_folder(name, root)
    # A run leaves the whole config, bases in it, at the top of its work dir, by the same name.
    config = place / 'config' / f'{name}.py'
    text = config_text(folder, place, detector, checkpoint, runtime, device)
    with atomic_path(config) as tmp:
        tmp.write_text(text, encoding='utf-8')
    RUNNERS.build(read_config(config, options)).train()
    return learned(find_model_file(place), config, false_alarms)


def learned(model: Path, config: Path, false_alarms: float) -> Learned:
    """What a finished model can say of itself."""
    inferencer = VADInferencer(model)
    threshold, seconds, why = None, 0.0, ''
    try:
        threshold, seconds = alarm_of(
            model, inferencer.model, inferencer.channel, inferencer.policy, false_alarms
        )
    except ValueError as error:
        why = str(error)
    checked = self_check_of(model) or {}
    return Learned(model, config, threshold, seconds, false_alarms, why, checked)


def survey(folder: str | Path) -> list[str]:
    """What a person should know of the videos below a folder, a line each.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no video that can be opened.
    """
    videos = find_videos(folder)
    sizes, rates, seconds, broken = Counter(), Counter(), 0.0, {}
    for name, path in videos.items():
        try:
            source = FrameSource(path)
            height, width = source.frame_shape
        except (ValueError, OSError) as error:
            broken[name] = str(error)
            continue
        sizes[f'{width} x {height}'] += 1
        # Folders of images do not say.
        rates[f'{source.fps:.4g}' if source.in_order else '25 (assumed)'] += 1
        seconds += len(source) / source.fps
    if not sizes:
        raise ValueError(
            f'{folder}: none of its {len(videos)} videos can be read: {next(iter(broken.values()))}'
        )
    lines = [
        f'{folder}: {len(videos) - len(broken)} videos, {_duration(seconds)}, '
        f'{", ".join(sizes)} pixels, {", ".join(rates)} frames a second'
    ]
    lines += [f'left out: {why}' for why in broken.values()]
    if len(sizes) > 1:
        counts = ', '.join(f'{size} ({count})' for size, count in sizes.most_common())
        lines.append(
            f'videos are of several sizes: {counts}; sizes and speeds are measured in pixels, so '
            'train a model for each size'
        )
    if len(rates) > 1:
        counts = ', '.join(f'{rate} ({count})' for rate, count in rates.most_common())
        lines.append(
            f'videos are of several frame rates: {counts}; speeds are measured from frame to '
            'frame, so an object looks slower where there are more of them'
        )
    return lines


def config_text(
    folder: str | Path,
    place: Path,
    detector: str | None,
    checkpoint: str | Path | None,
    runtime: str,
    device: str | None,
) -> str:
    """The config of a camera's model; ``tools/train.py`` takes it as well."""
    base = _configs() / 'objects' / _BASES['plain' if detector is None else 'detector']
    lines = [
        '# A model of one camera, written when it was trained. Settings of the base, which are not',
        '# repeated here, may be changed by more lines.',
        f'_base_ = {str(base)!r}',
        f'work_dir = {str(place.resolve())!r}',
        f'train_dataset = dict(data_root={str(Path(folder).resolve())!r})',
    ]
    if detector is not None:
        parts = dict(config=detector, checkpoint=str(Path(checkpoint).resolve()), runtime=runtime)
        if device is not None:
            parts['device'] = device
            lines.append(f'tokens = dict(device={device!r})')
        # The base's are of YOLOX's config.
        if 'yolox' not in Path(detector).name:
            parts['cfg_options'] = None
        lines.append(f'proposer = dict({", ".join(f"{k}={v!r}" for k, v in parts.items())})')
    return '\n'.join([*lines, ''])


def _configs() -> Path:
    """The configs: beside the package, or inside where it was installed."""
    package = Path(__file__).resolve().parents[1]
    places = [package / '.mim' / 'configs', package.parent / 'configs']
    return next(place for place in places if place.is_dir())


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f'{seconds:.0f} s'
    return f'{seconds / 60:.0f} min' if seconds < 7200 else f'{seconds / 3600:.1f} h'


def _in_short(checked: dict[str, Any]) -> str:
    if not checked:
        return 'no self-check'
    kinds = sorted(checked['kinds'].items(), key=lambda item: -item[1]['auc'])
    (best, high), (worst, low) = kinds[0], kinds[-1]
    return (
        f'self-check: AUC {checked["auc"]:.1f} % of made anomalies, from {worst} '
        f'({low["auc"]:.0f}) to {best} ({high["auc"]:.0f})'
    )
