# The commands of everyday work; `.ci/run` runs all checks without `just`.

# List the recipes.
default:
    @just --list

# All checks, as the continuous integration runs them.
ci:
    .ci/run

# Each feature alone; the oldest dependencies admitted (needs nightly).
features:
    .ci/features
    .ci/minimal-versions

# All tests and the examples in the documentation.
test *arguments:
    cargo test {{arguments}}

# Format, then look for what clippy has to say.
lint:
    cargo fmt --all
    cargo clippy --workspace --all-targets -- -D warnings

# Build the documentation, with warnings as errors.
doc *arguments:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps {{arguments}}

# Run an example: `just example wordcount --workers 4`.
example name *arguments:
    cargo run --release --example {{name}} -- {{arguments}}

# The benchmarks.
bench *arguments:
    cargo bench -p netshm-benches {{arguments}}

# The table of the README: netshm beside other stores.
peers *arguments:
    cargo run --release -p netshm-peers -- {{arguments}}

# Look for input that breaks decoding (`decode`) or the use of damaged objects (`object_bytes`).
fuzz target *arguments:
    cargo +nightly fuzz run -s none {{target}} -- -entropic=0 -timeout=5 -rss_limit_mb=1024 {{arguments}}
