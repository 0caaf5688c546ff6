# One verb per habit. `just` alone lists them.

set shell := ["bash", "-euo", "pipefail", "-c"]

_default:
    @just --list

# What to run before every commit.
check:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings

# All tests that need nothing but this machine; `just test content::` runs those of one module.
test *filter:
    cargo test {{ filter }}

# Both directions against a real Kopia: `just interop /usr/bin/kopia`.
interop kopia:
    PACKHORSE_TEST_KOPIA={{ kopia }} cargo test interop

# The layers one by one; `just bench hashing` runs one group.
bench *group:
    cargo bench --bench layers -- {{ group }}

# Whole processes beside Kopia: `just compare /usr/bin/kopia --scale 0.1`.
compare kopia *flags:
    cargo build --release
    PACKHORSE_TEST_KOPIA={{ kopia }} benches/compare/compare.py --packhorse target/release/packhorse {{ flags }}

# Feed a parser what a fuzzer thinks of: `just fuzz index_v2 60`. Needs nightly and cargo-fuzz; see docs/testing.md.
fuzz target seconds="600":
    mkdir -p fuzz/target/corpus/{{ target }}
    cargo +nightly fuzz run {{ target }} fuzz/target/corpus/{{ target }} fuzz/corpus/{{ target }} -- \
        -max_total_time={{ seconds }} -rss_limit_mb=2048 -timeout=10 -max_len=16384 -dict=fuzz/documents.dict

# Documentation of the library, as strict as in CI.
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

# Licences, advisories, sources.
deny:
    cargo deny check --hide-inclusion-graph

# Back up, edit, back up, verify, restore, compare.
demo:
    cargo run --release -- demo

# The static image.
image tag="packhorse":
    docker build -t {{ tag }} --build-arg REVISION=$(git rev-parse HEAD) .

# Everything CI does.
ci:
    .ci/run
