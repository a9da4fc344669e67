"""Certificates for tests that speak TLS."""

from __future__ import annotations

import functools
import ssl
from typing import Any

import pytest


def contexts(name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Of a server called *name*, and of clients that trust it. Its key is RSA's, whose signatures are all of one length."""
    authority, certificate = issued(name)
    inside, outside = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    certificate.configure_cert(inside)
    authority.configure_trust(outside)
    return inside, outside


@functools.cache
def issued(name: str) -> tuple[Any, Any]:
    """An authority and its certificate for *name*: to find the numbers takes a fifth of a second."""
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA(key_type=trustme.KeyType.RSA)
    return authority, authority.issue_cert(name, key_type=trustme.KeyType.RSA)
