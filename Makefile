# Two commands for a newcomer: `make race` and `make test`; `make full` before a release. Each sets up .venv
# first, once.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: race test full lint format types unit marked processors examples docs bench clean

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $(STAMP)

race: $(STAMP)
	$(BIN)/thalweg race digits

test: lint types unit examples

full: marked processors

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP)
	$(BIN)/mypy

unit: $(STAMP)
	$(BIN)/pytest -n auto --dist loadgroup

marked: $(STAMP)
	THALWEG_TEST_EXAMPLES=4 $(BIN)/pytest -n auto --dist loadgroup -m "full or hypothesis"

processors: $(STAMP)
	$(BIN)/python tests/processors.py -n auto --dist loadgroup

examples: $(STAMP)
	$(BIN)/python examples/run_all.py

docs: $(STAMP)
	$(BIN)/python -m thalweg.optim.cards.docs_page docs/optimizers.md

bench: $(STAMP)
	$(BIN)/python benchmarks/step.py
	$(BIN)/python benchmarks/fit.py
	$(BIN)/python benchmarks/race.py

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
