# Everything a person types. `make help` lists it.
VENV   := .venv
BIN    := $(VENV)/bin
PYTHON ?= python3

export DAGSTER_HOME := $(CURDIR)
export CURATION_STATE ?= $(CURDIR)/.dagster
# Installers that write no bytecode make every process compile every import again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test torture dev bench parity lint audit pins clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

# An environment of another Python version than PYTHON's, where that is given, or than its own python's is made anew.
CHOSEN := $(if $(filter file,$(origin PYTHON)),$(or $(wildcard $(BIN)/python),$(PYTHON)),$(PYTHON))
LIBRARY := $(VENV)/lib/$(shell $(CHOSEN) -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
ifeq ($(wildcard $(LIBRARY)),)
$(VENV)/.ready: again
endif
.PHONY: again

# The environment holds exact pins with hashes; it is brought up to date when they or the package's metadata change.
$(VENV)/.ready: pyproject.toml constraints.txt build_hook.py
	@echo "Making the environment in $(VENV) (once; about a minute)"
	@test -x $(BIN)/python -a -d $(LIBRARY) || $(PYTHON) -m venv --clear $(VENV)
	@sed -n '/^uv==/,/[^\\]$$/p' constraints.txt > $(VENV)/uv.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check -r $(VENV)/uv.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode \
		-c constraints.txt -b constraints.txt -e '.[test,lint]'
	@echo "Compiling the kernels"
	@$(BIN)/python -m curation_assets.kernels
	@touch $@

demo: $(VENV)/.ready  ## take the embedded sample snapshot from WARC to packed shards
	@$(BIN)/curation demo

test: $(VENV)/.ready  ## run the whole test suite
	@$(BIN)/python -m pytest

torture: $(VENV)/.ready  ## kill a hundred runs at any moment; what they resume to must be the same bytes
	@$(BIN)/python -m pytest curation_tests/test_survival.py --kills 100 -rP

dev: $(VENV)/.ready  ## open the Dagster UI on http://localhost:3000
	@mkdir -p $(CURATION_STATE)
	@$(BIN)/curation prepare
	@PYTHONWARNINGS='ignore:Function `dev_command` is superseded' $(BIN)/dagster dev -w workspace.yaml -h 127.0.0.1 -p 3000

# The published tools have an environment of their own, inside the project's; so have, inside that, those which do not
# get along with our pins. Where one of these cannot be installed, its comparisons are skipped, and say so.
PEERS := $(VENV)/peers
APART := daft dolma
$(PEERS)/.ready: $(VENV)/.ready $(APART:%=benchmarks/peers/%.txt)
	@echo "Making the environment of the published tools in $(PEERS) (once; about a minute)"
	@test -x $(PEERS)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(PEERS)
	@$(BIN)/uv pip install --quiet --python $(PEERS)/bin/python -c constraints.txt -b constraints.txt -e '.[peers]'
	@for tool in $(APART); do \
		$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(PEERS)/$$tool && $(BIN)/uv pip install --quiet \
			--python $(PEERS)/$$tool/bin/python --require-hashes -r benchmarks/peers/$$tool.txt \
		|| { echo "$$tool cannot be installed here"; rm -rf $(PEERS)/$$tool; }; done
	@touch $@

bench: $(PEERS)/.ready  ## our kernels beside named peers: BENCHMARKS="..." for some, FOLDER= SNAPSHOT= for real pages
	@$(PEERS)/bin/python -m benchmarks.record $(if $(FOLDER),--source $(FOLDER) --snapshot $(SNAPSHOT)) $(BENCHMARKS)
	@$(PEERS)/bin/python docs/write_performance.py

parity: $(PEERS)/.ready  ## compare every gate with datatrove's, on the WARC files in FOLDER="..."
	@$(PEERS)/bin/python -m benchmarks.parity $(if $(PAGES),--pages $(PAGES)) $(FOLDER)

lint: $(VENV)/.ready  ## ruff and pyright
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/pyright

# The newest auditor, in an environment of its own; what it cannot look up is an error, not a silence.
AUDIT := $(VENV)/audit
audit: $(VENV)/.ready  ## ask for known vulnerabilities of the pins; asks the package index itself, not a mirror
	@test -x $(AUDIT)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(AUDIT)
	@$(BIN)/uv pip install --quiet --upgrade --python $(AUDIT)/bin/python pip-audit
	@$(AUDIT)/bin/pip-audit --strict --disable-pip --require-hashes --requirement constraints.txt

PIN_APART := $(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 --generate-hashes \
	--no-annotate --no-header --no-emit-index-url --no-emit-find-links
pins: $(VENV)/.ready  ## resolve all pins again
	@printf 'hatchling\neditables\nfast-langdetect\nuv\n' | $(BIN)/uv pip compile --quiet --universal --upgrade \
		--python-version 3.11 --all-extras --generate-hashes --no-annotate --no-header --no-emit-index-url \
		--no-emit-find-links --output-file constraints.txt pyproject.toml -
	@printf 'daft\nnumpy\n' | $(PIN_APART) --output-file benchmarks/peers/daft.txt -
	@printf 'dolma\n' | $(PIN_APART) --output-file benchmarks/peers/dolma.txt -

clean:  ## delete the environment, the demo's lake and settings, and the Dagster state
	@rm -rf $(VENV) lake .dagster
	@! grep -qs '^# Written by `curation demo`' curation.yaml || rm curation.yaml
