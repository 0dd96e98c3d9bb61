"""Pictures of a test, for TensorBoard and whatever else the config's visualizer sends to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mmcv import imread
from mmengine.visualization import LocalVisBackend, Visualizer

from mmvad.registry import VISUALIZERS


@VISUALIZERS.register_module()
class VADVisualizer(Visualizer):
    """MMEngine's visualizer, which also sends the pictures of a test on.

    What training logs goes to every backend. The pictures are files of the work dir already, so
    :class:`~mmengine.visualization.LocalVisBackend`, which would copy them, is left out.
    """

    def add_pictures(self, pictures: Mapping[str, Path], step: int = 0) -> None:
        """Send pictures to the backends.

        Args:
            pictures: Name to image file; those that are not there are left out.
            step: That they belong to.
        """
        backends = [b for b in self._vis_backends.values() if not isinstance(b, LocalVisBackend)]
        found = {name: path for name, path in pictures.items() if backends and path.is_file()}
        for name, path in found.items():
            image = imread(str(path), channel_order='rgb')
            for backend in backends:
                backend.add_image(name, image, step)
