# make demo: every program of the tutorial, once.  make up: the stack until Ctrl-C.  make test: all tests.
# Needs Python 3.11 or later, and nothing else: the rest goes into .venv.  Another Python: make demo PYTHON=python3.12
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo up status test lint install clean

install:
	@$(PYTHON) deploy/install.py $(VENV)

demo: install
	@$(BIN)/python -m workers demo

up: install
	@$(BIN)/python -m workers up

status: install
	@$(BIN)/python -m workers status

test: install
	@$(BIN)/python -m pytest

lint: install
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
