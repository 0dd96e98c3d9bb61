"""From a work dir to a page to hand on: what happened, when, where in the picture, and why.

``results`` reads what a test or a watch left, ``moments`` makes events of it, ``words`` says
reasons and figures in words, ``players`` encodes the videos, ``build`` puts them together.
"""

from .build import ReportOptions, build_report

__all__ = ['ReportOptions', 'build_report']
