"""What OpenMMLab's other projects call by this name."""

from .setup_env import register_all_modules

__all__ = ['register_all_modules']
