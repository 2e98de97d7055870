# Everything runs in .venv, which the first target that needs it builds.
PYTHON ?= python3
BIN = .venv/bin

PYTEST = $(BIN)/python -m pytest -n auto --dist worksteal
IN_PROCESS = --ignore=tests/system --ignore=tests/docs
SEED = 20260131

.PHONY: install run demo test test-all docs-check soak mutants check schema-drawing bench screenshots outdated clean

install: .venv/runs       ## make .venv, with what runs it

run: install              ## serve on http://127.0.0.1:8080
	$(BIN)/python app.py serve

demo: install             ## the same, with demo content in data/demo.db
	test -e data/demo.db || { rm -f data/seeding.db*; \
		$(BIN)/python app.py seed --database data/seeding.db && mv data/seeding.db data/demo.db; }
	@echo "Study the SQL: http://127.0.0.1:$${ROWBOAT_PORT:-8080}/study"
	ROWBOAT_STUDY=on $(BIN)/python app.py serve --database data/demo.db

test: .venv/tests         ## the tests that run in one process, without a server
	$(PYTEST) $(IN_PROCESS) --randomly-seed=$(SEED)

test-all: test docs-check ## those once more with a random seed, the documents, and the tests that start processes
	seed=$$(date +%s) && echo "seed: $$seed" && $(PYTEST) $(IN_PROCESS) --randomly-seed=$$seed
	$(PYTEST) -n 3 tests/system --randomly-seed=$(SEED)

docs-check: .venv/tests   ## what the documents say: links, examples, commands and drawings
	$(PYTEST) tests/docs --randomly-seed=$(SEED)

soak: .venv/tests         ## the fault tests in their long form, other seeds each time; MINUTES=60
	MINUTES=$(or $(MINUTES),60) $(BIN)/python -m pytest -s tests/system/faults tests/test_model.py tests/test_properties.py tests/test_access.py

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

bench: .venv-bench/runs   ## Rowboat beside others, see bench/README.md; QUICK=1 for a short run
	.venv-bench/bin/python -m bench.run $(if $(QUICK),--quick) $(BENCH_ARGS)

screenshots: .venv/tests  ## the pictures in docs/images anew; needs chromium
	$(BIN)/python -m tests.docs.screenshots

outdated: .venv/tests     ## newer releases of what is pinned
	$(BIN)/pip list --outdated

clean:                    ## remove the environment; data/ stays
	rm -rf .venv/runs .venv

# Stop unless $(PYTHON) can make an environment; then make an empty one.
NEW_VENV = $(PYTHON) -c 'import sys; \
	sys.version_info < (3, 11) and sys.exit("Rowboat needs Python 3.11 or newer: make PYTHON=python3.12 ..."); \
	from importlib.util import find_spec; \
	find_spec("venv") and find_spec("ensurepip") or sys.exit("This Python has no venv module: apt-get install python3-venv")' \
	&& rm -rf $(@D) && $(PYTHON) -m venv $(@D)

PIP = $(@D)/bin/python -m pip --quiet --disable-pip-version-check
PINS = $(addprefix -r ,$(filter %.txt,$^))

# Install the pins of the .txt files that a target depends on. All are downloaded first: a download that fails changes nothing.
# A killed pip leaves half a package, hence the file `unfinished`.
define INSTALL_PINS
@test -e $(@D)/runs || { $(NEW_VENV); }
rm -rf $(@D)/wheels
$(PIP) wheel --wheel-dir $(@D)/wheels $(PINS)
touch $(@D)/unfinished
$(PIP) install --no-index --find-links $(@D)/wheels $(PINS)
rm -rf $(@D)/wheels
touch $@
rm $(@D)/unfinished
endef

# Without its stamp `runs`, an environment is made anew. Remove the stamp if an installation was interrupted, or if Python does
# not find the packages: a system upgrade can remove the Python that made them, or put another version in its place.
$(foreach venv,.venv .venv-bench,$(shell \
	test ! -e $(venv)/unfinished && $(venv)/bin/python -c 'import pip' 2>/dev/null || rm -f $(venv)/runs))

.venv/runs: requirements.txt
	$(INSTALL_PINS)

.venv/tests: .venv/runs requirements.txt tests/requirements.txt
	$(INSTALL_PINS)

.venv/mutants: .venv/tests requirements.txt tests/requirements.txt tests/mutmut_requirements.txt
	$(INSTALL_PINS)

.venv-bench/runs: requirements.txt bench/requirements.txt
	$(INSTALL_PINS)
	echo '*' > .venv-bench/.gitignore
