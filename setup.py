"""Build script of mmvad."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel

ROOT = Path(__file__).resolve().parent

# What MIM and MMEngine look for in `<package>/.mim` of an installed OpenMMLab project.
MIM = ('configs', 'tools', 'model-index.yml')

INSTALL_REQUIRES = [
    'torch>=2.6',
    'torchvision>=0.21',
    'mmengine>=0.10.7,<1.0.0',
    'mmcv>=2.1.0,<2.2.0',
    'mmdet>=3.3.0,<4.0.0',
    'mmaction2>=1.2.0,<2.0.0',
    'open_clip_torch>=3.0,<4.0',
    'numpy>=2.0',
    # Those before are built for numpy 1.
    'opencv-python>=4.10',
    'scipy>=1.13',
    'pycocotools>=2.0.7',
    'scikit-learn>=1.5',
    'matplotlib>=3.9',
    'pillow>=10.0',
    'tqdm>=4.60',
    'av>=14.1',
    'cachetools>=5.3',
    'packaging>=23.0',
    # Those before hold a lock in forked workers after the process that took it was killed.
    'filelock>=3.30',
    # mmaction2 1.2.0 imports importlib_metadata without declaring it.
    'importlib-metadata>=6.0',
    # MMEngine 0.10.7 imports pkg_resources in mmengine.hub; setuptools 81 drops it.
    'setuptools<81',
]

# Detectors in ONNX Runtime.
ONNX = ['onnx>=1.17', 'onnxruntime>=1.20']

# Curves and pictures of training in TensorBoard.
TENSORBOARD = ['tensorboard>=2.16']

# The documentation as a site (make docs).
DOCS = ['mkdocs>=1.6,<2.0']

EXTRAS_REQUIRE = {
    'onnx': ONNX,
    'tensorboard': TENSORBOARD,
    # The page of `mmvad report`; torch brings it as well.
    'report': ['jinja2>=3.1', 'markupsafe>=2.1'],
    'docs': DOCS,
    'dev': [
        *ONNX,
        *DOCS,
        *TENSORBOARD,
        'openmim>=0.3.9',
        'pytest>=8.0',
        'pytest-xdist>=3.5',
        'hypothesis>=6.100',
        'ruff>=0.9',
        'pre-commit>=3.0',
        'wheel',
    ],
}


class BuildWithMim(build_py):
    """Puts configs, tools and their index beside the package's modules in every distribution.

    An editable install reads the package from the source tree: there they are links.
    """

    def run(self) -> None:
        super().run()
        mim = Path(ROOT if self.editable_mode else self.build_lib, 'mmvad', '.mim')
        shutil.rmtree(mim, ignore_errors=True)
        mim.mkdir(parents=True)
        for name in MIM:
            if self.editable_mode:
                Path(mim, name).symlink_to(Path('..', '..', name))
            elif (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns('__pycache__', '*.pyc')
                shutil.copytree(ROOT / name, mim / name, ignore=ignored)
            else:
                shutil.copy(ROOT / name, mim / name)


class EditableForMim(editable_wheel):
    """Tells MIM and MMEngine where an editable install's package is.

    They join the folder of the distribution's metadata and the first name in `top_level.txt`, where
    no package lies in this case. Of an absolute path, joining leaves that path.
    """

    def _ensure_dist_info(self) -> None:
        super()._ensure_dist_info()
        Path(self.dist_info_dir, 'top_level.txt').write_text(f'{ROOT / "mmvad"}\nmmvad\n')


setup(
    name='mmvad',
    version=runpy.run_path(str(ROOT / 'mmvad' / 'version.py'))['__version__'],
    description='Unsupervised video anomaly detection on the OpenMMLab stack',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    author='The mmvad authors',
    license='Apache-2.0',
    license_files=['LICENSE'],
    keywords='computer vision, video anomaly detection, one-class learning',
    classifiers=[
        'Development Status :: 3 - Alpha',
        'Intended Audience :: Science/Research',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
    python_requires='>=3.10,<3.13',
    packages=find_packages(include=['mmvad', 'mmvad.*']),
    package_data={
        'mmvad': [f'**/*.{kind}' for kind in ('txt', 'json', 'yaml', 'yml', 'html', 'css', 'js')]
    },
    install_requires=INSTALL_REQUIRES,
    extras_require=EXTRAS_REQUIRE,
    entry_points={'console_scripts': ['mmvad = mmvad.cli:main']},
    cmdclass={'build_py': BuildWithMim, 'editable_wheel': EditableForMim},
    zip_safe=False,
)
