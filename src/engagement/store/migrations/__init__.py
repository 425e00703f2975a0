"""This package holds the numbered, forward-only migrations of the state database."""
