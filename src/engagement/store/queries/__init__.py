"""Every query of the state database, by name."""
