"""What both ends check of a frame and of a saved state, and how the server keeps a phase's asks."""

from collections.abc import Iterator, Mapping
from typing import Literal

from secagg.errors import ConfigError, PartyId, StateError, WireError
from secagg.scheme import Scheme, Session
from secagg.wire import codec, frame


def tag_of(session: Session) -> bytes:
    """What tells this session's frames from another's."""
    return session.digest[: frame.HALF_DIGEST]


def check_header(found: frame.Frame, direction: Literal[0, 1], session: Session, party: int) -> None:
    """Raise WireError for a frame of the other direction, another session or another party."""
    what = "an ask" if direction == frame.ASK else "a reply"
    if found.direction != direction:
        raise WireError(f"a frame of the other direction, expected {what}")
    if found.tag != tag_of(session):
        raise WireError(f"{what} of another session")
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


class Asks(Mapping[PartyId, bytes]):
    """{party: the ask's bytes} of one phase. Equal messages are kept once; a frame is made when it is looked up.

    Args:
        session, phase: of the frames.
        bodies: the distinct messages, encoded.
        body_of: {party: index of its message in `bodies`}.
    """

    def __init__(self, session: Session, phase: int, bodies: tuple[bytes, ...], body_of: dict[PartyId, int]) -> None:
        self._session = session
        self._phase = phase
        self.bodies = bodies
        self.body_of = body_of
        self._checksums: dict[PartyId, bytes] = {}

    @classmethod
    def encoding(cls, session: Session, phase: int, messages: Mapping[PartyId, codec.Message]) -> "Asks":
        """The asks that hold `messages`; one object that serves several parties is encoded once."""
        distinct = {id(message): message for message in messages.values()}
        place = {key: i for i, key in enumerate(distinct)}
        bodies = tuple(map(codec.encode, distinct.values()))
        return cls(session, phase, bodies, {party: place[id(message)] for party, message in messages.items()})

    def __getitem__(self, party: PartyId) -> bytes:
        body, index = self.bodies[self.body_of[party]], self._session.index(party)
        return frame.wrap(frame.ASK, self._phase, index, tag_of(self._session), frame.NO_ASK, body)

    def __contains__(self, party: object) -> bool:
        return party in self.body_of

    def __iter__(self) -> Iterator[PartyId]:
        return iter(self.body_of)

    def __len__(self) -> int:
        return len(self.body_of)

    def checksum(self, party: PartyId) -> bytes:
        """The checksum of the party's ask, which its reply must carry."""
        if party not in self._checksums:
            self._checksums[party] = frame.checksum_of(self[party])
        return self._checksums[party]

    def total_size(self) -> int:
        """Bytes of all asks."""
        return sum(len(self.bodies[i]) for i in self.body_of.values()) + len(self) * frame.HEADER_SIZE
