# SPDX-License-Identifier: Apache-2.0
# `make` prints what there is. Each variable in capitals is the option of the same name of the command `floreana`.

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python

.DEFAULT_GOAL := help
.PHONY: help env env-test sim plan schema verify bench bench-check bench-sim bench-net formal synth vivado projects net-demo top fuzz vectors peer spec regress test lint clean distclean resources model-check ipxact map
.NOTPARALLEL:

# ---------------------------------------------------------------- variables that become options
# A value goes through the environment and is never expanded by make or by the shell: any text is safe. Only variables given on make's
# command line count, so that a SIM or OUT that happens to be in the environment changes nothing.
OPTIONS := PROJECT TEXT TEXT_FILE TOKENS SEED SIM LINK_DELAY LOSS DUP REORDER CORRUPT DELAY CUT RESTART DEAD LOAD IN_FLIGHT COMPARE_CLEAN VECTORS \
           ENCODER RANKS HOSTFILE WINDOW WAVES JOBS OUT CHECK MODEL NODES
# of other targets than sim
MORE_OPTIONS := SEEDS TORCH_INDEX ONLY KEEP TOP INTERVAL ONCE FRAMES RECORD AGAIN REFRESH
MORE_OPTIONS += SEQUENCES RUNS WARMUP DEVICE DTYPE MODE THREADS GPU_PYTHON DEVICES CLOCK AIE_EFFICIENCY
GIVEN := $(foreach name,$(OPTIONS) $(MORE_OPTIONS),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
unexport $(OPTIONS) $(MORE_OPTIONS)

# option_of: LINK_DELAY -> link-delay
lower = $(subst A,a,$(subst B,b,$(subst C,c,$(subst D,d,$(subst E,e,$(subst F,f,$(subst G,g,$(subst H,h,$(subst I,i,$(subst J,j,\
$(subst K,k,$(subst L,l,$(subst M,m,$(subst N,n,$(subst O,o,$(subst P,p,$(subst Q,q,$(subst R,r,$(subst S,s,$(subst T,t,\
$(subst U,u,$(subst V,v,$(subst W,w,$(subst X,x,$(subst Y,y,$(subst Z,z,$(1)))))))))))))))))))))))))))
option_of = --$(subst _,-,$(strip $(call lower,$(1))))="$$FLOREANA_$(1)"
define export_value
export FLOREANA_$(1) := $$(value $(1))
endef
$(foreach name,$(GIVEN),$(eval $(call export_value,$(name))))

arguments = $(foreach name,$(filter $(1),$(GIVEN)),$(call option_of,$(name)))

# make's own settings must not reach the makefile that Verilator writes
FLOREANA := env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u MAKEOVERRIDES -u PYTHONPATH -u PYTHONHOME $(VENV)/bin/floreana

# the same for tools that read no settings of the caller's Python either
ALONE := env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u MAKEOVERRIDES -u PYTHONPATH -u PYTHONHOME

# ---------------------------------------------------------------- targets
help:
	@echo 'Floreana: integer-only transformers on simulated FPGAs that talk Ethernet'
	@echo
	@echo '  make sim                       six FPGAs turn a sentence into its embedding, bit for bit'
	@echo '  make sim TEXT="any sentence"   another sentence (or TEXT_FILE=file, one a line)'
	@echo '  make sim PROJECT=tiny_2 SIM=icarus   two nodes, under Icarus Verilog'
	@echo '  make verify                    compare the capture of the last run with the model once more'
	@echo '  make plan                      who computes what, and where it lies'
	@echo '  make map                       what the mapper decides of a description with strategy auto (docs/mapper.md)'
	@echo '  make schema                    docs/project.schema.json anew, for editors of project.yaml'
	@echo '  make ipxact                    Tcl scripts that package the kernels as IP-XACT (ONLY=module)'
	@echo '  make bench                     cycles, busy arrays, scaling, load of the wire (ONLY=name, RECORD=1, AGAIN=1)'
	@echo '  make bench-check               cycles of small runs against the recorded ones (RECORD=1 records)'
	@echo '  make model-check               cycles of the schedule model against those of the RTL simulation (ONLY=name, RECORD=1)'
	@echo '  make synth                     resources and logic levels of a node by Yosys, against its FPGA (docs/resources.md)'
	@echo '  make vivado PROJECT=name       Vivado projects for the boards of its nodes, in build/name/vivado (docs/vivado.md)'
	@echo '  make projects                  those of every project of fpga_projects/'
	@echo '  make resources                 formulas of those resources against what Yosys measured (REFRESH=1: measure again)'
	@echo '  make bench-sim                 speed of the simulation against its bare multipliers'
	@echo '  make estimate                  latency, throughput, utilisation on 1 to 72 boards, beside GPUs (DEVICES=, ONLY=, CLOCK=, RECORD=1)'
	@echo '  make gpu-baseline              BERT-base by PyTorch on the CPU or GPU that is there (GPU_PYTHON= has torch already)'
	@echo '  make net-demo                  the cluster behind TAP devices: real ping, a sentence over a socket (as root; KEEP=1 stays)'
	@echo '  make top                       live counters of all nodes of a running net-demo (as root; ONCE=1: one table)'
	@echo '  make fuzz                      200,000 hostile frames into a node that computes (FRAMES=, SEED=)'
	@echo '  make vectors VECTORS=folder    recorded vectors of a real I-BERT through the model and the RTL units'
	@echo '  make sim PROJECT=ibert_base_6 VECTORS=folder   the same, inside six nodes'
	@echo '  make peer                      the integer model against the published I-BERT code (TORCH_INDEX= names an index for torch)'
	@echo '  make spec                      MyHDL specifications against the hand-written units'
	@echo '  make bench-net                 latency, throughput and incast of the network between kernel ports'
	@echo '  make formal                    formal proofs of switch, transport, multipliers, clock crossing (QUICK=1, ONLY=name)'
	@echo '  make regress                   the full matrix, in parallel (QUICK=1, LIST=1, ONLY=pattern, SEED=, SEEDS=, JOBS=)'
	@echo
	@echo '  make test                      all benches and Python tests (ARGS="-k skid" chooses)'
	@echo '  make lint                      dialect gate on every module, ruff, mypy, SPDX'
	@echo '  make env                       make the environment .venv only'
	@echo '  make clean                     remove build/      make distclean   remove .venv too'
	@echo
	@echo 'Variables of sim (on the command line; floreana sim --help explains them):'
	@echo '  $(OPTIONS)' | fold -s -w 100
	@echo 'PYTHON=python3.12 chooses the Python that .venv is made with (3.11 or newer).'

# The version is looked at here, in words that any Python reads; the rest python/bootstrap.py checks before it writes anything.
define check_python
command -v $(PYTHON) > /dev/null 2>&1 || { echo 'error: $(PYTHON) is missing: Debian, Ubuntu `apt install python3`, Fedora `dnf install python3`' >&2; exit 3; }; \
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'error: $(PYTHON) is older than 3.11: Debian, Ubuntu `apt install python3.11`, Fedora `dnf install python3.11`, then make PYTHON=python3.11 ...' >&2; exit 3; }
endef

env:
	@$(check_python)
	@$(PYTHON) python/bootstrap.py

env-test:
	@$(check_python)
	@$(PYTHON) python/bootstrap.py --icarus

# Icarus is seen to only where it is asked for: a machine without it runs everything else
sim: $(if $(filter icarus,$(value SIM)),env-test,env)
	@$(FLOREANA) sim $(call arguments,$(OPTIONS))

# What mapping.strategy: auto comes to (docs/mapper.md)
map: env
	@$(FLOREANA) map $(call arguments,PROJECT NODES OUT)

plan: env
	@$(FLOREANA) plan $(call arguments,PROJECT NODES OUT TOKENS)

# After a change of the description's keys
schema: env
	@mkdir -p build && $(FLOREANA) schema > build/schema.json && mv build/schema.json docs/project.schema.json

# Tcl that packages each kernel as IP-XACT in Vivado (docs/ecosystem.md)
ipxact: env
	@$(FLOREANA) ipxact $(call arguments,ONLY OUT)

verify: env
	@$(FLOREANA) verify "$${FLOREANA_OUT:-build}/$${FLOREANA_PROJECT:-minilm_6}"

# Whole clusters against what they are to reach, and against their record (docs/bench.md)
bench: env
	@$(FLOREANA) bench $(call arguments,ONLY RECORD AGAIN MODEL JOBS OUT)

bench-check: $(if $(filter icarus,$(value SIM)),env-test,env)
	@$(FLOREANA) bench-check $(call arguments,RECORD SIM JOBS OUT)

# The schedule model against the RTL simulation (docs/schedule.md)
model-check: env
	@$(FLOREANA) model-check $(call arguments,ONLY RECORD JOBS OUT)

bench-sim: env
	@$(FLOREANA) bench-sim $(call arguments,PROJECT TEXT MODEL JOBS OUT NODES)

# The cluster on a real Linux network (docs/net-demo.md); needs CAP_NET_ADMIN and says so
net-demo: $(if $(filter icarus,$(value SIM)),env-test,env)
	@$(FLOREANA) net-demo $(call arguments,PROJECT NODES OUT TEXT TEXT_FILE TOKENS SEED SIM LOSS DUP REORDER LOAD IN_FLIGHT MODEL JOBS KEEP TOP)

top: env
	@$(FLOREANA) top $(call arguments,PROJECT NODES OUT INTERVAL ONCE)

# Latency, throughput and utilisation on 1 to 72 boards (docs/estimates.md)
.PHONY: estimate gpu-baseline
estimate: env
	@$(FLOREANA) estimate $(call arguments,PROJECT TOKENS DEVICES ONLY CLOCK AIE_EFFICIENCY RECORD OUT)

# BERT-base by PyTorch on the CPU or GPU that is there (docs/estimates.md): torch comes into .venv-peer, GPU_PYTHON= names one that has it
gpu-baseline: env
	@$(FLOREANA) gpu-baseline $(call arguments,SEQUENCES RUNS WARMUP DEVICE DTYPE MODE THREADS GPU_PYTHON TORCH_INDEX OUT)

# Hostile frames into nodes that compute (docs/fuzz.md)
fuzz: $(if $(filter icarus,$(value SIM)),env-test,env)
	@$(FLOREANA) fuzz $(call arguments,PROJECT FRAMES TOKENS TEXT SEED SIM RESTART MODEL NODES JOBS OUT)

# Recorded vectors of a real I-BERT through the integer model and the RTL units (docs/vectors.md)
vectors: env
	@$(PY) -m floreana.report.vectors $(call arguments,VECTORS ENCODER JOBS OUT)

# The published I-BERT code, in an environment of its own (docs/peer.md); QUICK=1 for few small cases
peer: env
	@$(ALONE) $(PY) -m floreana.peer \
	    $(call arguments,SEEDS TORCH_INDEX) $(if $(filter 1,$(value QUICK)),--quick)

# MyHDL specifications: simulated, converted and proven against the hand-written units (docs/specifications.md)
spec: env-test
	@$(ALONE) $(PY) -m floreana.spec $(ARGS)

# Latency, throughput and incast of the network between kernel ports, beside published transports
bench-net: env-test
	@$(ALONE) $(PY) -m floreana.report.bench_net

# Formal proofs of the switch and of the transport; ONLY=name for one or those that begin so, QUICK=1 for a few of them
formal: env-test
	@$(ALONE) $(PY) tb/formal/prove.py $(call arguments,JOBS) $(if $(QUICK),--quick) $(if $(ONLY),"$$FLOREANA_ONLY")

# Resources and logic levels of a node by Yosys, against one FPGA (docs/resources.md); what was synthesised once is kept in build/synth
synth: env-test
	@$(FLOREANA) synth $(call arguments,PROJECT NODES OUT JOBS)

# Vivado projects (docs/vivado.md); Vivado itself is not needed
vivado: env
	@$(FLOREANA) vivado $(call arguments,PROJECT NODES OUT MODEL)

projects: env
	@$(FLOREANA) projects $(call arguments,OUT MODEL)

# Formulas of those resources, for plans; REFRESH=1 synthesises the kernels of a few shapes (an hour) and fits them again
resources: env-test
	@$(FLOREANA) resources $(call arguments,REFRESH OUT)

# The full matrix (docs/regress.md): units x parameters x simulators x seeds, projects x token counts. QUICK=1, LIST=1, ONLY=pattern
regress: env-test
	@$(ALONE) $(PY) tb/regress.py $(call arguments,SEED SEEDS JOBS ONLY) $(if $(QUICK),--quick) $(if $(LIST),--list)

# Two workers; ARGS= goes to pytest, for example ARGS="-k linear"
test: env-test
	@mkdir -p build/test
	@env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u MAKEOVERRIDES -u PYTHONPATH -u PYTHONHOME $(PY) -m pytest tests -n 2 --dist=worksteal --durations=15 \
	    --junitxml=build/test/junit.xml $(ARGS)

# All four run, so that one call shows everything
lint: env-test
	@unset MAKEFLAGS MFLAGS MAKELEVEL PYTHONPATH; failed=; \
	$(PY) tb/lint_gate.py || failed="$$failed dialect"; \
	$(PY) -m ruff check . || failed="$$failed ruff-check"; \
	$(PY) -m ruff format --check . || failed="$$failed ruff-format"; \
	$(PY) -m mypy || failed="$$failed mypy"; \
	[ -z "$$failed" ] || { echo "make lint failed:$$failed" >&2; exit 1; }

clean:
	rm -rf build

distclean: clean
	rm -rf .venv .venv.tmp-* .venv.old-* .venv-peer .venv-peer.tmp-* .venv-peer.old-* .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
