# nginx-ai-limit. `make help` lists what there is to do.
#
# Every target first installs, through apt-get, what it needs and does not find;
# where nothing is missing, nothing is asked or changed. DEPS=no turns that off.
#
#   NGINX_SRC=path   an nginx source tree in place of the installed nginx
#   PORT=8080        where `make run` listens
#   CONF=quickstart  which of conf-examples/ it runs

SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := module
MAKEFLAGS += --no-print-directory

BUILD := build
MODULE := $(BUILD)/ngx_http_ai_limit_module.so
PORT ?= 8080
CONF ?= quickstart
JOBS := $(shell nproc 2>/dev/null || echo 2)

export NGINX_SRC

ifneq ($(NGINX_SRC),)
export NGINX_BIN ?= $(CURDIR)/$(BUILD)/nginx-src/objs/nginx
endif

ifeq ($(DEPS),no)
deps = true
else
deps = scripts/deps.sh $(1)
endif

.PHONY: module deps run test unit install deb bench sanitize fuzz soak matrix check check-prices clean help

module:
	@$(call deps,build)
	@scripts/build.sh

deps:
	@$(call deps,test)

run:
	@$(call deps,build)
	@scripts/build.sh
	@PORT=$(PORT) CONF=$(CONF) scripts/run.sh

check-prices: module
	@scripts/check-prices.sh '$(FILE)'

test:
	@$(call deps,test)
	@AI_LIMIT_WERROR=1 scripts/build.sh
	@scripts/test.pl all

unit:
	@$(call deps,test)
	@scripts/test.pl unit

install: module
	@scripts/install.sh

deb:
	@$(call deps,deb)
	@scripts/deb.sh

bench:
	@$(call deps,bench)
	@scripts/build.sh
	@bench/run

sanitize:
	@$(call deps,sanitize)
	@scripts/sanitize.sh

# Until someone stops it or it finds something: FUZZ_RUNS=n, FUZZ_TARGET=name.
fuzz:
	@$(call deps,test)
	@FUZZ_RUNS=$${FUZZ_RUNS:-5000000} scripts/test.pl fuzz

# Coding agents of npm once, which takes minutes, then the nginx tests over and over: SOAK_ROUNDS=n.
soak:
	@$(call deps,test)
	@scripts/build.sh
	@scripts/test.pl nginx t/soak
	@for round in $$(seq $${SOAK_ROUNDS:-20}); do \
	    echo "round $$round"; scripts/test.pl nginx || exit 1; \
	done

# Other versions of nginx, compilers and systems, for hours: TARGETS="name ..." (scripts/matrix.sh --list).
matrix:
	@$(call deps,matrix)
	@scripts/matrix.sh $(TARGETS)

check:
	@$(call deps,check)
	@scripts/version.sh >/dev/null
	@find src t bench -name '*.cpp' -o -name '*.h' | LC_ALL=C sort | \
	    xargs -r clang-format --dry-run --Werror
	@scripts/check-folders.pl
	@scripts/check-sizes.pl
	@scripts/check-lua.sh
	@src/redis/script/join.sh $(BUILD)/generated
	@find src/core src/prices src/redis/protocol src/redis/script -name '*.cpp' | LC_ALL=C sort | \
	    xargs -P $(JOBS) -n 4 scripts/tidy.sh
	@scripts/check-docs.pl
	@codespell README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md docs src bench conf-examples scripts
	@echo 'all checks pass'

clean:
	@rm -rf $(BUILD)

help:
	@echo 'make           build $(MODULE) (NGINX_SRC=path: for that nginx)'
	@echo 'make run       a rate-limited model server on port $(PORT), in the foreground (PORT=n, CONF=name)'
	@echo 'make test      every test; the last line counts them'
	@echo 'make unit      the unit tests alone'
	@echo 'make install   put the module where the installed nginx looks for it'
	@echo 'make deb       the Debian package libnginx-mod-http-ai-limit, in $(BUILD)/deb/'
	@echo 'make bench     measure, against limit_req and against no limiter'
	@echo 'make sanitize  the nginx tests with AddressSanitizer and UBSan in nginx and module'
	@echo 'make fuzz      fuzz for long (FUZZ_RUNS=n, FUZZ_TARGET=name)'
	@echo 'make soak      coding agents, then the nginx tests over and over (SOAK_ROUNDS=n)'
	@echo 'make matrix    build and try other versions of nginx, compilers and systems (TARGETS="name ...")'
	@echo 'make check     formatting, static analysis, folders, sizes, links and spelling'
	@echo 'make check-prices FILE=name  read a price file as nginx does, and say what is wrong with it'
	@echo 'make deps      install what the tests need'
	@echo 'make clean     remove $(BUILD)/'
