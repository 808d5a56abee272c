# `make demo` and `make test` set up all that they need, from nothing but Python (3.10 or later) and git.

PYTHON ?= python3
BASE := .venv
DEV := .venv-dev
KERNELS := models/fused/_rows.cpp models/fused/_rows.inc flow/_gradients.cpp flow/_gradients.inc $(wildcard engines/native/*)
# ruff and mypy do not follow symbolic links on their own, but do where a path goes through one.
CODE := src/keywarp/*.py $(addprefix src/keywarp/,pipeline/ engines/ flow/ models/) tests benchmarks
PIP := -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: demo test check bench format clean

demo: $(BASE)/ready
	$(BASE)/bin/keywarp demo --out out

# Tests of the pipeline count seconds and pictures a second, and have the machine for themselves. All others run two at a
# time, file by file; threads that wait then sleep, for the other's sake.
test: $(DEV)/ready
	OMP_WAIT_POLICY=passive $(DEV)/bin/python -m pytest --ignore tests/pipeline \
	    --numprocesses 2 --dist loadfile --no-loadscope-reorder
	$(DEV)/bin/python -m pytest tests/pipeline

check: $(DEV)/ready
	$(DEV)/bin/ruff check $(CODE)
	$(DEV)/bin/ruff format --check $(CODE)
	$(DEV)/bin/mypy $(CODE)
	$(DEV)/bin/python -m pytest -q tests/test_imports.py

format: $(DEV)/ready
	$(DEV)/bin/ruff check --fix $(CODE)
	$(DEV)/bin/ruff format $(CODE)

bench: $(DEV)/ready
	$(DEV)/bin/python -m benchmarks

$(BASE)/ready: pyproject.toml constraints.txt $(KERNELS)
	$(PYTHON) -m venv $(BASE)
	$(BASE)/bin/python $(PIP) --editable .
	touch $@

# torch first, and by its exact version, so that a CPU build that pip is given (--find-links, an index) is taken.
$(DEV)/ready: pyproject.toml constraints.txt $(KERNELS)
	$(PYTHON) -m venv $(DEV)
	$(DEV)/bin/python $(PIP) torch==2.13.0
	$(DEV)/bin/python $(PIP) --editable '.[dev]'
	if pkg-config --exists gobject-introspection-1.0 cairo 2>/dev/null; then \
	    $(DEV)/bin/python $(PIP) --editable '.[gstreamer]'; fi
	touch $@

clean:
	rm -rf $(BASE) $(DEV) out build dist *.egg-info src/*.egg-info
