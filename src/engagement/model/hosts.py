"""Names the hosts by which a machine reaches itself."""

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
"""As `urlsplit` gives a host: in lower case, an IPv6 address without brackets."""
