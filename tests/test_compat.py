"""The repairs of mmvad.compat, and that the libraries below work together with them."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mmvad
from mmvad.compat import MissingDRNFinder, apply_repairs

ROOT = Path(__file__).resolve().parents[1]
DRN = 'mmaction.models.localizers.drn.drn'


def run_python(script: str, *path: Path) -> str:
    """Runs a script in a fresh interpreter and gives what it prints; ``path`` goes in front."""
    script = f'import sys; sys.path[:0] = {[str(p) for p in (*path, ROOT)]!r}\n{script}'
    run = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_import_mmvad_is_light():
    heavy = ['torch', 'cv2', 'mmengine', 'mmcv', 'mmaction', 'mmdet', 'open_clip']
    loaded = run_python(f'import mmvad; print([m for m in {heavy!r} if m in sys.modules])')
    assert loaded == '[]'


def test_version_is_exported():
    assert mmvad.__version__.split('.')[0].isdecimal()


def test_mmaction_imports_after_mmvad():
    script = 'import mmvad, mmaction.models as m; print(m.ResNet.__name__)'
    assert run_python(script) == 'ResNet'


def test_apply_repairs_twice_changes_nothing():
    apply_repairs()
    assert sum(isinstance(finder, MissingDRNFinder) for finder in sys.meta_path) == 1


def test_mmaction_with_the_fork_of_mmcv(tmp_path: Path):
    """The same release is let through where OneDL's fork is installed, and keeps its number."""
    package, fork = tmp_path / 'package', tmp_path / 'fork'
    (package / 'mmcv').mkdir(parents=True)
    (package / 'mmcv/__init__.py').write_text("__version__ = '2.3.6'\n")
    info = fork / 'onedl_mmcv-2.3.6.dist-info'
    info.mkdir(parents=True)
    (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: onedl-mmcv\nVersion: 2.3.6\n')
    script = f"""
import mmvad
try:
    import mmaction
except AssertionError as error:
    print(error)
sys.path.insert(0, {str(fork)!r})
import mmaction, mmcv
print(mmaction.__version__, mmcv.__version__)
"""
    refused, imported = run_python(script, package).splitlines()
    assert refused.startswith('MMCV==2.3.6 is used but incompatible')
    assert imported == '1.2.0 2.3.6'


def test_real_drn_wins(tmp_path: Path):
    """An mmaction2 that ships the module is left as it is."""
    folder = tmp_path
    for part in DRN.split('.')[:-1]:
        folder = folder / part
        folder.mkdir()
        (folder / '__init__.py').touch()
    (folder / 'drn.py').write_text("DRN = 'the real one'\n")
    assert run_python(f'import mmvad\nfrom {DRN} import DRN; print(DRN)', tmp_path) == (
        'the real one'
    )


def test_other_missing_modules_stay_missing():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module('mmaction.models.localizers.nothing_here')


def test_placeholder_says_what_is_wrong():
    from mmaction.models.localizers import DRN as Placeholder
    from mmaction.registry import MODELS

    if not isinstance(sys.modules[DRN].__spec__.loader, MissingDRNFinder):
        pytest.skip('the installed mmaction2 has DRN')
    assert MODELS.get('DRN') is Placeholder
    with pytest.raises(ImportError, match='install mmaction2 from its sources'):
        MODELS.build(dict(type='DRN'))


def test_opencv_packages_are_of_one_release():
    """Both write the same ``cv2`` folder, so two releases would mix their files."""
    releases = {importlib.metadata.version(f'opencv-{kind}python') for kind in ('', 'contrib-')}
    assert len(releases) == 1


def test_mmdet_detector_from_the_hub_runs():
    """A config by its hub name, a detector from it, and boxes on an image, with no weights.

    In an interpreter of its own, because ``init_detector`` makes mmdet the default scope for good.
    """
    script = """
import json, numpy as np
from mmdet.apis import inference_detector, init_detector
from mmengine.hub import get_config
config = get_config('mmdet::rpn/rpn_r50_fpn_1x_coco.py')
config.model.backbone.update(depth=18, init_cfg=None)
config.model.neck.in_channels = [64, 128, 256, 512]
config.model.test_cfg.rpn.max_per_img = 20
for step in config.test_dataloader.dataset.pipeline:
    if step.type == 'Resize':
        step.scale = (128, 128)
detector = init_detector(config, None, palette='coco', device='cpu')
image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
print(json.dumps(inference_detector(detector, image).pred_instances.bboxes.tolist()))
"""
    boxes = np.array(json.loads(run_python(script).splitlines()[-1]))
    assert boxes.shape[1] == 4 and 0 < len(boxes) <= 20
    assert np.isfinite(boxes).all() and boxes.min() >= 0 and boxes.max() <= 128
