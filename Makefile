# Everything runs in .venv, which the first target that needs it builds.
PYTHON ?= python3
BIN = .venv/bin

# How many processes is said in tests/conftest.py.
PYTEST = $(BIN)/python -m pytest -n auto --dist worksteal

.PHONY: install run demo test test-all soak mutants check schema-drawing bench screenshots outdated clean

install: .venv/runs       ## make .venv, with what runs it

run: install              ## serve on http://127.0.0.1:8080
	$(BIN)/python app.py serve

demo: install             ## the same, with demo content in data/demo.db
	test -e data/demo.db || { rm -f data/seeding.db*; \
		$(BIN)/python app.py seed --database data/seeding.db && mv data/seeding.db data/demo.db; }
	@echo "Study the SQL: http://127.0.0.1:$${ROWBOAT_PORT:-8080}/study"
	$(BIN)/python app.py serve --database data/demo.db

test: .venv/tests         ## all tests that need only Python
	$(PYTEST) -m "not slow"

test-all: .venv/tests     ## all tests, with chances that are the same each time
	$(PYTEST) --randomly-seed=20260131 -m "not alone"
	$(BIN)/python -m pytest --randomly-seed=20260131 -m alone

soak: .venv/tests         ## the tests in tests/faults in their long form, other ones each time; MINUTES=60
	MINUTES=$(or $(MINUTES),60) $(BIN)/python -m pytest -s tests/faults

mutants: .venv/mutants    ## mistakes made on purpose, in sql/ and in Python: do the tests notice them? Takes long
	$(BIN)/python -m tests.mutate_sql
	mkdir -p .mutants/mutants
	for copy in .mutants .mutants/mutants; do git ls-files -co --exclude-standard | tar -cT - | tar -xC $$copy; done
	cd .mutants && ../$(BIN)/mutmut run && ../$(BIN)/mutmut results

check: .venv/tests        ## the linters
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .

schema-drawing: install   ## docs/schema.dot and docs/schema.svg; needs Graphviz
	$(BIN)/python -m study.drawing
	dot -Tsvg -o docs/schema.svg docs/schema.dot

bench: .venv-bench/bench  ## Rowboat beside others, see bench/README.md; QUICK=1 for a short run
	.venv-bench/bin/python -m bench.run $(if $(QUICK),--quick) $(BENCH_ARGS)

screenshots: .venv/tests  ## the pictures in docs/images anew; needs chromium
	$(BIN)/python -m tests.browser.screenshots

outdated: .venv/tests     ## newer releases of what is pinned
	$(BIN)/pip list --outdated

clean:                    ## remove the environment; data/ stays
	rm -rf .venv

.venv/runs: requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Rowboat needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/tests: .venv/runs tests/requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	touch $@

.venv/mutants: .venv/tests tests/mutmut_requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -r tests/mutmut_requirements.txt
	touch $@

.venv-bench/bench: requirements.txt bench/requirements.txt
	$(PYTHON) -m venv .venv-bench
	echo '*' > .venv-bench/.gitignore
	.venv-bench/bin/pip install --quiet --disable-pip-version-check -r requirements.txt -r bench/requirements.txt
	touch $@
