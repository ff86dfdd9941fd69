"""Who is who: the long-lived Ed25519 keys with which parties sign, where a scheme authenticates them."""

import hashlib
from collections.abc import Iterable, Mapping
from functools import cached_property

import msgspec

from secagg.errors import BadCohort, ConfigError, PartyId, PeerMisbehaved, WireError
from secagg.primitives import signing
from secagg.scheme.session import MAX_PARTIES, check_party_id, party_id


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a roster file."""

    party: int | str
    key: str


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A roster file: JSON, keys in hexadecimal."""

    version: int
    roster: list[_Entry]


class Roster:
    """The public identity key of every party that may take part; equal at all parties, handed out beforehand.

    Args:
        keys: {party: Ed25519 public key, 32 bytes}. Raises BadCohort or ConfigError for a bad id, a key of another
            length, or one key for two parties.
    """

    def __init__(self, keys: Mapping[PartyId, bytes]) -> None:
        if not isinstance(keys, Mapping):
            raise ConfigError(f"roster is {type(keys).__name__}, expected a dict {{party: public key}}")
        self._keys = {party_id(party): key for party, key in keys.items()}
        if not 1 <= len(self._keys) <= MAX_PARTIES:
            raise BadCohort(f"roster of {len(self._keys)} parties: expected 1 to 2**20")
        for party, key in self._keys.items():
            check_party_id(party)
            if not isinstance(key, bytes) or len(key) != signing.KEY_BYTES:
                raise ConfigError(f"roster: key of party {party!r}: expected {signing.KEY_BYTES} bytes")
        if len(set(self._keys.values())) != len(self._keys):
            raise ConfigError("roster: one key stands for two parties")

    def __repr__(self) -> str:
        return f"Roster(<{len(self._keys)} parties>, digest={self.digest.hex()[:16]})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Roster) and self._keys == other._keys

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def parties(self) -> tuple[PartyId, ...]:
        """All ids, in the order given."""
        return tuple(self._keys)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 over all ids and keys, whatever their order; what two parties compare."""
        rows = sorted(msgspec.msgpack.encode((party, key)) for party, key in self._keys.items())
        return hashlib.sha256(b"secagg/roster/1" + b"".join(rows)).digest()

    def key(self, party: PartyId) -> bytes:
        """The party's public key. Raises PeerMisbehaved naming a party that is not on the roster."""
        try:
            return self._keys[party]
        except KeyError:
            raise PeerMisbehaved(f"party {party!r} is not on the roster", {party}) from None

    def check_members(self, parties: Iterable[PartyId]) -> None:
        """Raise BadCohort naming a party that is not on the roster."""
        for party in parties:
            if party not in self._keys:
                raise BadCohort(f"party {party!r} is not on the roster")

    def verify(self, party: PartyId, message: bytes, signature: bytes) -> None:
        """Raise PeerMisbehaved naming `party` if `signature` is not its own for `message`."""
        try:
            signing.verify(self.key(party), message, signature)
        except PeerMisbehaved as error:
            raise PeerMisbehaved(f"party {party!r}: {error}", {party}) from None

    def to_bytes(self) -> bytes:
        """The roster as a JSON file."""
        entries = [_Entry(party, key.hex()) for party, key in self._keys.items()]
        return msgspec.json.format(msgspec.json.encode(_File(1, entries)), indent=2) + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> "Roster":
        """Read a roster file. Raises WireError for anything else, BadCohort or ConfigError for what it says."""
        try:
            file = msgspec.json.decode(data, type=_File)
            keys = [(entry.party, bytes.fromhex(entry.key)) for entry in file.roster]
        except (msgspec.DecodeError, ValueError, TypeError, RecursionError) as error:
            raise WireError(f"not a roster file: {error}") from None
        if file.version != 1:
            raise WireError(f"roster file of version {file.version}, expected 1")
        if len({party for party, _ in keys}) != len(keys):
            raise BadCohort("roster file: a party stands twice in it")
        return cls(dict(keys))
