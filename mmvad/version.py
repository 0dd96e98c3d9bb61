"""The version of mmvad, read by ``setup.py`` and by users as ``mmvad.__version__``."""

__version__ = '0.2.0'


def release(version: str) -> list[str]:
    """The part of a version by which files of another are refused, or made again."""
    return version.split('.')[:2]
