"""The dataset doctor: examines what an annotation file describes, and changes nothing.

One file a part: what is said (``findings``), the annotation file (``listing``), the frames of a
video (``frames``), its masks and tracks (``ground_truth``), the videos together (``split``), the
report, and the ``examination`` that goes through all of it.
"""

from .examination import examine
from .findings import CannotExamine, Finding
from .report import Report

__all__ = ['CannotExamine', 'Finding', 'Report', 'examine']
