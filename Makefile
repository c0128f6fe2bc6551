# `make demo` and `make test` do all of their own set-up on a fresh machine with the Rust toolchain.

.PHONY: demo test test-security test-java fuzz lint build sqlx show-run show-deploy bench-receiver bench-sandbox bench-gates bench-context bench-edits bench-loop bench-workspace help

help:
	@sed -n 's/^## //p' Makefile

## make demo               the main job, from a labelled issue to a reviewed pull request and an e-mail
demo:
	@scripts/bootstrap
	@cargo build --locked --quiet
	@target/debug/orchestrator demo

## make test               everything that guards the product
test:
	@scripts/bootstrap --test
	@scripts/contract
	cargo fmt --all -- --check
	cargo clippy --locked --all-targets -- -D warnings
	@# Most of a story is waiting: twice as many run at a time as there are processors.
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$(( 2 * $$(nproc) ))} cargo test --locked --no-fail-fast

## make test-security      every threat of docs/security.md: the attack against a weak variant, and against us
test-security:
	@scripts/bootstrap --test
	@scripts/contract
	@scripts/test-security

## make test-java          set-up and gates of Maven and Gradle in the sandbox; installs Java's tools
test-java:
	@scripts/bootstrap --java
	cargo test --locked --test gates toolchains -- --ignored

## make bench-gates        the gates that are found in public projects, beside what their own CI runs
bench-gates:
	@cargo build --locked --quiet
	@scripts/bench-gates

## make fuzz               a million inputs for each parser of what comes from outside; RUNS=, TARGET=, JOBS=
fuzz:
	@scripts/bootstrap --test
	@scripts/contract
	@scripts/fuzz

## make show-run           `run` on a public package of each of three languages, from their registries
show-run:
	@scripts/bootstrap --test
	@scripts/show-run

## make show-deploy        image, Compose file and systemd unit, each started and looked at; as root
show-deploy:
	@scripts/show-deploy

## make sqlx               renew .sqlx after a change of SQL or migrations
sqlx:
	scripts/sqlx

## make build              the release binary
build:
	cargo build --locked --release

## make bench-receiver     the webhook receiver beside Probot and pgbench, and the memory of an idle serve
bench-receiver:
	@scripts/bench-receiver

## make bench-sandbox      a sandbox's start beside bubblewrap, runc and podman; `cargo test` inside and outside
bench-sandbox:
	@scripts/bench-sandbox

## make bench-context         what `context` finds of real bug fixes, beside BM25; REPOSITORIES="/a /b" for others
bench-context:
	@scripts/bench-context $(REPOSITORIES)

## make bench-edits        edits as models write and damage them: right, refused, wrong; REPOSITORIES="/a /b" for others
bench-edits:
	@scripts/bench-edits $(REPOSITORIES)

## make bench-loop         what the tool loop takes a step without model and tools, and its memory, over 200 steps
bench-loop:
	cargo bench --locked --bench loop

## make bench-workspace    a task's tree beside `git worktree add`; REPOSITORY=/path for another than this one
bench-workspace:
	@scripts/bench-workspace $(REPOSITORY)
