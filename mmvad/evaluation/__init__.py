"""Evaluation of frame-level anomaly scores."""

from mmvad.evaluation.vad_metric import VADMetric

__all__ = ['VADMetric']
