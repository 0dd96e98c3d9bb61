"""Stage ``features`` of LocalVAD: local patterns of every step of every tube."""

from __future__ import annotations

from mmengine.device import get_device

from mmvad.engine import Job
from mmvad.methods.objects.features import MEASURED, FeaturesStage
from mmvad.methods.objects.tubes import tube_fields
from mmvad.models import LocalVAD
from mmvad.registry import STAGES

from .weights import load_part


@STAGES.register_module()
class LocalVADFeaturesStage(FeaturesStage):
    """Measure with the frozen branches; see :class:`FeaturesStage`."""

    needs = ('tubes/{split}', 'spatial')
    config = ('model.spatial', *MEASURED)

    def build_model(self, job: Job) -> LocalVAD:
        return measuring_model(job)


def measuring_model(job: Job) -> LocalVAD:
    """A model with the branches that the stage ``spatial`` trained, and nothing after them."""
    model = LocalVAD(tube_fields(job.config), job.config['model.spatial'])
    load_part(model.spatial, 'spatial', job.inputs['spatial'].path)
    return model.to(get_device()).optimize_for_inference()
