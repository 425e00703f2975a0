"""The numbered, forward-only migrations of the state database."""
