# The commands of this repository: `just` lists them, `just NAME` runs one. They only call cargo and the scripts.

# List the commands
default:
    @just --list

# Run the demo: the service, receivers, and orders
demo *ARGS:
    cargo run --release -- demo {{ARGS}}

# Build the binary to try it (`just dist` builds the one to ship)
build:
    cargo build --release

# Build the binary that the image contains
dist:
    cargo build --profile dist --locked

# Run all tests, or those whose names contain FILTER
test *FILTER:
    tests/run {{FILTER}}

# Run the tests with cargo-nextest (each in a process of its own)
nextest *ARGS:
    cargo nextest run {{ARGS}}

# Check formatting and lints
lint:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings

# Run everything that CI runs
ci:
    .ci/run

# Build and open the documentation of the code
doc:
    cargo doc --no-deps --document-private-items --open

# Rewrite the generated pages: configuration, errors, payloads, misbehaviour
docs:
    UPDATE_DOCS=1 cargo test --lib config::reference
    UPDATE=1 cargo test --lib api::problem
    UPDATE_DOCS=1 cargo test --test it payloads
    UPDATE_DOCS=1 cargo test --test it misbehave

# Measure throughput: `just bench --quick`, `just bench --only sustained`
bench *ARGS:
    cargo bench --bench throughput -- {{ARGS}}

# Fuzz the readers of foreign input: `just fuzz 600 json yaml`
fuzz *ARGS:
    fuzz/run {{ARGS}}

# Build the image
image TAG="orderhook":
    docker build -t {{TAG}} .
