# Every target makes .venv first, from the lock. Without make: README.md has each as a plain command.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help report test stress lint lab notebooks handout slides figures bench environment lock clean

PYTHON ?= python3
LOCK := requirements.lock
ENV := .venv/made-from-lock
PY := .venv/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help:  ## this list
	@echo "make TARGET   (DMRI_PROFILE=tiny|demo|full and DMRI_DATA=phantom|PATH choose what the notebooks run on)"
	@sed -n 's/^\([a-z]*\):.*##/\1/p' Makefile | while read -r target text; do printf '  %-12s %s\n' "$$target" "$$text"; done

report: $(ENV)  ## execute the notebooks, render the site build/report/index.html, print the report and the book
	$(PY) -m dmri_helpers report

test: $(ENV)  ## style and types; all tests: helpers, report, browser; then every notebook on the tiny profile
	status=0; export OMP_NUM_THREADS=1; \
	$(MAKE) --no-print-directory lint || status=$$?; \
	$(PY) -m pytest -n 2 --dist loadscope --durations=25 tests || status=$$?; \
	DMRI_PROFILE=tiny DMRI_DATA=phantom $(PY) -m pytest -n 2 --dist loadfile -p no:cacheprovider \
	    --nbval-lax --nbval-current-env notebooks || status=$$?; \
	exit $$status

stress: $(ENV)  ## thousands of damaged files, commands killed at random -> figures/reliability/, site/reliability.md
	OMP_NUM_THREADS=1 $(PY) tests/stress/stress.py $(STRESS) 2>/dev/null

lint: $(ENV)  ## style (ruff) and types (mypy), without tests
	@status=0; \
	echo "ruff check: rules of style, in the package, the tests and the notebooks"; \
	$(PY) -m ruff check --quiet || status=$$?; \
	echo "ruff format --check: layout of the lines, in the package and the tests"; \
	$(PY) -m ruff format --quiet --check || status=$$?; \
	echo "mypy: types of the taught core, of results and of runs"; \
	$(PY) -m mypy --no-error-summary || status=$$?; \
	exit $$status

lab: $(ENV)  ## open the first notebook in JupyterLab
	$(PY) -m jupyter lab notebooks/01_sampling.ipynb

notebooks: $(ENV)  ## notebooks/*.py -> notebooks/*.ipynb, executed on the demo profile, to commit
	$(PY) -c "from dmri_helpers.course.notebooks import write_notebooks; write_notebooks()"

handout: $(ENV)  ## student notebooks, a zip for a course platform, forms for graders, model answers -> build/handout*
	$(PY) -c "from dmri_helpers.course.handout import write_handout; write_handout()"

slides: $(ENV)  ## a deck of slides for every session, from the executed notebooks -> build/slides/
	$(PY) -c "from dmri_helpers.course.slides import write_slides; write_slides()"

figures: $(ENV)  ## what the notebooks drew and measured on phantoms -> figures/, the tables of README.md
	$(PY) -c "from dmri_helpers.course.figures import write_figures; write_figures()"

bench: $(ENV)  ## quality, time and memory of everything on this machine -> figures/benchmark.*, site/bench.md
	$(PY) -m dmri_helpers bench --json figures/benchmark.json --md figures/benchmark.md --png figures/benchmark.png \
	    --force $(BENCH)
	$(PY) -c "from dmri_helpers.course.figures import write_readme; write_readme()"

environment: $(ENV)  ## make .venv, and no more

$(ENV): $(LOCK) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	    echo "This course needs Python 3.10 or newer, and '$(PYTHON)' is not: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { \
	    echo "'$(PYTHON)' cannot make environments: install its venv module (Debian and Ubuntu: python3-venv)." >&2; exit 1; }
	@echo "Making .venv from $(LOCK): some minutes, once."
	@$(PYTHON) -m venv --clear .venv
	@$(PY) -m pip install --no-compile --progress-bar off -r $(LOCK) 2>&1 | { \
	    n=0; while read -r line; do case "$$line" in \
	        Collecting*|Processing*|Requirement*) n=$$((n + 1)); ((n % 25)) || echo "  $$n packages found";; \
	        Downloading*\([0-9][0-9]*MB\)*|Downloading*GB\)*) echo "  $$line";; \
	        Installing*) echo "  installing $$n packages";; \
	        Downloading*|Using*|Looking*|Preparing*|Successfully*|Ignoring*|Attempting*|Found*|Uninstalling*|WARNING:\ Location*) ;; \
	        *) echo "$$line" >&2;; \
	    esac; done; }
	@$(PY) -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

lock:  ## resolve the lock anew from pyproject.toml (needs uv)
	uv pip compile --quiet --universal --python-version 3.10 --all-extras --group build \
	    --no-annotate --no-header pyproject.toml --output-file $(LOCK)

clean:  ## remove what was built (build/, caches); .venv and runs/ stay
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis dmri_helpers.egg-info
	find dmri_helpers notebooks tests -name __pycache__ -o -name .ipynb_checkpoints | xargs rm -rf
