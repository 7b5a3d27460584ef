# On a fresh machine `make demo` and `make test` do everything; the rest is for development.
VENV := .venv
PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
PHOTOS ?=
ENCODER ?=
WEIGHTS ?=
GALLERY ?= demo
PORT ?=

.PHONY: install demo test torture lint types web web-test serve openapi audit bench bench-table lock wheel clean

install: $(INSTALLED)

# uv installs in seconds what pip installs in minutes; where it is missing, it is put into the
# environment itself. Hashes are checked against constraints.txt. Bytecode is compiled at once, for half a
# minute: a process that may not write it compiles torch anew at every start, which takes seconds.
$(INSTALLED): pyproject.toml constraints.txt
	@command -v uv >/dev/null 2>&1 || test -x $(VENV)/bin/uv || \
		{ python3 -m venv $(VENV) && $(VENV)/bin/pip install --quiet uv; }
	@UV=$$(command -v uv || echo $(VENV)/bin/uv); \
	test -x $(PYTHON) || $$UV venv --quiet $(VENV); \
	$$UV pip install --quiet --python $(PYTHON) --compile-bytecode --require-hashes -r constraints.txt && \
	$$UV pip install --quiet --python $(PYTHON) --no-deps --editable .
	@touch $@

demo: install
	@$(VENV)/bin/placeprint demo $(if $(PHOTOS),--photos "$(PHOTOS)") $(if $(ENCODER),--encoder "$(ENCODER)") $(if $(WEIGHTS),--weights "$(WEIGHTS)")

test: install
	@OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder -m "not slow and not gpu and not server"

# What must never go wrong, tried for a quarter of an hour; PLACEPRINT_TORTURE=full takes a night, and
# ROWS=r01 tries one row. Figures go to bench/rows.
torture: install
	@OMP_NUM_THREADS=1 $(PYTHON) -m pytest tests/torture -m "slow or not slow" -p no:cacheprovider $(if $(ROWS),-k "$(ROWS)"); \
	code=$$?; $(PYTHON) tests/torture_report.py; exit $$code

lint: install types
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .

# The checkout is the package: mypy finds it through a folder of links that carries its name.
types: install
	@mkdir -p build/types/placeprint
	@for part in __init__.py py.typed encoders indexer api; do \
		ln -sfn "$(CURDIR)/$$part" build/types/placeprint/$$part; done
	@MYPYPATH=build/types $(PYTHON) -m mypy -p placeprint

# The page, built once; without npm the service runs without it and says so.
WEB := api/web/dist/index.html
$(WEB): $(shell find api/web/src api/web/tools api/web/index.html api/web/package-lock.json 2>/dev/null)
	@if command -v npm >/dev/null 2>&1; then \
		cd api/web && npm ci --no-audit --no-fund --silent && npm run build --silent; \
	else echo "npm is not installed, so the web page is left out"; fi

web: $(WEB)

web-test: web
	@cd api/web && npm test --silent

# The demonstration's photos are drawn, so that their places may be told exactly; yours are told to
# the state unless you say otherwise.
serve: install web
	@if [ -z "$$PLACEPRINT_HOME" ]; then \
		export PLACEPRINT_HOME=demo/home PLACEPRINT_PRECISION="$${PLACEPRINT_PRECISION:-exact}"; \
		test -f demo/report.html || $(MAKE) --no-print-directory demo; fi; \
	$(VENV)/bin/placeprint serve --gallery $(GALLERY) $(if $(PORT),--port $(PORT))

openapi: install
	@$(PYTHON) -m placeprint.api.openapi > api/openapi.json

audit: install
	@.ci/audit

# Every speed beside a peer, each script by itself: ROWS=P13,P17 measures some. Peers that are not among the
# dependencies are in the extra `bench`; GEOCLIP is the site-packages folder of an environment with geoclip.
bench: install
	@$(PYTHON) tests/benchmarks/scoreboard.py --run "$(or $(ROWS),all)" --out bench $(if $(GEOCLIP),--geoclip-path "$(GEOCLIP)") $(if $(PHOTOS),--photos "$(PHOTOS)")

# The table in README and tests/benchmarks/scoreboard.json, from what `bench` and `torture` left in bench/rows.
bench-table: install
	@$(PYTHON) tests/benchmarks/scoreboard.py --run none --out bench --readme

lock:
	uv pip compile pyproject.toml --extra dev --generate-hashes --no-emit-index-url --universal \
		--python-version 3.11 --no-header -o constraints.txt

wheel: install web
	@$(PYTHON) -m build --wheel --outdir dist .

clean:
	rm -rf $(VENV) build dist demo bench *.egg-info
