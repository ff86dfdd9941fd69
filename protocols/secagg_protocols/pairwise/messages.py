"""The messages of pairwise masking. Rows of equal size are packed into one byte string each.

Parties are named by their index in the session, as little-endian uint32; lists of them are strictly ascending.
"""

from collections.abc import Iterable

import numpy as np

from secagg.errors import WireError
from secagg.primitives import shamir
from secagg.wire.codec import Message

KEY_SIZE = 32
SIGNATURE_SIZE = 64
SALT_SIZE = 16
HASH_SIZE = 32
SHARE_SIZE = shamir.SHARE_BYTES + SALT_SIZE
"""A share of one 32-byte secret and the salt of its published hash."""
SEALED_SIZE = 2 * SHARE_SIZE + 16
"""Both shares for one holder, sealed: AES-GCM adds a tag of 16 bytes."""


class AskKeys(Message, frozen=True):
    """Server: let us begin."""


class Keys(Message, frozen=True):
    """Client: two fresh X25519 public keys, 32 bytes each, and in active mode its identity's signature of them.

    `context` is in active mode SHA-256 of what the client says the round is about, which it signs too; no bytes where
    the keys were prepared, before anybody could say.
    """

    sealing: bytes
    mask: bytes
    signature: bytes
    context: bytes = b""


class AskShares(Message, frozen=True):
    """Server: your neighbours and their public keys (sealing || mask, 64 bytes each).

    In active mode all who advertised, yourself among them, with their signatures (64 bytes each): the client
    draws the graph itself. `prepared` has one bit a signature, 1 where it is over a round of a run and not over the
    session; no bytes where there is none such, and in passive mode.
    """

    parties: bytes
    keys: bytes
    signatures: bytes
    prepared: bytes = b""


class Shares(Message, frozen=True):
    """Client: a sealed pair of shares for each neighbour, and what they are checked against later.

    Attributes:
        context: SHA-256 of what the client says the round is about.
        commitment: of the self-mask seed, 32 bytes.
        sealed: SEALED_SIZE bytes a neighbour, in the order of the ask.
        hashes: salted hashes of the seed share and of the key share, 64 bytes a holder (holders ascending; the
            client itself is one where the graph is complete).
    """

    context: bytes
    commitment: bytes
    sealed: bytes
    hashes: bytes


class AskMasked(Message, frozen=True):
    """Server: the neighbours whose shares came, each with what it sealed for you and the hashes of that pair.

    `context` is what all of them say the round is about: the server has dropped the others.
    """

    context: bytes
    dealers: bytes
    sealed: bytes
    hashes: bytes


class Masked(Message, frozen=True):
    """Client: the masked vector, packed to b bits an entry."""

    vector: bytes


class AskConsistency(Message, frozen=True):
    """Server, active mode: who contributed, one bit a party (bit i % 8 of byte i // 8)."""

    contributors: bytes


class Consistency(Message, frozen=True):
    """Client, active mode: its signature of all advertisements and of that set."""

    signature: bytes


class AskUnmask(Message, frozen=True):
    """Server: who contributed, one bit a party (bit i % 8 of byte i // 8).

    One set for both questions: of those inside it the client gives the seed's share, of those outside the mask
    key's, so no ask can name anybody in both. In active mode with the signatures of `threshold` holders of the
    client's own shares, 64 bytes each.
    """

    contributors: bytes
    signers: bytes
    signatures: bytes


class Unmask(Message, frozen=True):
    """Client: of each dealer (ascending), the one share that the ask calls for.

    Attributes:
        held: one bit a dealer, 0 where the sealed pair did not open or failed its hashes.
        shares: SHARE_SIZE bytes for each set bit.
    """

    held: bytes
    shares: bytes


def pack_indices(indices: Iterable[int]) -> bytes:
    """Indices as uint32s."""
    return np.fromiter(indices, np.dtype("<u4")).tobytes()


def unpack_indices(data: bytes, parties: int) -> list[int]:
    """Strictly ascending indices below `parties`. Raises WireError."""
    if len(data) % 4:
        raise WireError(f"list of indices of {len(data)} bytes: expected whole uint32s")
    indices = np.frombuffer(data, np.dtype("<u4")).astype(np.int64)
    if indices.size and (indices[-1] >= parties or (np.diff(indices) <= 0).any()):
        raise WireError(f"indices are not strictly ascending below {parties}")
    return [int(i) for i in indices]
