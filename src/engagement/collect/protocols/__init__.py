"""The wire protocols of client SDKs, each decoded and mapped to batches of records."""
