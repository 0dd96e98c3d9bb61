"""How peers come from frame scores to their published figures, each by one name.

Every entry is a set of arguments of :func:`mmvad.evaluation.report.evaluate`; what their code does
was read in the repositories that are named here. All of them pool the frames of all videos for
their main figure, the micro-AUC.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any


def _reflected(sigma: float) -> dict[str, Any]:
    """scipy's Gaussian filter as it is without further arguments."""
    return dict(type='gaussian', sigma=sigma, border='reflect')


def _ai_vad(sigma: float) -> dict[str, Any]:
    # Every video is padded, with constants: a normal frame of score 0, which need not be the
    # video's lowest, and an abnormal one with the largest float there is.
    return dict(smoothing=_reflected(sigma), pad='all', pad_scores=(0.0, sys.float_info.max))


#: Name to arguments of :func:`~mmvad.evaluation.report.evaluate`.
PROTOCOLS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        # talreiss/Accurate-Interpretable-VAD, evaluate.py; sigma as its README says.
        'ai-vad': _ai_vad(3),
        'ai-vad-shanghaitech': _ai_vad(7),
        # orhir/STG-NF, utils/scoring_utils.py. Frames in which nobody is seen are infinitely normal
        # there, until they take the score of the most normal frame of the test set.
        'stg-nf': dict(smoothing=[_reflected(sigma) for sigma in range(1, 7)], clip_infinite=True),
        # LiUzHiAn/hf2vad, eval.py and utils/eval_utils.py (scipy.signal.medfilt).
        'hf2-vad': dict(cut_leading=4, smoothing=dict(type='median', size=17, border='zero')),
        # cvlab-yonsei/MNAD, Evaluate.py and utils.py, with the method of prediction.
        'mnad': dict(cut_leading=4, errors=True, per_video_min_max=True),
    }
)

#: MNAD's weights of its two scores, once each video of both is brought to 0 ... 1: of the error of
#: the predicted frame, and of the distance to the memory's items.
MNAD_WEIGHTS: Mapping[str, float] = MappingProxyType(dict(mse=0.6, distance=0.4))
