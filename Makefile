# Everything this repository can do, by twelve verbs; each creates .venv itself where it is missing.

PYTHON ?= python3
PROCESSES ?= 2
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
RECIPE := pyproject.toml constraints.txt
# what answers while one still remembers the change: no models, browsers, engines, killed processes or bombs
QUICK := architecture argument_names conversation corpora filters filters_nested filters_spellings fusion lexical messages metadata packaging \
         passages prompting retriever storage store

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo chat quick test prove check fix bench docs clean

help: ## Show these verbs (the default)
	@echo "make VERB, with python >= 3.11 (another one: make VERB PYTHON=python3.12)"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 12

setup: $(VENV)/dev.stamp ## Create .venv with everything for development

demo: $(VENV)/demo.stamp ## Index the standard library's docstrings and ask them questions
	@$(BIN)/dpr-rag demo --store demo.dpr
	@printf 'Or talk to it in the browser:\n  make chat\n'

chat: demo $(VENV)/chat.stamp ## Open a chatbot over the demo's store in the browser
	@$(BIN)/dpr-rag chat demo.dpr

quick: $(VENV)/dev.stamp ## Run the quick tests (passages, filters, words, stores, house rules): the inner loop
	@$(BIN)/python -m pytest -q -n $(PROCESSES) --dist loadfile $(foreach room,$(QUICK),$(wildcard tests/test_$(room).py))

test: $(VENV)/dev.stamp ## Run all tests, in two processes; another number: make test PROCESSES=4
	@$(BIN)/python -m pytest -q -n $(PROCESSES) --dist loadfile --no-loadscope-reorder

prove: $(VENV)/dev.stamp ## Try the guarantees at the size of a release, for hours or in pieces; options: make prove PROVE='fuzz --minutes 30'
	@PYTHONPATH=tests $(BIN)/python -m trials $(PROVE)

check: $(VENV)/dev.stamp ## Run the linter, the formatter's check and the type checker
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

fix: $(VENV)/dev.stamp ## Format the code and repair what the linter can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/dev.stamp .bench/stamp ## Measure speed and memory beside other stacks; options: make bench BENCH='--full …'
	@$(BIN)/python benchmarks/run.py --rivals .bench/bin/python $(BENCH)

docs: $(VENV)/dev.stamp .docs/stamp ## Build the documentation into site/, and check it
	@$(BIN)/python docs/tools/generate.py docs/reference/made
	@.docs/bin/zensical build --strict
	@$(BIN)/python docs/tools/check_site.py site

clean: ## Remove .venv, caches, builds and the demo's store
	rm -rf $(VENV) .bench .docs .prove .cache bench site docs/reference/made demo.dpr dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/venv.stamp:
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; \
	sys.exit(f"dpr-rag needs python >= 3.11, {sys.executable} is {v}; try: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@echo "creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/dev.stamp: $(VENV)/venv.stamp $(RECIPE)
	@echo "installing dpr-rag with the tools for development (torch included: minutes the first time)"
	@$(PIP) -e '.[dev]'
	@touch $(VENV)/demo.stamp $(VENV)/chat.stamp $@

$(VENV)/chat.stamp: $(VENV)/venv.stamp $(RECIPE)
	@echo "installing the chatbot's page"
	@$(PIP) -e '.[chat]'
	@touch $(VENV)/demo.stamp $@

.bench/stamp: benchmarks/rivals.txt
	@echo "installing the other stacks in .bench"
	@$(PYTHON) -m venv .bench
	@.bench/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/rivals.txt
	@.bench/bin/python -m pip uninstall --quiet --yes torchvision # unused; beside a CPU build of torch it breaks transformers
	@touch $@

.docs/stamp: docs/tools/requirements.txt constraints.txt
	@echo "installing the builder of the documentation in .docs"
	@$(PYTHON) -m venv .docs
	@.docs/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r docs/tools/requirements.txt
	@touch $@

$(VENV)/demo.stamp: $(VENV)/venv.stamp $(RECIPE)
	@echo "installing dpr-rag"
	@$(PIP) -e .
	@touch $@
