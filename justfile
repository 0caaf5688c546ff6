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

# Beside a real Kopia, and an older one if given, on so many random repositories: `just interop 100 /usr/bin/kopia`.
interop count kopia older="":
    PACKHORSE_TEST_KOPIA={{ kopia }} PACKHORSE_TEST_KOPIA_OLD={{ older }} PACKHORSE_CAMPAIGN={{ count }} \
        cargo test --profile campaign --test suite -- interop:: campaign:: --nocapture

# One random repository again; its folder is kept in `target/campaign` if it fails.
interop-seed seed kopia older="":
    PACKHORSE_TEST_KOPIA={{ kopia }} PACKHORSE_TEST_KOPIA_OLD={{ older }} PACKHORSE_CAMPAIGN=1 \
        PACKHORSE_CAMPAIGN_SEED={{ seed }} PACKHORSE_CAMPAIGN_KEEP=target/campaign \
        cargo test --profile campaign --test suite -- campaign::both --nocapture

# The layers one by one; `just bench hashing` runs one group.
bench *group:
    cargo bench --bench layers -- {{ group }}

# Whole processes beside Kopia: `just compare /usr/bin/kopia --scale 0.1`.
compare kopia *flags:
    cargo build --release
    PACKHORSE_TEST_KOPIA={{ kopia }} benches/compare/compare.py --packhorse target/release/packhorse {{ flags }}

# Very many files, one changed byte, many index blobs beside Kopia; needs 40 GiB: `just engine /usr/bin/kopia --dir /mnt`.
engine kopia *flags:
    cargo build --release
    PACKHORSE_TEST_KOPIA={{ kopia }} benches/compare/engine.py --packhorse target/release/packhorse {{ flags }}

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
