# Each target works alone in a fresh clone: .venv is made when it is missing or the pins changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Processes that run tests; those of a file stay together.
WORKERS ?= 2
# Simulations on large arrays give memory back and fetch it again all the time, a third of their time; glibc keeps it so.
KEEP_MEMORY := MALLOC_TRIM_THRESHOLD_=1073741824 MALLOC_MMAP_THRESHOLD_=268435456 MALLOC_TOP_PAD_=67108864

.PHONY: quickstart control test programs test-fast lint docs bench coverage mutants clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("accord needs Python 3.11 or newer; try make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $(STAMP)

quickstart: $(STAMP)  ## the whole loop on movie reviews: about seven minutes on two cores
	$(BIN)/accord run quickstart

# Without the tools of developers: what a user installs.
control:  ## the extra, and the backflip from 900 comparisons: about three minutes
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[control]"
	$(BIN)/accord run backflip

# The commands that tests start need not compile the package again: bytecode is written whatever the shell says.
test: $(STAMP) programs  ## the whole test suite
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(KEEP_MEMORY) $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations=15

# Reports and the studio are tested in Chromium, the studio's data on PostgreSQL too; without root those tests are skipped
# and say so.
programs:
	@missing=""; \
	command -v chromium >/dev/null || missing="chromium"; \
	command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$$missing postgresql"; \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing >/dev/null; fi

test-fast: $(STAMP)  ## without the slow tests
	$(BIN)/python -m pytest -m "not slow"

lint: $(STAMP)  ## style, types and the arrows of the house
	$(BIN)/ruff check src tests docs benchmarks examples
	$(BIN)/ruff format --check src tests docs benchmarks examples
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP)  ## the documentation, into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(STAMP)  ## what one step costs on this machine, and against TRL on the same rows
	$(BIN)/python -m benchmarks.steps
	$(BIN)/python -m benchmarks.precision
	$(KEEP_MEMORY) $(BIN)/python -m benchmarks.feedback
	$(BIN)/python -m benchmarks.limits
	$(BIN)/python -m benchmarks.report
	for trainer in sft reward dpo dpo-cached dpo-lora grpo rloo online-dpo sample ppo-vs-rloo import; do \
	  $(BIN)/python -m benchmarks.peers --trainer $$trainer --json; done
	$(BIN)/python -m benchmarks.peers --trainer grpo --rollouts 64 --rows 16 --repetitions 3 --json

coverage: $(STAMP)  ## how often the printed intervals hold the truth
	OMP_NUM_THREADS=1 $(KEEP_MEMORY) $(BIN)/python -m benchmarks.coverage

mutants: $(STAMP)  ## how many one-token mistakes the fast tests notice: at most three CPU-hours
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.mutants

clean:
	rm -rf $(VENV) site build dist
