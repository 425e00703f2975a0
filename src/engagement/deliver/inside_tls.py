"""Secures the way from the store's client to its own proxy, by certificates of this process."""

import os
import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

HOSTS_KEPT = 256
# The clock may be wrong; the certificate ends with the process, which alone trusts it.
_VALID_FROM = datetime(2000, 1, 1, tzinfo=UTC)
_VALID_UNTIL = datetime(2200, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class InsideTls:
    """A proxy's own end of TLS for one host."""

    context: ssl.SSLContext
    """What the proxy accepts connections with."""
    certificate: str
    """What the client must trust for it, as PEM."""


@lru_cache(maxsize=HOSTS_KEPT)
def inside_tls(host: str) -> InsideTls:
    """The proxy's end for a host; its key is made here, and nobody else ever has it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "egress of this process")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(_VALID_FROM)
        .not_valid_after(_VALID_UNTIL)
        .add_extension(x509.SubjectAlternativeName([_general_name(host)]), critical=False)
        .sign(key, SHA256())
        .public_bytes(Encoding.PEM)
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, certificate + secret)
    return InsideTls(context=context, certificate=certificate.decode())


@cache
def outside_context() -> ssl.SSLContext:
    """How containers are met: only by certificates that the system trusts."""
    return ssl.create_default_context()


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    """Give a context its key, which Python takes from a file only: in memory where that goes."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("egress"), "wb", buffering=0) as file:
            file.write(pem)
            context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
    else:
        with tempfile.NamedTemporaryFile(buffering=0) as file:
            file.write(pem)
            context.load_cert_chain(file.name)
