//! The roles that a model plays: typed input, prompt, typed output. Agents know nothing of each other.
