//! What the product is about, and nothing else: no I/O, no clock, no randomness in here.
