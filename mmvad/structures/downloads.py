"""Weights at an address, kept where PyTorch keeps what it downloads."""

from __future__ import annotations

import hashlib
import http.client
import re
from pathlib import Path, PurePosixPath
from urllib.error import HTTPError
from urllib.parse import unquote, urlparse

import torch

from .files import NoSpaceError


def is_url(path: str | Path) -> bool:
    """Whether it is an address to download from."""
    return str(path).startswith(('http://', 'https://'))


def downloaded(url: str) -> Path:
    """The file that an address stands for, downloaded where it is not there yet.

    It lies in ``checkpoints`` of :func:`torch.hub.get_dir`, where MMEngine looks as well, under the
    last part of the address. Two addresses may end alike: unless that names a hash, as OpenMMLab's
    do, one of the address is added.

    Raises:
        OSError: If nothing can be got from there; the message names the address.
    """
    name = PurePosixPath(unquote(urlparse(url).path)).name or 'weights'
    if not re.search(r'-[0-9a-f]{8,}\.', name):
        name = f'{Path(name).stem}-url{hashlib.sha256(url.encode()).hexdigest()[:8]}'
        name += PurePosixPath(urlparse(url).path).suffix
    path = Path(torch.hub.get_dir(), 'checkpoints', name)
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(path), progress=False)
    except HTTPError as error:
        raise OSError(f'{url}: nothing to download ({error.code} {error.reason})') from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, OSError) and (full := NoSpaceError.of(error, path)):
            raise full from error
        why = getattr(error, 'reason', None) or error
        raise OSError(f'{url}: cannot be downloaded ({why})') from error
    return path
