"""Stage ``anomalies`` of LocalVAD: local patterns of what was made to go wrong."""

from __future__ import annotations

from mmvad.engine import Job
from mmvad.methods.objects import AnomaliesStage
from mmvad.methods.objects.features import MEASURED
from mmvad.models import LocalVAD
from mmvad.registry import STAGES

from .features import measuring_model


@STAGES.register_module()
class LocalVADAnomaliesStage(AnomaliesStage):
    """Measure made anomalies with the frozen branches; see :class:`AnomaliesStage`.

    The branches have learned from the normal videos that the anomalies are made of.
    """

    needs = ('tubes/training', 'spatial')
    config = ('proposer', 'model.spatial', *MEASURED)

    def build_model(self, job: Job) -> LocalVAD:
        return measuring_model(job)
