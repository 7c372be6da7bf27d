# The commands of everyday work; `.ci/run` runs all checks without `just`.

# List the recipes.
default:
    @just --list

# All checks, as the continuous integration runs them.
ci:
    .ci/run

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
