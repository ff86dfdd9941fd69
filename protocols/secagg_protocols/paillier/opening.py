"""How a sum is opened: by a single holder, or by t of m together. One interface for both."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from secagg.errors import LocalMisuse, WireError
from secagg.primitives import paillier
from secagg.primitives.entropy import Entropy
from secagg.primitives.paillier import KeyShare, PrivateKey, PublicKey, SharedKey
from secagg.spans import span
from secagg.wire.packed import rows

Secret: TypeAlias = PrivateKey | KeyShare
"""What a holder holds: the whole key where it is the only one."""


class Opening(ABC):
    """The public side of a key: who can open, and what they send. Holders are numbered 1..m.

    Attributes:
        public: what encrypts.
        threshold: holders that open together.
        value_size, value_bound: bytes of what a holder sends for one ciphertext, and what it lies below.
    """

    public: PublicKey
    threshold: int
    value_size: int
    value_bound: int

    @abstractmethod
    def open(self, secret: Secret, ciphertexts: Sequence[int], entropy: Entropy, label: bytes) -> tuple[bytes, bytes]:
        """A holder's values for all ciphertexts, and its proof."""

    @abstractmethod
    def check(self, holder: int, ciphertexts: Sequence[int], values: Sequence[int], proof: bytes, label: bytes) -> None:
        """Return if the values are that holder's for these ciphertexts. Raises WireError or PeerMisbehaved."""

    @abstractmethod
    def combine(self, values: Mapping[int, Sequence[int]]) -> list[int]:
        """The plaintexts, from {holder: values} of exactly `threshold` holders."""

    def read(self, data: bytes, count: int) -> list[int]:
        """A holder's values for `count` ciphertexts. Raises WireError."""
        values = [int.from_bytes(row) for row in rows(data, self.value_size, count, "decryption")]
        if values and max(values) >= self.value_bound:
            raise WireError("decryption with a number that is too large")
        return values

    def write(self, values: Sequence[int]) -> bytes:
        """The inverse of `read`."""
        return b"".join(value.to_bytes(self.value_size) for value in values)


class SingleOpening(Opening):
    """One holder sends the plaintexts themselves, and shows that they are right."""

    threshold = 1

    def __init__(self, public: PublicKey) -> None:
        self.public = public
        self.value_size = public.number_size
        self.value_bound = public.n

    @span("opening of Paillier sums")
    def open(self, secret: Secret, ciphertexts: Sequence[int], entropy: Entropy, label: bytes) -> tuple[bytes, bytes]:  # noqa: ARG002
        """Plaintexts, and the proof that `check_opening` takes."""
        if not isinstance(secret, PrivateKey):
            raise LocalMisuse("a share of a key, expected the whole key")
        plaintexts = secret.decrypt(ciphertexts)
        return self.write(plaintexts), paillier.prove_opening(secret, ciphertexts, plaintexts, label)

    @span("opening of Paillier sums")
    def check(self, holder: int, ciphertexts: Sequence[int], values: Sequence[int], proof: bytes, label: bytes) -> None:  # noqa: ARG002
        """n-th roots of what is left once the plaintexts are taken off show them right."""
        paillier.check_opening(self.public, ciphertexts, values, proof, label)

    def combine(self, values: Mapping[int, Sequence[int]]) -> list[int]:
        """What the one holder sent."""
        (plaintexts,) = values.values()
        return list(plaintexts)


class SharedOpening(Opening):
    """t of m holders send partial decryptions, with proofs that they are."""

    def __init__(self, key: SharedKey) -> None:
        self._key = key
        self.public = key.public
        self.threshold = key.threshold
        self.value_size = key.public.ciphertext_size
        self.value_bound = key.public.n_squared

    def open(self, secret: Secret, ciphertexts: Sequence[int], entropy: Entropy, label: bytes) -> tuple[bytes, bytes]:
        """Partial decryptions, and one proof of equal discrete logarithms for all of them."""
        if not isinstance(secret, KeyShare):
            raise LocalMisuse("a whole key, expected a share of one")
        partials, proof = self._key.partial_decrypt(secret, ciphertexts, entropy, label)
        return self.write(partials), proof

    def check(self, holder: int, ciphertexts: Sequence[int], values: Sequence[int], proof: bytes, label: bytes) -> None:
        """The proof, over numbers that are known to be units."""
        self.public.check_units(values, "partial decryption")
        self._key.check_partial(holder, ciphertexts, values, proof, label)

    def combine(self, values: Mapping[int, Sequence[int]]) -> list[int]:
        """Lagrange's interpolation in the exponent."""
        return self._key.combine(values)
