"""Every question asked of the state database, by name."""
