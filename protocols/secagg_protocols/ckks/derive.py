"""Every key, digest and commitment of the protocol, each under a label of its own.

`binding` stands in all keys: the session, what this party believes the round is about, the scheme's options and the
CKKS parameters. A dealer and a client that disagree on any of it share no key.
"""

import hashlib
import struct

_LABEL = b"secagg/ckks/1/"


def binding(session_digest: bytes, context: bytes, fingerprint: bytes, parameters_digest: bytes) -> bytes:
    """32 bytes that stand for one round as one party sees it; the salt of every HKDF."""
    parts = _LABEL, b"binding", session_digest, context_digest(context), fingerprint, parameters_digest
    return hashlib.sha256(b"".join(parts)).digest()


def context_digest(context: bytes) -> bytes:
    """What travels in clear in place of a party's context."""
    return hashlib.sha256(_LABEL + b"context" + context).digest()


def sealing_info(dealer: int, dealer_key: bytes, client: int, client_key: bytes) -> bytes:
    """HKDF info of the key under which `dealer` seals the round's secret for `client`."""
    return _LABEL + b"seal from to" + struct.pack("<II", dealer, client) + dealer_key + client_key


def sealing_data(bound: bytes, commitment: bytes, dealer: int, client: int) -> bytes:
    """Associated data of that box."""
    return bound + commitment + struct.pack("<II", dealer, client)


def commitment(bound: bytes, seed: bytes) -> bytes:
    """What a dealt seed is checked against: all clients are shown the same one. 32 uniform bytes need no salt."""
    return hashlib.sha256(_LABEL + b"commitment" + bound + seed).digest()
