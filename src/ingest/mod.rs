//! From a stored delivery to a domain event; reaction polling and reconciliation.
