# make compare   set up, then the main job: does pre-training help on MNIST? Leaves runs/mnist, report.html in it.
# make bench     set up with the peers, then time this package beside them: minutes; writes benchmarks/RESULTS.md.
# make test      set up with the test extra, then everything that is checked.
PYTHON ?= python3
BIN = .venv/bin
# Threads that wait asleep: spinning ones starve each other wherever another process takes a core.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: compare bench test test-long check-python

compare: .venv/installed
	$(BIN)/layerwise compare --recipe mnist --out runs/mnist $(if $(wildcard runs/mnist/history.jsonl),--resume)

bench: .venv/installed-bench
	$(BIN)/python -m benchmarks

test: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --doctest-modules --pyargs layerwise benchmarks tests \
	  -m "not long" --durations=10

test-long: .venv/installed-test
	$(BIN)/python -m pytest -m long --durations=10

# The package is installed, not editable: a file missing from the wheel then shows.
SOURCES = pyproject.toml constraints.txt $(shell find src -type f -not -path '*/__pycache__/*')

.venv/installed: $(SOURCES) | check-python
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade --force-reinstall --no-deps -c constraints.txt .
	$(BIN)/python -m pip install --quiet -c constraints.txt .
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet -c constraints.txt '.[test]'
	touch $@

.venv/installed-bench: .venv/installed
	$(BIN)/python -m pip install --quiet -c constraints.txt '.[bench]'
	touch $@

check-python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than Python 3.11" >&2; echo "hint: make PYTHON=python3.11 ..." >&2; exit 2; }
