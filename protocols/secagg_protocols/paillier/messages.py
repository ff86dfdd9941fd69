"""The messages of Paillier sums. Numbers of equal size are packed into one byte string, big-endian."""

import hashlib

from secagg.scheme.policy import MinCohort
from secagg.wire.codec import Message

DIGEST_SIZE = 32


class AskDeal(Message, frozen=True):
    """Server, to a few candidates: make a key of your own."""


class Deal(Message, frozen=True):
    """Candidate: the public half of a fresh key.

    Attributes:
        key: n || h.
        proof: n-th roots mod n, which show that n shares no factor with phi(n).
    """

    key: bytes
    proof: bytes


class AskEncrypted(Message, frozen=True):
    """Server: your vector, please, under this key.

    Attributes:
        holder: index of the candidate whose key it is; the number of parties where the keys were dealt in advance.
        key: n || h, empty where the keys were dealt in advance: a client then takes no key from the server.
    """

    holder: int
    key: bytes


class Encrypted(Message, frozen=True):
    """Client: the vector as ciphertexts.

    Attributes:
        context: SHA-256 of what the client says the round is about.
        key: SHA-256 of the key it encrypted under.
        ciphertexts: numbers mod n**2.
        least: fewest contributors whose sum they may be opened in, `Policy.min_cohort` of this client.
    """

    context: bytes
    key: bytes
    ciphertexts: bytes
    least: MinCohort


class AskDecrypt(Message, frozen=True):
    """Server, to key holders: open this.

    Attributes:
        context: what all contributors say the round is about.
        contributors: whose vectors the server says are in it, one bit a party (bit i % 8 of byte i // 8).
        ciphertexts: numbers mod n**2, of the sum.
    """

    context: bytes
    contributors: bytes
    ciphertexts: bytes


class Decrypted(Message, frozen=True):
    """Holder: a partial decryption of each ciphertext, mod n**2; of a single holder the plaintexts, mod n.

    `proof` shows that all of them are right.
    """

    values: bytes
    proof: bytes


def context_digest(context: bytes) -> bytes:
    """What travels of a context: SHA-256, 32 bytes."""
    return hashlib.sha256(b"secagg/paillier/context/1" + context).digest()


def deal_label(session_digest: bytes, candidate: int) -> bytes:
    """What a proof of a fresh key is bound to: this round, and whose key it is."""
    return session_digest + candidate.to_bytes(4)


def opening_label(session_digest: bytes, context: bytes, contributors: bytes) -> bytes:
    """What a proof of decryption is bound to: this round, as the holder sees it."""
    return session_digest + context_digest(context) + contributors
