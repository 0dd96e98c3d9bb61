"""Stage ``calibrate`` of LocalVAD: the scorer, on patterns of the trained parts."""

from __future__ import annotations

from mmvad.engine import Job
from mmvad.methods.objects.calibrate import CalibrateStage
from mmvad.models import ObjectVAD
from mmvad.registry import STAGES

from .weights import load_part


@STAGES.register_module()
class LocalVADCalibrateStage(CalibrateStage):
    """Fit the scorer of a model with trained parts; see :class:`CalibrateStage`."""

    needs = ('tubes/training', 'features/training', 'spatial', 'temporal')
    trained = True

    def build_model(self, job: Job) -> ObjectVAD:
        model = super().build_model(job)
        for name in ('spatial', 'temporal'):
            load_part(getattr(model, name), name, job.inputs[name].path)
        return model
