# make demo: every program of the tutorial, once.  make up: the stack until Ctrl-C.  make test: the tests.
# Needs Python 3.11 or later, and nothing else: the rest goes into .venv.  Another Python: make demo PYTHON=python3.12
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
ENGINE ?= .engine

.PHONY: demo up status image test test-long test-compose bench bench-counter bench-queue chaos lesson picture screenshots docs lint install install-dev clean

install:
	@$(PYTHON) deploy/install.py $(VENV) requirements.txt

install-dev:
	@$(PYTHON) deploy/install.py $(VENV) requirements.txt requirements-dev.txt

demo: install
	@$(BIN)/python -m workers demo

up: install
	@$(BIN)/python -m workers up

status: install
	@$(BIN)/python -m workers status

# The image of docker-compose.yml, with the version and the commit as labels. Another name: make image IMAGE=interlock:next
IMAGE ?= interlock
image:
	@docker build --tag $(IMAGE) --file deploy/Dockerfile $(ARGS) . \
	  --build-arg VERSION="$$(sed -n 's/^__version__ = "\(.*\)"$$/\1/p' interlock/__init__.py)" \
	  --build-arg REVISION="$$(git describe --always --dirty --abbrev=40 --exclude='*')"

# Most tests wait, so three processes share them out: each begins with a third, so that tests which share a stack or a worker
# stay together (xdist's loadgroup groups nothing under pytest 9.2), then takes from the others. A part: make test ARGS=tests/aio
# On another server than the embedded one, which local stacks then use too: INTERLOCK_TEST_SERVER=/usr/bin/redis-server make test
test: install-dev
	@$(BIN)/python -m pytest -m "not long" -n 3 --dist worksteal $(ARGS)

# What repeats a test twenty times, tries faults at random, checks the model of the protocol or runs the measurements.
test-long: install-dev
	@$(BIN)/python -m pytest -m long -n 2 --dist loadfile $(ARGS)

# The compose file, on a Docker engine of its own (Debian, as root; what the engine keeps goes into $(ENGINE)).
test-compose: install-dev
	@.ci/with-docker.sh $(ENGINE) 'make image ARGS="--network=host --quiet"' '$(BIN)/python -m pytest tests/deploy'

# The Lock beside the locks of others, then the counter: some six minutes. To keep the figures: make bench ARGS=--save
bench: install
	@$(BIN)/python -m bench $(ARGS) && $(BIN)/python -m bench.counter $(ARGS)

# Faults while tasks flow: workers, their children and Redis killed, workers stopped, connections cut. An hour: MINUTES=60
chaos: install-dev
	@$(BIN)/python -m bench.kills --chaos --minutes $(or $(MINUTES),1) $(ARGS)

# The tutorial's locked counter beside the standard library's and redis-py's. More tasks: make bench-counter ARGS=--full
bench-counter: install
	@$(BIN)/python -m bench.counter $(ARGS)

# The workers beside stock Celery, dramatiq and taskiq: half an hour. Where a message's time goes: make bench-queue ARGS=--profile
bench-queue: install
	@$(BIN)/python -m bench.queue $(ARGS)

# Which concurrency fits which work, two minutes. To keep the figures, the picture and the page's table: make lesson ARGS=--save
lesson: install
	@$(BIN)/python -m bench.lesson $(ARGS)

# The pictures of the committed figures, and the table of docs/explanation/lesson.md.
picture: install
	@$(BIN)/python -m bench.counter.picture && $(BIN)/python -m bench.lesson.picture

# The pictures of the README and of docs/, made by the tests that open Flower in a browser.
screenshots: install-dev
	@$(BIN)/python -m pytest tests/workers/test_flower.py tests/workers/test_flower_look.py --screenshots docs/pictures

# The pages of docs/, in docs/_build/index.html. A warning, such as a link that leads nowhere, is an error.
docs: install-dev
	@$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build

lint: install-dev
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

clean:
	rm -rf $(VENV) $(VENV).lock $(ENGINE) bench/.venv docs/_build build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
