"""Tests that the client trusts its own proxy, for its host, and nobody else does."""

import ssl

import pytest

from engagement.deliver.inside_tls import inside_tls

HOSTS = ["account.blob.core.windows.net", "127.0.0.1", "::1"]


def _agree(trusted: str, *, served: str, server_name: str) -> None:
    """Return only if a client that trusts a certificate takes a server for a host."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context(cadata=trusted)
    ends = (
        client.wrap_bio(back, there, server_hostname=server_name),
        inside_tls(served).context.wrap_bio(there, back, server_side=True),
    )
    for end in ends * 2:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue


@pytest.mark.parametrize("host", HOSTS)
def test_the_client_takes_the_proxy_for_the_container(host: str) -> None:
    _agree(inside_tls(host).certificate, served=host, server_name=host)


def test_it_is_taken_for_no_other_host() -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        _agree(inside_tls(HOSTS[0]).certificate, served=HOSTS[0], server_name="other.example")


def test_nobody_else_is_taken_for_it() -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        _agree(inside_tls(HOSTS[1]).certificate, served=HOSTS[0], server_name=HOSTS[0])
