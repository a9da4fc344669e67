"""Certificates for tests that speak TLS."""

from __future__ import annotations

import ssl

import pytest


def contexts(name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Of a server called *name*, and of clients that trust it. Its key is RSA's, whose signatures are all of one length."""
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA(key_type=trustme.KeyType.RSA)
    inside, outside = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert(name, key_type=trustme.KeyType.RSA).configure_cert(inside)
    authority.configure_trust(outside)
    return inside, outside
