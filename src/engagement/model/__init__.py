"""This package holds the nouns: pure values that do no I/O."""
