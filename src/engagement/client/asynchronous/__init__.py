"""The client's parts that wait for the network, of which `make generate` makes the other set."""
