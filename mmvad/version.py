"""The version of mmvad, read by ``setup.py`` and by users as ``mmvad.__version__``."""

__version__ = '0.2.0'
