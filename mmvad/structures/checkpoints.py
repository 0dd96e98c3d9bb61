"""Reading checkpoints safely, and telling whether they fit."""

from __future__ import annotations

import errno
import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from reprlib import repr as brief
from typing import Any

import torch
from torch import Tensor, nn

from .downloads import downloaded, is_url
from .safe_loading import load_plain


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """A checkpoint, loaded without running code from it, whoever's runner left it.

    Args:
        path: A file, or a URL.

    Returns:
        What it holds; always a dict with a ``state_dict`` of tensors. With MMEngine's ``EMAHook``
        these are the averages, as in its file; the log's buffers and numpy's values are as
        :func:`~mmvad.structures.safe_loading.load_plain` gives them.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If nothing can be downloaded; the message names the URL.
        ValueError: If it is no checkpoint, or holds more than plain values.
    """
    file = downloaded(str(path)) if is_url(path) else Path(path)
    try:
        _refuse_damaged(file)
        content = load_plain(file)
    except FileNotFoundError as error:
        raise FileNotFoundError(f'{path}: no such checkpoint') from error
    # Of damaged bytes torch's unpickler raises nearly anything.
    except Exception as error:
        # Of a file that is cut torch looks before its start, which is no fault of the disk.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise OSError(f'{path}: cannot be read: {error.strerror or error}') from error
        # torch goes on about its options; of its own reason only the first line is about the file.
        why = str(error).partition('Unpickler error: ')[2].strip() or str(error)
        why = why.partition('\n')[0][:200] or type(error).__name__
        # What is damaged is better not unpickled at all.
        if 'Unsupported global' in why or 'Unsupported class' in why:
            advice = (
                ". Where you trust its origin, convert it once: torch.save({'state_dict': "
                "torch.load(FILE, weights_only=False)['state_dict']}, NEW)"
            )
        elif is_url(path):
            # Else it would be taken for what is there for ever.
            file.unlink(missing_ok=True)
            advice = (
                ': no checkpoint, or damaged on its way; not kept, so that it can be tried again'
            )
        else:
            advice = ''
        raise ValueError(f'{path}: cannot be loaded as plain weights ({why}){advice}') from error
    state = content.get('state_dict', content) if isinstance(content, dict) else None
    named = isinstance(state, dict) and all(isinstance(key, str) for key in state)
    if not (state and named and all(isinstance(value, Tensor) for value in state.values())):
        raise ValueError(f'{path}: expected a checkpoint, a dict of weights or with a state_dict')
    if odd := next((key for key, value in state.items() if not is_plain(value)), None):
        raise ValueError(f'{path}: {odd[:100]!r}: expected a dense tensor of real numbers')
    return content if state is not content else dict(state_dict=state)


def _refuse_damaged(path: str | Path) -> None:
    """torch takes altered weights as they are: the checksums tell, which it writes."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        # Stored as they are by torch; compressed, a small file could fill the memory.
        packed = [i.filename for i in archive.infolist() if i.compress_type != zipfile.ZIP_STORED]
        if bad := packed[0] if packed else archive.testzip():
            raise ValueError(f'{brief(bad)} in it is damaged')


def is_plain(value: Tensor) -> bool:
    """Whether it is a dense tensor of real numbers, all of them stored."""
    if value.layout != torch.strided or value.is_quantized or value.is_complex():
        return False
    # One may say that it is larger than what is stored, by steps of 0.
    size = value.numel() * value.element_size()
    return value.device.type == 'cpu' and value.untyped_storage().nbytes() >= size


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The state dict of a checkpoint; see :func:`read_checkpoint`.

    Names are those of the model: without the ``module.`` of a model that was trained in parallel,
    and without the second set that MMCV 1's ``EMAHook`` left beside the averages.
    """
    state = read_checkpoint(path)['state_dict']
    if all(key.startswith('module.') for key in state):
        state = {key.removeprefix('module.'): value for key, value in state.items()}
    doubles = {f'ema_{key.replace(".", "_")}' for key in state}
    return {key: value for key, value in state.items() if key not in doubles}


def load_fitting_weights(
    model: nn.Module,
    state: dict[str, Tensor],
    path: str | Path,
    resizable: Sequence[str] = (),
    ignored: Sequence[str] = (),
) -> None:
    """Load weights that must fit the model.

    Args:
        model: Takes the weights.
        state: The weights.
        path: Where they are from, for the message.
        resizable: Buffers that take the checkpoint's size.
        ignored: Weights of the checkpoint that may be left over: those with one of these in their
            name.

    Raises:
        ValueError: Naming the file and the first weights that are missing, left over, of another
            shape or not finite.
    """
    own = model.state_dict()
    missing = [key for key in own if key not in state]
    extra = [key for key in state if key not in own and not any(part in key for part in ignored)]
    unlike = [
        f'{key} {tuple(state[key].shape)}, expected {tuple(own[key].shape)}'
        for key in own
        if key in state and key not in resizable and state[key].shape != own[key].shape
    ]
    if missing or extra or unlike:
        earlier = ' or an earlier mmvad' if missing or extra else ''
        raise ValueError(
            f'{path}: made by another config{earlier}: {len(missing)} weights missing '
            f'{missing[:2]}, {len(extra)} left over {extra[:2]}, {len(unlike)} of another shape '
            f'{unlike[:2]}'
        )
    if odd := next((key for key in own if not bool(torch.isfinite(state[key]).all())), None):
        raise ValueError(f'{path}: {odd}: holds weights that are not finite')
    model.load_state_dict({key: state[key] for key in own})


def weights_digest(state: Mapping[str, Tensor]) -> str:
    """A short hash of weights and their names."""
    sha = hashlib.sha256()
    for key in sorted(state):
        sha.update(key.encode())
        # As bytes: numpy lacks some of torch's types.
        held = state[key].detach().cpu().contiguous().flatten()
        sha.update(held.view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()[:16]
