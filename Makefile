# Every target starts from a clean clone: it makes the virtual environment first where that is
# missing, and a second run finds it complete. Each step of the set-up leaves its stamp only when all
# of it has succeeded, so a half-made environment is finished, never taken as it is.

# The interpreter to make the environment with, 3.10 to 3.12; the tested one is tried first.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.10 python3; do \
	$$python -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' 2>/dev/null \
	&& echo $$python && break; done)
VENV ?= .venv
# A folder that may hold ready wheels, such as an mmcv built earlier. Never needed.
WHEELS ?= ../shared/wheels

CONSTRAINTS := requirements/constraints.txt
PY := $(VENV)/bin/python
PIP_INSTALL := $(PY) -m pip install --quiet --constraint $(CONSTRAINTS)
FIND_LINKS := $(if $(wildcard $(WHEELS)),--find-links $(WHEELS))

# What mmcv's build asks of the environment, since it runs without one of its own: the torch that
# it is compiled against, and the cv2 that its metadata adapts to.
MMCV_BUILD_NEEDS := setuptools wheel ninja psutil numpy opencv-python torch torchvision
# With a GPU but no CUDA compiler, mmcv's build would fail: hide the GPU from it.
MMCV_INSTALL := $(PY) -c 'import torch.utils.cpp_extension as e; exit(e.CUDA_HOME is None)' \
	|| { echo 'No CUDA compiler here: mmcv gets operators for the CPU only.'; \
	     export CUDA_VISIBLE_DEVICES=; }; \
	MMCV_WITH_OPS=1 $(PIP_INSTALL) --no-build-isolation

.DELETE_ON_ERROR:
.PHONY: help venv test test-faults test-stacks demo docs lint clean

help:  ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' \
		| while IFS='|' read -r name text; do printf '  make %-11s %s\n' "$$name" "$$text"; done

venv: $(VENV)/.stamp-mmvad  ## Make the virtual environment with the tested releases

# A process a core, each with whole files of tests; torch then takes one thread in each.
test: lint  ## Check the style and run every test
	OMP_NUM_THREADS=1 $(PY) -m pytest -n auto --dist loadfile

test-faults: venv  ## Damaged files by the thousand, killed runs, full disks: about an hour
	$(PY) -m pytest tests/faults

# Environments of their own, made anew; none is compiled. Which stacks: tests/stacks/stacks.py.
test-stacks:  ## Other Python versions, lowest releases and forks: install and run a small job
	$(PYTHON) tests/stacks/run.py

docs: venv  ## Build the documentation as a site in build/docs
	$(PY) -m mkdocs build --strict --quiet

demo: venv  ## Train and score LocalVAD on the built-in synthetic dataset
	$(PY) tools/train.py configs/localvad/plaza.py --work-dir work_dirs/demo

lint: venv  ## Check the style
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

clean:  ## Remove the environment, build leftovers, caches and the demo's results
	rm -rf $(VENV) build dist mmvad.egg-info .pytest_cache .ruff_cache work_dirs/demo
	find mmvad configs tools tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.stamp-torch: $(CONSTRAINTS)
	@test -n '$(PYTHON)' || { \
		echo 'mmvad needs Python 3.10, 3.11 or 3.12, and none was found.' >&2; \
		echo 'Name one: make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' || { \
		echo 'mmvad needs Python 3.10, 3.11 or 3.12, and $(PYTHON) is not one.' >&2; exit 1; }
	@echo 'Making $(VENV) with $(PYTHON); torch is a large download.'
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) $(MMCV_BUILD_NEEDS)
	@touch $@

# A wheel in $(WHEELS) or in pip's cache may have been built for another torch. Only loading it
# tells; one that does not load is built anew.
$(VENV)/.stamp-mmcv: $(VENV)/.stamp-torch
	@echo 'Installing mmcv. Without a ready wheel its operators are compiled:'
	@echo 'about 20 minutes on two cores, with nothing printed meanwhile.'
	@$(MMCV_INSTALL) $(FIND_LINKS) mmcv
	@$(PY) -c 'import mmcv.ops' || { \
		echo 'The mmcv found does not load with this torch: compiling it (about 20 minutes).'; \
		$(MMCV_INSTALL) --no-cache-dir --no-binary mmcv --no-deps --force-reinstall mmcv \
		&& $(PY) -c 'import mmcv.ops'; }
	@touch $@

$(VENV)/.stamp-mmvad: $(VENV)/.stamp-mmcv setup.py pyproject.toml mmvad/version.py
	@echo 'Installing mmvad and the rest of what it needs.'
	$(PIP_INSTALL) --no-build-isolation --editable '.[dev]'
	@touch $@
