"""Every key, seed, hash and commitment of the protocol, each under a label of its own.

`binding` stands in all of them: the session, what this party believes the round is about, and the scheme's
options. Two parties that disagree on any of it share no key, so none of their masks cancel.
"""

import hashlib
import struct

import numpy as np
from numpy.typing import ArrayLike, NDArray

from secagg.primitives import agreement
from secagg.spans import span

_LABEL = b"secagg/pairwise/1/"


def binding(session_digest: bytes, context: bytes, fingerprint: bytes, roster_digest: bytes = b"") -> bytes:
    """32 bytes that stand for one round as one party sees it; the salt of every HKDF."""
    parts = _LABEL, b"binding", session_digest, context_digest(context), fingerprint, roster_digest
    return hashlib.sha256(b"".join(parts)).digest()


def context_digest(context: bytes) -> bytes:
    """What travels in clear in place of a party's context."""
    return hashlib.sha256(_LABEL + b"context" + context).digest()


def pair_info(purpose: bytes, a: int, key_a: bytes, b: int, key_b: bytes) -> bytes:
    """HKDF info of the unordered pair: label, ids in ascending order, their public keys in that order."""
    if a > b:
        a, key_a, b, key_b = b, key_b, a, key_a
    return _LABEL + purpose + struct.pack("<II", a, b) + key_a + key_b


MASK = b"pairwise mask"
SEALING = b"sealing"


@span("keys for sealing")
def sealing_key(shared: bytes, dealer: int, holder: int) -> bytes:
    """AES-256 key for what `dealer` seals for `holder`; `shared` is the pair's HKDF output."""
    return agreement.hkdf(shared, info=_LABEL + b"seal from to" + struct.pack("<II", dealer, holder))


def sealing_data(bound: bytes, dealer: int, holder: int) -> bytes:
    """Associated data of that ciphertext."""
    return bound + struct.pack("<II", dealer, holder)


def mask_seed(shared: bytes) -> bytes:
    """AES-128 key of a pairwise mask; `shared` is the pair's HKDF output."""
    return shared[:16]


def self_mask_seed(bound: bytes, seed: bytes) -> bytes:
    """AES-128 key of the self-mask."""
    return agreement.hkdf(seed, info=_LABEL + b"self-mask stream", salt=bound)[:16]


def commitment(bound: bytes, seed: bytes) -> bytes:
    """What a recovered self-mask seed is checked against."""
    return agreement.hkdf(seed, info=_LABEL + b"self-mask commitment", salt=bound)


def advertisement(session_digest: bytes, context: bytes, party: int, keys: bytes) -> bytes:
    """What an identity signs of its two public keys; `context` is the digest of what it says the round is about.

    A server may open a session of an earlier round again: only the context tells the rounds apart then.
    """
    return _LABEL + b"advertisement" + session_digest + context + struct.pack("<I", party) + keys


def prepared_advertisement(slot_digest: bytes, keys: bytes) -> bytes:
    """The same before the session exists: the slot is a round of a run, and the party."""
    return _LABEL + b"prepared advertisement" + slot_digest + keys


def view_digest(parties: bytes, keys: bytes, signatures: bytes) -> bytes:
    """Of the advertisements that a client was shown; each part has a length that the first one fixes.

    Which of them were prepared is in the signatures: each is valid for one statement.
    """
    return hashlib.sha256(_LABEL + b"view" + struct.pack("<Q", len(parties)) + parties + keys + signatures).digest()


def agreement_on(bound: bytes, view: bytes, contributors: bytes) -> bytes:
    """What an identity signs of the contributor set before anything is unmasked."""
    return _LABEL + b"contributors" + bound + view + contributors


SEED_SHARE = b"share of seed"
KEY_SHARE = b"share of key "


@span("hashes of shares")
def share_hashes(
    bound: bytes, of_seed: ArrayLike, dealers: ArrayLike, holders: ArrayLike, salted: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """SHA-256 of each share and its salt, published by its dealer.

    Args:
        bound: the round.
        of_seed: whether a share is of the seed, or else of the key; (n,) or one for all, as the next two.
        dealers, holders: indices.
        salted: (n, bytes of a share and its salt) uint8.

    Returns:
        (n, 32) uint8.
    """
    n, length = salted.shape
    fields = [("label", "u1", len(_LABEL)), ("kind", "u1", len(SEED_SHARE)), ("bound", "u1", len(bound))]
    messages = np.empty(n, [*fields, ("dealer", "<u4"), ("holder", "<u4"), ("salted", "u1", length)])
    messages["label"], messages["bound"] = (np.frombuffer(part, np.uint8) for part in (_LABEL, bound))
    messages["kind"] = np.frombuffer(KEY_SHARE + SEED_SHARE, np.uint8).reshape(2, -1)[np.asarray(of_seed, np.intp)]
    messages["dealer"], messages["holder"], messages["salted"] = dealers, holders, salted
    data, size = messages.tobytes(), messages.itemsize
    digests = [hashlib.sha256(data[at : at + size]).digest() for at in range(0, len(data), size)]
    return np.frombuffer(b"".join(digests), np.uint8).reshape(n, hashlib.sha256().digest_size)
