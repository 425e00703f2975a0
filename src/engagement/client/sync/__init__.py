# Generated from ../asynchronous/__init__.py by `make generate`; edit that file instead.
"""The client's parts that wait for the network, of which `make generate` makes the other set."""
