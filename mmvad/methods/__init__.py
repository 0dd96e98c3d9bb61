"""Methods: what their stages do. A method is a folder here, or stages that are here already, and a
config that names them."""

from . import localvad, objects

__all__ = ['localvad', 'objects']
