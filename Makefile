# The two commands of the README. Everything is installed into .venv, nothing outside it.
PYTHON ?= python3
VENV ?= .venv
DB ?= headstart.db
BIN := $(VENV)/bin

.PHONY: quickstart test lint clean

quickstart: $(VENV)/.installed
	$(BIN)/headstart tune deepseek-v4-flash --phase decode --tokens 16 --ep 8 --for 3m --db $(DB)

test: $(VENV)/.installed-test lint
	$(BIN)/python -m pytest -q --numprocesses logical --maxprocesses 4 --dist worksteal

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cd tuning_db/runtime && $(abspath $(BIN))/mypy --config-file ../../pyproject.toml -p headstart_runtime

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[report]'
	touch $@

# torch 2.13.0 has a CPU build; a newer release brings several gigabytes of CUDA packages.
$(VENV)/.installed-test: pyproject.toml $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet 'torch==2.13.0'
	$(BIN)/python -m pip install --quiet --editable '.[test,torch,onnx,report]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
