"""CLIP models of open_clip with their weights, read without running code from files."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmvad.structures import read_checkpoint

from .torchscript import is_torchscript, torchscript_weights

#: Of a model that open_clip finds by itself, with its weights.
SCHEMES = ('hf-hub:', 'local-dir:')
PRECISIONS = ('fp32', 'fp16', 'bf16')
# What OpenAI's archives hold beside the weights.
_OPENAI = ('input_resolution', 'context_length', 'vocab_size')
# Formats of others, which open_clip reads: neither can hold code.
_PLAIN_FILES = ('.safetensors', '.npz', '.npy')


@dataclass(frozen=True)
class CLIPParts:
    """A CLIP model and what belongs to it.

    Args:
        model: In evaluation mode.
        preprocess: Of a PIL image, (3, H, W).
        tokenizer: Of texts, (n, S) int64.
        config: Of the model, as JSON can hold it.
    """

    model: nn.Module
    preprocess: Callable[[Any], Tensor]
    tokenizer: Callable[[list[str]], Tensor]
    config: dict[str, Any]


def load_clip(
    model: str, pretrained: str | None, device: torch.device, precision: str = 'fp32'
) -> CLIPParts:
    """Build a CLIP model with its weights.

    Args:
        model: Name of a model that open_clip knows; or ``'hf-hub:<organisation>/<repository>'`` or
            ``'local-dir:<folder>'``, which hold their weights themselves.
        pretrained: Weights: a file or a tag of open_clip; None where the model holds them.
        device: Where it is.
        precision: One of :data:`PRECISIONS`.

    Raises:
        OSError: If a file or folder is missing, or a download fails.
        ValueError: If there are no such weights, they cannot be read safely or do not fit.
        ImportError: If open_clip is not installed.
    """
    try:
        import open_clip
    except ImportError as error:
        raise ImportError('CLIPCaptioner needs open_clip: pip install open_clip_torch') from error
    if precision not in PRECISIONS:
        raise ValueError(
            f'CLIPCaptioner.precision: expected one of {PRECISIONS}, got {precision!r}'
        )
    state = tag = None
    if model.startswith(SCHEMES):
        _check_whole(model, pretrained)
    elif model not in open_clip.list_models():
        raise ValueError(
            f'CLIPCaptioner.model: open_clip has no {model!r}; see open_clip.list_models()'
        )
    else:
        tag = None if pretrained is None else open_clip.get_pretrained_cfg(model, pretrained)
        state = _own_state(_weights_file(model, pretrained))
        _refuse_other_activation(model, pretrained, state, tag or {})
    try:
        clip = open_clip.create_model(
            model,
            # Of a tag open_clip also knows how images are to be prepared.
            pretrained if state is None or tag else None,
            load_weights=state is None,
            require_pretrained=state is None,
            pretrained_text=False,
            precision=precision,
            device=device,
            weights_only=True,
        )
        if state is not None:
            _fill(clip, state)
    except (RuntimeError, TypeError, AttributeError, KeyError, pickle.UnpicklingError) as error:
        said = ' '.join(str(error).split())[:600]
        raise ValueError(
            f'CLIPCaptioner.pretrained: {pretrained or model!r} does not load into {model}; '
            "expected weights of that model: open_clip's or OpenAI's, as torch.save, safetensors "
            f'or TorchScript left them: {said}'
        ) from error
    from open_clip.transform import PreprocessCfg, image_transform_v2

    transform = image_transform_v2(PreprocessCfg(**clip.visual.preprocess_cfg), is_train=False)
    config = open_clip.get_model_config(model)
    return CLIPParts(clip.eval(), transform, open_clip.get_tokenizer(model), config)


def _check_whole(model: str, pretrained: str | None) -> None:
    """Get the files of a model that comes with its weights, so that what is missing is told."""
    if pretrained:
        raise ValueError(
            f'CLIPCaptioner.pretrained: {model!r} has weights of its own; expected none, got '
            f'{pretrained!r}'
        )
    place = model.partition(':')[2]
    if model.startswith('local-dir:'):
        config = Path(place, 'open_clip_config.json')
        if not config.is_file():
            raise FileNotFoundError(f'{config}: no such file; CLIPCaptioner.model names its folder')
        if not any(
            file.suffix in ('.safetensors', '.bin', '.pth') for file in Path(place).iterdir()
        ):
            raise FileNotFoundError(f'{place}: holds no weights (*.safetensors, *.bin, *.pth)')
        return
    from open_clip.pretrained import download_pretrained_from_hf

    with _downloading(model):
        download_pretrained_from_hf(place, filename='open_clip_config.json')
        download_pretrained_from_hf(place)


def _weights_file(model: str, pretrained: str | None) -> Path:
    """The file of weights that ``pretrained`` names, downloaded if it is a tag."""
    import open_clip

    # Never without weights: a random CLIP would give nonsense that looks like captions.
    if pretrained and Path(pretrained).is_file():
        return Path(pretrained)
    if not pretrained or not open_clip.get_pretrained_cfg(model, pretrained):
        tags = open_clip.list_pretrained_tags_by_model(model)
        raise ValueError(
            f'CLIPCaptioner.pretrained: expected a file of weights for {model} or one of the tags '
            f'{tags}, got {pretrained!r}'
        )
    with _downloading(pretrained):
        return Path(open_clip.download_pretrained(open_clip.get_pretrained_cfg(model, pretrained)))


@contextmanager
def _downloading(what: str) -> Iterator[None]:
    """Names what was to be downloaded in whatever comes of that: the libraries raise all kinds."""
    try:
        yield
    except Exception as error:
        said = ' '.join(str(error).split())[:300]
        raise OSError(f'CLIPCaptioner: {what}: cannot be downloaded ({said})') from error


def _own_state(file: Path) -> dict[str, Tensor] | None:
    """The weights in a TorchScript archive, or what ``state_dict()`` makes of OpenAI's; None of
    other files, which open_clip reads.

    Raises:
        ValueError: If it is damaged, or holds more than plain values.
    """
    if is_torchscript(file):
        return torchscript_weights(file)
    if file.suffix in _PLAIN_FILES:
        return None
    state = read_checkpoint(file)['state_dict']
    return state if _is_openai(state) else None


def _is_openai(state: dict[str, Tensor] | None) -> bool:
    return state is not None and all(key in state for key in _OPENAI)


def _refuse_other_activation(
    model: str, pretrained: str | None, state: dict[str, Tensor] | None, tag: dict[str, Any]
) -> None:
    """QuickGELU has no weights: with the other one they load all the same, and mean nothing."""
    import open_clip

    if not (tag or _is_openai(state)):
        return
    trained = bool(tag.get('quick_gelu')) or _is_openai(state)
    if bool(open_clip.get_model_config(model).get('quick_gelu')) != trained:
        bare = model.removesuffix('-quickgelu')
        raise ValueError(
            f'CLIPCaptioner.model: {pretrained!r} was trained '
            f'{"with" if trained else "without"} QuickGELU; expected '
            f'{f"{bare}-quickgelu" if trained else bare!r}, got {model!r}'
        )


def _fill(clip: nn.Module, state: dict[str, Tensor]) -> None:
    """Give the model weights that must fit it."""
    own = clip.state_dict()
    kept = {
        name: value
        for name, value in state.items()
        # A module that was scripted also has its masks among its tensors.
        if name not in _OPENAI and (name in own or not name.endswith('attn_mask'))
    }
    if 'logit_scale' in kept:
        kept['logit_scale'] = kept['logit_scale'].reshape(own['logit_scale'].shape)
    clip.load_state_dict(kept)
