# make boards   real leaderboards of real flights in two or three minutes; SERVE=1 shows them in a page after
# make serve    the page and the query service over the boards that are there
# make test     everything that decides whether a change may land
# make check    lint, types and quick tests
# make clean    removes the environment; the data stays
#
# PYTHON=python3.12 picks another interpreter; DATA=/var/boards another data folder,
# PORT=9000 another port of the service.

PYTHON ?= python3
DATA ?= data
PORT ?= 8080
RUN = .venv/bin/python
LIBRARY = transforms/_plainlines.abi3.so
SETUP = .venv/bin/python setup.py constraints.txt transforms/plainlines.c $(wildcard transforms/plain/*.h) $(RETRY)
# Without the library, once there is a compiler.
RETRY = $(if $(wildcard $(LIBRARY)),,$(if $(shell command -v $(CC)),again))

.PHONY: boards serve test check clean help again

help:
	@sed -n 's/^# //p' Makefile

boards: .venv/ready-boards $(DATA)/flights.jsonl
	$(RUN) -m leaderboard.pipelines.topk --input=$(DATA)/flights.jsonl --windows=1h,1d --data_dir=$(DATA) --redis=embedded --postgres=embedded --parquet=$(DATA)/parquet --report=$(DATA)/report.json
ifdef SERVE
	@$(MAKE) --no-print-directory serve
endif

serve: .venv/ready-boards
	$(RUN) -m leaderboard.api.serve --data_dir=$(DATA) --redis=embedded --postgres=embedded --parquet=$(DATA)/parquet --port=$(PORT)

$(DATA)/flights.jsonl: | .venv/ready-boards
	$(RUN) -m leaderboard.pipelines.flights --output=$@

test: .venv/ready-test
	.venv/bin/ruff check .
	cd .venv/types && ../bin/mypy --config-file ../../pyproject.toml
	$(RUN) -m pytest

check: .venv/ready-test
	.venv/bin/ruff check .
	cd .venv/types && ../bin/mypy --config-file ../../pyproject.toml
	$(RUN) -m pytest -m 'not slow' -q

.venv/ready-boards: EXTRAS = api,embedded,flights
.venv/ready-boards: $(SETUP)
	$(install)
	@touch $@

# Installs with EXTRAS. Of a library that could not be built pip says nothing, and leaves an older one.
define install
@rm -f transforms/_plainlines.*
$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
@test -e $(LIBRARY) || echo 'make: no C compiler built transforms/plainlines.c: jobs give the same answers and take up to three times as long; for full speed install one (Debian: apt install gcc libc6-dev) and run make again' >&2
endef

# mypy does not see editable installs (but strict ones, which miss every module added later): it
# runs where a link makes the rooms `leaderboard.*`, and `io` is still the standard library's.
.venv/ready-test: EXTRAS = api,bench,dataflow,embedded,flights,test
.venv/ready-test: $(SETUP)
	$(install)
	@mkdir -p .venv/types && ln -sfn ../.. .venv/types/leaderboard
	@touch $@ .venv/ready-boards

.venv/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo 'make: $(PYTHON) is not installed; on Debian: apt install python3' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo 'make: Python 3.10 or newer is needed, $(PYTHON) is older; name another: make PYTHON=python3.12' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo 'make: the venv module of $(PYTHON) is missing; on Debian: apt install python3-venv' >&2; exit 1; }
	@echo 'Setting up .venv and installing pinned packages (about a minute)'
	@$(PYTHON) -m venv .venv

clean:
	rm -rf .venv build dist *.egg-info
