"""mmvad: unsupervised video anomaly detection on the OpenMMLab stack."""

from __future__ import annotations

from mmvad.compat import apply_repairs
from mmvad.version import __version__, release

__all__ = ['__version__', 'release']

# Before anything else of mmvad, because its modules import mmaction2.
apply_repairs()
