# Two commands for a newcomer: `make race` and `make test`; `make full` before a release, `make every` for all
# cases of all tests. Each sets up .venv first, once: `make race` installs what a race needs, the others add
# the tools of development to it.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt
LAB := .venv/.installed-lab
DEV := .venv/.installed-dev

.PHONY: race test full every lint format types unit marked processors examples docs bench clean

$(LAB): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) -e ".[lab]"
	@touch $@

$(DEV): $(LAB)
	$(PIP) -e ".[dev]"
	@touch $@

race: $(LAB)
	$(BIN)/thalweg race digits

# mypy and most examples keep one core busy, the unit tests all of them
test: $(DEV)
	$(MAKE) --jobs=2 lint types examples
	$(MAKE) unit

full: marked processors

every: $(DEV)
	THALWEG_TEST_EXAMPLES=4 $(BIN)/pytest -n auto --dist loadgroup -m ""

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(DEV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(DEV)
	$(BIN)/mypy

unit: $(DEV)
	$(BIN)/pytest -n auto --dist loadgroup

marked: $(DEV)
	THALWEG_TEST_EXAMPLES=4 $(BIN)/pytest -n auto --dist loadgroup -m "(full or hypothesis) and not every"

processors: $(DEV)
	$(BIN)/python tests/processors.py -n auto --dist loadgroup

examples: $(DEV)
	$(BIN)/python examples/run_all.py

docs: $(DEV)
	$(BIN)/python -m thalweg.optim.cards.docs_page docs/optimizers.md

bench: $(DEV)
	$(BIN)/python benchmarks/step.py
	$(BIN)/python benchmarks/fit.py
	$(BIN)/python benchmarks/race.py

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
