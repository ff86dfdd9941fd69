"""What both ends check of a frame and of a saved state, and how the server keeps a phase's asks."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Literal

from secagg.arguments import check_kind
from secagg.errors import ConfigError, PartyId, StateError, WireError
from secagg.scheme import Scheme, Session
from secagg.wire import codec, frame

_TAG = b"secagg/tag/1"


def check_ends(scheme: Scheme, session: Session) -> None:
    """Raise ConfigError for what is no scheme, or no session."""
    check_kind("scheme", scheme, Scheme, "a Scheme, such as PairwiseMasking()")
    check_kind("session", session, Session, "a Session, such as Session.from_bytes makes")


def tag_of(scheme: Scheme, session: Session) -> bytes:
    """What tells this session's frames, under this scheme and its options, from all others: 16 bytes."""
    return hashlib.sha256(_TAG + scheme.fingerprint + session.digest).digest()[: frame.HALF_DIGEST]


def check_header(found: frame.Frame, direction: Literal[0, 1], tag: bytes, session: Session, party: int) -> None:
    """Raise WireError for a frame of the other direction, another session, scheme or options, or another party."""
    what = "an ask" if direction == frame.ASK else "a reply"
    if found.direction != direction:
        raise WireError(f"a frame of the other direction, expected {what}")
    if found.tag != tag:
        raise WireError(f"{what} of another session, or of another scheme or other options")
    if found.party != party:
        raise WireError(f"{what} of another party than {session.parties[party]!r}")


def check_capacity(scheme: Scheme, session: Session) -> None:
    """Raise ConfigError where a sum over all parties would not be exact."""
    capacity, inputs = scheme.capacity(session), len(scheme.clients(session))
    if capacity < inputs:
        raise ConfigError(f"{scheme.name} sums {capacity} inputs of this session exactly, and it has {inputs}")


def check_fingerprint(found: bytes, scheme: Scheme) -> None:
    """Raise StateError for state of another scheme."""
    if found != scheme.fingerprint:
        raise StateError(f"state of another scheme or other options than {scheme}")


class Bodies(codec.State):
    """The messages of a phase's asks: each distinct one once, encoded, and {party: which of them}."""

    distinct: list[bytes]
    of: dict[int, int]

    @classmethod
    def encoding(cls, messages: Mapping[int, codec.Message]) -> "Bodies":
        """One object that serves several parties is encoded once."""
        distinct = {id(message): message for message in messages.values()}
        place = {key: i for i, key in enumerate(distinct)}
        of = {party: place[id(messages[party])] for party in sorted(messages)}
        return cls([codec.encode(message) for message in distinct.values()], of)

    def check(self, parties: int) -> None:
        """Raise WireError for saved ones that are none of so many parties'."""
        if not all(0 <= i < parties and 0 <= body < len(self.distinct) for i, body in self.of.items()):
            raise WireError("saved asks of another round")

    def total_size(self) -> int:
        """Bytes of all asks, headers included."""
        return sum(len(self.distinct[body]) for body in self.of.values()) + len(self.of) * frame.HEADER_SIZE


class Asks(Mapping[PartyId, bytes]):
    """{party: the ask's bytes} of one phase. A frame is made when it is looked up."""

    def __init__(self, session: Session, tag: bytes, phase: int, bodies: Bodies) -> None:
        self._session = session
        self._tag = tag
        self._phase = phase
        self._bodies = bodies
        self._checksums: dict[int, bytes] = {}

    def __getitem__(self, party: PartyId) -> bytes:
        return self.frame(self._session.index(party))

    def frame(self, index: int) -> bytes:
        """The ask of the party of that index. Raises KeyError for one that is not asked."""
        body = self._bodies.distinct[self._bodies.of[index]]
        return frame.wrap(frame.ASK, self._phase, index, self._tag, frame.NO_ASK, body)

    def __contains__(self, party: object) -> bool:
        return any(party == self._session.parties[i] for i in self._bodies.of)

    def __iter__(self) -> Iterator[PartyId]:
        return (self._session.parties[i] for i in self._bodies.of)

    def __len__(self) -> int:
        return len(self._bodies.of)

    @property
    def indices(self) -> Mapping[int, int]:
        """Whose keys are the indices of those who are asked."""
        return self._bodies.of

    def checksum(self, index: int) -> bytes:
        """The checksum of the party's ask, which its reply must carry."""
        if index not in self._checksums:
            self._checksums[index] = frame.checksum_of(self.frame(index))
        return self._checksums[index]
