"""Build script of mmvad."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent

# What MIM and MMEngine look for in `<package>/.mim` of an installed OpenMMLab project.
MIM_FOLDERS = ('configs', 'tools')

INSTALL_REQUIRES = [
    'torch>=2.6',
    'torchvision>=0.21',
    'mmengine>=0.10.7,<1.0.0',
    'mmcv>=2.1.0,<2.2.0',
    'mmdet>=3.3.0,<4.0.0',
    'mmaction2>=1.2.0,<2.0.0',
    'open_clip_torch>=3.0,<4.0',
    'numpy>=2.0',
    'opencv-python>=4.9',
    'scipy>=1.13',
    'pycocotools>=2.0.7',
    'scikit-learn>=1.5',
    'matplotlib>=3.9',
    'pillow>=10.0',
    'tqdm>=4.60',
    'av>=14.1',
    'cachetools>=5.3',
    # Those before hold a lock in forked workers after the process that took it was killed.
    'filelock>=3.30',
    # mmaction2 1.2.0 imports importlib_metadata without declaring it.
    'importlib-metadata>=6.0',
    # MMEngine 0.10.7 imports pkg_resources in mmengine.hub; setuptools 81 drops it.
    'setuptools<81',
]

# Detectors in ONNX Runtime.
ONNX = ['onnx>=1.17', 'onnxruntime>=1.20']

EXTRAS_REQUIRE = {
    'onnx': ONNX,
    'dev': [
        *ONNX,
        'pytest>=8.0',
        'pytest-xdist>=3.5',
        'hypothesis>=6.100',
        'ruff>=0.9',
        'pre-commit>=3.0',
        'wheel',
    ],
}


class BuildWithMim(build_py):
    """Puts the configs and tools beside the package's modules in every built distribution.

    An editable install reads the package from the source tree and copies nothing.
    """

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        mim = Path(self.build_lib, 'mmvad', '.mim')
        shutil.rmtree(mim, ignore_errors=True)
        for folder in MIM_FOLDERS:
            shutil.copytree(
                ROOT / folder, mim / folder, ignore=shutil.ignore_patterns('__pycache__', '*.pyc')
            )


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
    package_data={'mmvad': ['**/*.txt', '**/*.json', '**/*.yaml', '**/*.yml']},
    install_requires=INSTALL_REQUIRES,
    extras_require=EXTRAS_REQUIRE,
    entry_points={'console_scripts': ['mmvad = mmvad.cli:main']},
    cmdclass={'build_py': BuildWithMim},
    zip_safe=False,
)
