"""Pixel-level ground truth of one video, in the formats the public datasets come in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from reprlib import repr as brief

import cv2
import numpy as np

from mmvad.datasets.frames import list_images, read_image
from mmvad.structures.array_files import expect_numbers, map_npy, read_npy
from mmvad.structures.mat_files import mat_shapes, read_mat


def read_pixel_masks(path: str | Path) -> np.ndarray:
    """Masks of all frames of one video.

    Args:
        path: ``.npy`` (F, H, W), as ShanghaiTech's; ``.mat`` with ``volLabel``, as Avenue's; or a
            folder of one mask image a frame, as UCSD's.

    Returns:
        (F, H, W) bool, True where a pixel is abnormal.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If it cannot be read, or masks differ in size; the message names the file.
    """
    path = Path(path)
    if path.is_dir():
        masks = [read_image(file, cv2.IMREAD_GRAYSCALE) for file in list_images(path)]
    elif not path.is_file():
        raise FileNotFoundError(f'{path}: no such pixel masks')
    elif path.suffix == '.npy':
        masks = read_npy(path, partial(_check, path))
    elif path.suffix == '.mat':
        masks = list(read_mat(path, 'volLabel').ravel())
        for mask in masks:
            expect_numbers(f'{path}: volLabel', np.asarray(mask).dtype, 'biuf')
    else:
        raise ValueError(f'{path}: expected a folder of images, a .npy or a .mat file')
    if len(masks) == 0:
        raise ValueError(f'{path}: holds no masks')
    sizes = {np.shape(mask) for mask in masks}
    if len(sizes) != 1 or len(next(iter(sizes))) != 2:
        raise ValueError(f'{path}: expected masks (H, W) of one size, got {sorted(sizes)[:3]}')
    return np.stack([np.asarray(mask) > 0 for mask in masks])


def volume_shapes(paths: Iterable[str | Path]) -> Iterator[tuple[int, ...]]:
    """The shapes of ``volLabel`` in those of some masks that are ``.mat`` files, read by one
    interpreter; see :func:`~mmvad.structures.mat_files.mat_shapes`."""
    return mat_shapes([path for path in map(Path, paths) if _is_mat(path)], 'volLabel')


def check_pixel_masks(
    path: str | Path, shape: tuple[int, int, int], volumes: Iterator[tuple[int, ...]] | None = None
) -> None:
    """Look whether the masks of a video fit its frames, without reading them all.

    Args:
        path: As :func:`read_pixel_masks` takes it.
        shape: (F, H, W) of the frames.
        volumes: :func:`volume_shapes` of several masks that are looked at in order; None: its own.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If the masks' number or size differs, as far as a look tells.
    """
    path = Path(path)
    if path.is_dir() and (files := list_images(path)):
        found = (len(files), *read_image(files[0], cv2.IMREAD_GRAYSCALE).shape)
    elif path.is_file() and path.suffix == '.npy':
        found = map_npy(path, partial(_check, path)).shape
    elif _is_mat(path):
        volume = next(volume_shapes([path]) if volumes is None else volumes)
        # The masks' own size would take reading them.
        found = (math.prod(volume), *shape[1:])
    else:
        found = read_pixel_masks(path).shape
    if found != shape:
        raise ValueError(f'{path}: masks (F, H, W) {found}, expected {shape}, those of the frames')


def _is_mat(path: Path) -> bool:
    return path.is_file() and path.suffix == '.mat'


def _check(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> None:
    expect_numbers(str(path), dtype, 'biuf')
    if len(shape) != 3:
        raise ValueError(f'{path}: expected masks (F, H, W), got shape {brief(shape)}')
