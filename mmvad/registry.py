"""Registries of mmvad.

Each one is a child of MMEngine's root registry of the same kind, so that a bare type name in a
config with ``default_scope = 'mmvad'`` finds mmvad's components first and MMEngine's own next.
Components of sibling projects are named with their scope: ``mmaction.ResNet``, ``mmdet.RPN``.
``locations`` name the modules that are imported when a registry is first asked for a component, so
no config needs ``custom_imports``.
"""

from mmengine import registry as root
from mmengine.registry import Registry


def _child(name: str, parent: Registry, *locations: str) -> Registry:
    return Registry(name, parent=parent, scope='mmvad', locations=list(locations))


RUNNERS = _child('runner', root.RUNNERS, 'mmvad.engine')
HOOKS = _child('hook', root.HOOKS, 'mmvad.engine', 'mmvad.methods')
DATASETS = _child('dataset', root.DATASETS, 'mmvad.datasets', 'mmvad.preparation.plaza')
DATA_SAMPLERS = _child('data sampler', root.DATA_SAMPLERS, 'mmvad.datasets')
TRANSFORMS = _child(
    'transform', root.TRANSFORMS, 'mmvad.datasets.transforms', 'mmvad.proposals.tokens'
)
MODELS = _child('model', root.MODELS, 'mmvad.models', 'mmvad.models.recognition')
METRICS = _child('metric', root.METRICS, 'mmvad.evaluation')

# Nothing of mmvad's own in these: they are here so that MMEngine, asked in mmvad's scope, finds its
# own without a warning for each.
LOOPS = _child('loop', root.LOOPS, 'mmvad.engine')
LOG_PROCESSORS = _child('log_processor', root.LOG_PROCESSORS, 'mmvad.engine')
OPTIMIZERS = _child('optimizer', root.OPTIMIZERS, 'mmvad.engine')
OPTIM_WRAPPERS = _child('optim_wrapper', root.OPTIM_WRAPPERS, 'mmvad.engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    'optimizer wrapper constructor', root.OPTIM_WRAPPER_CONSTRUCTORS, 'mmvad.engine'
)
PARAM_SCHEDULERS = _child('parameter scheduler', root.PARAM_SCHEDULERS, 'mmvad.engine')
VISUALIZERS = _child('visualizer', root.VISUALIZERS, 'mmvad.visualization')
VISBACKENDS = _child('vis_backend', root.VISBACKENDS, 'mmvad.visualization')
WEIGHT_INITIALIZERS = _child('weight initializer', root.WEIGHT_INITIALIZERS, 'mmvad.models')

# Steps of a method: a root of its own, since MMEngine has no such thing.
STAGES = Registry('stage', scope='mmvad', locations=['mmvad.methods'])

# Ways to make an anomaly of normal video.
ANOMALIES = Registry('anomaly', scope='mmvad', locations=['mmvad.anomalies'])

# What finds the objects, and what describes them: roots of their own, since MMEngine knows neither.
PROPOSERS = Registry('proposer', scope='mmvad', locations=['mmvad.proposals'])
CAPTIONERS = Registry('captioner', scope='mmvad', locations=['mmvad.captions'])
