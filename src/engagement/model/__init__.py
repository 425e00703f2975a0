"""The nouns: pure values that do no I/O."""
