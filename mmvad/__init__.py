"""mmvad: unsupervised video anomaly detection on the OpenMMLab stack."""

from __future__ import annotations

from mmvad.compat import apply_repairs
from mmvad.stack import check_stack
from mmvad.version import __version__, release

__all__ = ['__version__', 'release']

# Before anything else of mmvad: what does not fit is told here, or else somewhere in other words.
check_stack()
# Before anything else as well, because its modules import mmaction2.
apply_repairs()
