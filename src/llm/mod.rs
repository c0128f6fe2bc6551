//! Model providers: wire formats, retries, routing, usage.
