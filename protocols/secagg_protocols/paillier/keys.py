"""Keys dealt in advance among t of m holders, and the file in which one keeps them."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from secagg.errors import BadCohort, ConfigError, PartyId, StateError, UnknownParty, WireError
from secagg.primitives import keyfile, paillier, passphrase
from secagg.primitives.entropy import Entropy
from secagg.primitives.paillier import MAX_HOLDERS, KeyShare, PrivateKey, Progress, PublicKey, SharedKey
from secagg.scheme.session import MAX_ID_LENGTH, check_party_id, party_id
from secagg.wire import codec
from secagg.wire.codec import Message
from secagg_protocols.paillier.opening import Opening, Secret, SharedOpening, SingleOpening
from secagg_protocols.paillier.parameters import read_private, write_private

MAX_FILE = 1 << 19
"""Bytes of the longest key file that is looked at: 32 holders of a key of 8192 bits."""
_PURPOSE = b"secagg/paillier/keys/1"

_Id = int | Annotated[str, Meta(max_length=MAX_ID_LENGTH)]


class _Saved(Message, frozen=True):
    """All of it; `base` and `verifiers` are empty with a single holder."""

    holders: Annotated[tuple[_Id, ...], Meta(max_length=MAX_HOLDERS)]
    threshold: int
    public: bytes
    base: bytes
    verifiers: bytes
    secrets: Annotated[tuple[tuple[int, bytes], ...], Meta(max_length=MAX_HOLDERS)]


class PaillierKeys:
    """A key, who holds it, and as many of their secrets as whoever has this object may see.

    keys = PaillierKeys.generate(["a", "b", "c"], threshold=2)     # by whom all trust, once
    keys.share("b").save("b.key", passphrase)                      # for holder b: its share, and nobody else's
    keys.public.to_bytes()                                         # for the server and the clients

    Args:
        holders: their ids, 1..32.
        key: the public key of a single holder, or the one that several share.
        secrets: {holder: what it holds}.

    Raises ConfigError for what does not fit together.
    """

    def __init__(
        self, holders: Iterable[PartyId], key: PublicKey | SharedKey, secrets: Mapping[PartyId, Secret]
    ) -> None:
        self._key = key
        self._secrets = dict(secrets)
        self.holders = tuple(holders)
        self.holders = checked_holders(self.holders)
        if len(self.holders) != (key.holders if isinstance(key, SharedKey) else 1):
            raise ConfigError(f"{len(self.holders)} holders, and the key has another number of them")
        for holder in self._secrets:
            self._number(holder)

    @classmethod
    def generate(
        cls,
        holders: Iterable[PartyId],
        threshold: int,
        key_bits: int = 2048,
        entropy: Entropy = os.urandom,
        progress: Progress | None = None,
    ) -> "PaillierKeys":
        """Deal a fresh key. Whoever does sees all of it, and must forget what is not its own.

        Args:
            holders: 1..32 distinct ids. With one, it holds the whole key, and the primes are ordinary ones.
            threshold: t, how many of them open a sum together.
            key_bits: 2048 or more, even.
            entropy: source of all secrets.
            progress: progress(found, tried) is called while primes are sought, seconds for a shared key.

        Raises:
            OutOfRange, BadCohort, ConfigError: naming the parameter and its range.
        """
        names = checked_holders(holders)
        watch: Progress = progress or (lambda _found, _tried: None)
        if len(names) == 1:
            if threshold != 1:
                raise ConfigError(f"threshold is {threshold}: expected 1, as there is one holder")
            private = paillier.generate(key_bits, entropy, watch)
            return cls(names, private.public, {names[0]: private})
        key, shares = paillier.deal(key_bits, len(names), threshold, entropy, watch)
        return cls(names, key, dict(zip(names, shares, strict=True)))

    def __repr__(self) -> str:
        return f"PaillierKeys(bits={self.bits}, {self.threshold} of {len(self.holders)}, secrets={len(self._secrets)})"

    @property
    def bits(self) -> int:
        """Of n."""
        return self.opening.public.bits

    @property
    def threshold(self) -> int:
        """Holders that open a sum together."""
        return self.opening.threshold

    @property
    def opening(self) -> Opening:
        """The key's public side, and how it is opened."""
        return SharedOpening(self._key) if isinstance(self._key, SharedKey) else SingleOpening(self._key)

    @property
    def public(self) -> "PaillierKeys":
        """Without secrets: what the server and clients need."""
        return PaillierKeys(self.holders, self._key, {})

    def share(self, holder: PartyId) -> "PaillierKeys":
        """With that holder's secret alone. Raises UnknownParty, or ConfigError where it is not here."""
        return PaillierKeys(self.holders, self._key, {holder: self.secret(holder)})

    def secret(self, holder: PartyId) -> Secret:
        """What the holder holds. Raises UnknownParty, or ConfigError where it is not here."""
        self._number(holder)
        if holder not in self._secrets:
            raise ConfigError(f"party {holder!r} holds a share of this key, and it is not here: load it from its file")
        return self._secrets[holder]

    @property
    def digest(self) -> bytes:
        """SHA-256 of the public part: equal wherever the key is the same; compare it by telephone."""
        return hashlib.sha256(_PURPOSE + codec.encode(self._saved(secrets=False))).digest()

    def to_bytes(self) -> bytes:
        """The public part. Raises ConfigError where there are secrets: those go to a file, under a passphrase."""
        if self._secrets:
            raise ConfigError("these keys hold secrets: take keys.public.to_bytes(), or keys.save(file, passphrase)")
        return codec.encode(self._saved(secrets=True))

    @classmethod
    def from_bytes(cls, data: bytes) -> "PaillierKeys":
        """The public keys that `to_bytes` wrote. Raises WireError."""
        if len(data) > MAX_FILE:
            raise WireError(f"Paillier keys of {len(data)} bytes: expected at most {MAX_FILE}")
        keys = _loaded(codec.decode(data, _Saved))
        if keys._secrets:
            raise WireError("Paillier keys with secrets in clear: expected the public part")
        return keys

    def save(self, file: str | os.PathLike[str], phrase: bytes, entropy: Entropy = os.urandom) -> None:
        """A new file, readable by its owner alone, encrypted under a passphrase; see `primitives.passphrase`.

        Raises:
            ConfigError: the file exists (it is never overwritten) or cannot be made, or the passphrase is empty.
        """
        data = passphrase.protect(codec.encode(self._saved(secrets=True)), phrase, _PURPOSE, entropy)
        keyfile.create(file, data)

    @classmethod
    def load(cls, file: str | os.PathLike[str], phrase: bytes) -> "PaillierKeys":
        """The keys in a file that `save` wrote.

        Raises:
            ConfigError: the file cannot be read, or the passphrase is empty.
            StateError: another passphrase, a damaged file, or one of another kind.
        """
        path = Path(file)
        try:
            with path.open("rb") as found:
                data = found.read(MAX_FILE + 1)
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from None
        return cls.opened(data, phrase)

    @classmethod
    def opened(cls, data: bytes, phrase: bytes) -> "PaillierKeys":
        """The keys in a file's bytes. Raises StateError, or ConfigError for an empty passphrase."""
        if len(data) > MAX_FILE:
            raise StateError(f"not a key file: expected at most {MAX_FILE} bytes")
        try:
            return _loaded(codec.decode(passphrase.reveal(data, phrase, _PURPOSE), _Saved))
        except WireError as error:
            raise StateError(f"not a key file: {error}") from None

    def _number(self, holder: PartyId) -> int:
        """1..m. Raises UnknownParty."""
        if holder not in self.holders:
            raise UnknownParty(f"{holder!r} is not among the {len(self.holders)} holders of this key")
        return self.holders.index(holder) + 1

    def _saved(self, *, secrets: bool) -> _Saved:
        key, public = self._key, self.opening.public
        shown = self._secrets if secrets else {}
        return _Saved(
            holders=self.holders,
            threshold=self.threshold,
            public=public.to_bytes(),
            base=public.write_ciphertexts([key.base]) if isinstance(key, SharedKey) else b"",
            verifiers=public.write_ciphertexts(key.verifiers) if isinstance(key, SharedKey) else b"",
            secrets=tuple(
                (number, _write_secret(shown[holder], public))
                for number, holder in enumerate(self.holders, 1)
                if holder in shown
            ),
        )


def checked_holders(holders: Iterable[PartyId]) -> tuple[PartyId, ...]:
    """1..32 distinct ids. Raises BadCohort."""
    names = tuple(map(party_id, holders))
    for name in names:
        check_party_id(name)
    if not 1 <= len(names) <= MAX_HOLDERS or len(set(names)) != len(names):
        raise BadCohort(f"{len(names)} key holders: expected 1..{MAX_HOLDERS} distinct ids")
    return names


def _loaded(saved: _Saved) -> PaillierKeys:
    """Raises WireError for numbers that are no keys."""
    try:
        public = PublicKey.from_bytes(saved.public)
        key: PublicKey | SharedKey = public
        if saved.base or saved.verifiers:
            base = public.read_ciphertexts(saved.base, 1)[0]
            verifiers = public.read_ciphertexts(saved.verifiers, len(saved.holders))
            key = SharedKey(public, saved.threshold, base, verifiers)
        elif saved.threshold != 1:
            raise WireError("Paillier keys of one holder with another threshold than 1")
        names = checked_holders(saved.holders)
        secrets: dict[PartyId, Secret] = {}
        for number, data in saved.secrets:
            if not 1 <= number <= len(names):
                raise WireError("Paillier keys with a secret of no holder")
            secrets[names[number - 1]] = _read_secret(number, data, key)
        keys = PaillierKeys(names, key, secrets)
    except ConfigError as error:
        raise WireError(f"Paillier keys: {error}") from None
    if keys._saved(secrets=True) != saved:
        raise WireError("Paillier keys with a secret twice, or out of order")
    return keys


def _write_secret(secret: Secret, public: PublicKey) -> bytes:
    if isinstance(secret, PrivateKey):
        return write_private(secret)
    return secret.exponent.to_bytes(public.ciphertext_size)


def _read_secret(number: int, data: bytes, key: PublicKey | SharedKey) -> Secret:
    """A holder's secret, checked against the public key. Raises WireError."""
    if isinstance(key, SharedKey):
        share = KeyShare(number, int.from_bytes(data))
        key.check_share(share)
        return share
    private = read_private(data)
    if private.public != key:
        raise WireError("Paillier keys with the secret of another key")
    return private
