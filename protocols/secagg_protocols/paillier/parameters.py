"""What the scheme's options mean for one session."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from secagg.errors import ConfigError, WireError
from secagg.primitives.paillier import PrivateKey, PublicKey
from secagg.scheme import Session
from secagg_protocols.paillier.messages import context_digest
from secagg_protocols.paillier.opening import Opening, SingleOpening
from secagg_protocols.paillier.slots import Slots


@dataclass(frozen=True)
class Parameters:
    """Key, slots and roles of one session. Parties are indices.

    Attributes:
        session: of the round.
        key_bits: of n.
        opening: the key that was dealt in advance, None where candidates of the round deal it.
        holders: {party: its number in that key}, of those who are in the session.
        clients: who gives an input.
        slots: how a vector lies in plaintexts.
    """

    session: Session
    key_bits: int
    opening: Opening | None
    holders: Mapping[int, int]
    clients: frozenset[int]
    slots: Slots

    @property
    def shared(self) -> bool:
        """Whether several hold the key."""
        return self.opening is not None and not isinstance(self.opening, SingleOpening)

    @property
    def threshold(self) -> int:
        """Holders that open a sum together."""
        return 1 if self.opening is None else self.opening.threshold

    @cached_property
    def context(self) -> bytes:
        """Digest of what the server says that the round is about."""
        return context_digest(self.session.context)

    @property
    def n(self) -> int:
        """Parties of the session."""
        return len(self.session.parties)

    def check_key(self, key: PublicKey) -> None:
        """Raise WireError for a key of another size."""
        if key.bits != self.key_bits:
            raise WireError(f"Paillier key of {key.bits} bits: expected {self.key_bits}")


def key_digest(public: PublicKey) -> bytes:
    """SHA-256 of a public key, 32 bytes."""
    return hashlib.sha256(b"secagg/paillier/key/1" + public.to_bytes()).digest()


def write_private(key: PrivateKey) -> bytes:
    """p || q || h."""
    half = key.public.number_size // 2 + 1
    return b"".join(factor.to_bytes(half) for factor in key.factors) + key.public.h.to_bytes(key.public.number_size)


def read_private(data: bytes) -> PrivateKey:
    """The key that `write_private` wrote. Raises WireError."""
    half = len(data) // 4 + 1
    p, q, h = (int.from_bytes(part) for part in (data[:half], data[half : 2 * half], data[2 * half :]))
    try:
        key = PrivateKey(p, q, h)
    except ConfigError as error:
        raise WireError(f"saved key: {error}") from None
    if write_private(key) != data:
        raise WireError("saved key of another size")
    return key
