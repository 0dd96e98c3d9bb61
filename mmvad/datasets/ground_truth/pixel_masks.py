"""Pixel-level ground truth of one video, in the formats the public datasets come in."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from scipy.io import whosmat

from mmvad.datasets.frames import list_images, read_image

from .labels import load_mat, load_npy


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
        masks = load_npy(path)
    elif path.suffix == '.mat':
        masks = list(load_mat(path, 'volLabel').ravel())
    else:
        raise ValueError(f'{path}: expected a folder of images, a .npy or a .mat file')
    if len(masks) == 0:
        raise ValueError(f'{path}: holds no masks')
    sizes = {np.shape(mask) for mask in masks}
    if len(sizes) != 1 or len(next(iter(sizes))) != 2:
        raise ValueError(f'{path}: expected masks (H, W) of one size, got {sorted(sizes)[:3]}')
    return np.stack([np.asarray(mask) > 0 for mask in masks])


def check_pixel_masks(path: str | Path, shape: tuple[int, int, int]) -> None:
    """Look whether the masks of a video fit its frames, without reading them all.

    Args:
        path: As :func:`read_pixel_masks` takes it.
        shape: (F, H, W) of the frames.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If the masks' number or size differs, as far as a look tells.
    """
    path = Path(path)
    if path.is_dir() and (files := list_images(path)):
        found = (len(files), *read_image(files[0], cv2.IMREAD_GRAYSCALE).shape)
    elif path.is_file() and path.suffix == '.npy':
        found = load_npy(path, mmap_mode='r').shape
    elif path.is_file() and path.suffix == '.mat':
        load_mat(path, '')  # says if it is no such file
        counts = [np.prod(size) for name, size, _ in whosmat(path) if name == 'volLabel']
        found = (int(counts[0]), *shape[1:]) if counts else ()
    else:
        found = read_pixel_masks(path).shape
    if found != shape:
        raise ValueError(f'{path}: masks (F, H, W) {found}, expected {shape}, those of the frames')
