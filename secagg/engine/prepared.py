"""A party's reply to the first phase of a round whose session does not exist yet."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn, Self

from secagg.arguments import check_kind
from secagg.engine.turn import Turn
from secagg.errors import ConfigError, LocalMisuse, PartyId, PeerMisbehaved, SecaggError, StateError, WireError
from secagg.primitives import sealing
from secagg.primitives.entropy import Entropy
from secagg.scheme import RoundSlot, Scheme, Seat, Session
from secagg.scheme.session import check_party_id, check_round, run_of
from secagg.wire import codec, frame

_STATE = b"secagg/state/prepared/2"


class Sent(codec.Message, frozen=True):
    """What travels, in a frame of its own direction.

    Attributes:
        slot: whose, and for which round.
        reply: the scheme's message, encoded.
    """

    slot: RoundSlot
    reply: bytes


class _Saved(codec.Message, frozen=True):
    """A `Prepared` that was not used yet."""

    slot: RoundSlot
    message: bytes
    state: bytes


class Prepared:
    """What `prepare` made: a message that may leave at any time, and the secrets behind it, for one round.

    The secrets serve one `Participant` and are gone from here then; `copy` and `pickle` raise LocalMisuse. Whoever
    saves them erases what was saved before that participant's first reply leaves: two rounds from one set of keys would
    open each other.

    Attributes:
        slot: the protocol, run, round and party that it is for.
        message: bytes for the server, such as beside the last reply of the round before.
    """

    def __init__(self, slot: RoundSlot, message: bytes, state: bytes) -> None:
        self.slot = slot
        self.message = message
        self._state: bytes | None = state
        self._turn = Turn(f"what party {slot.party!r} prepared")

    def __repr__(self) -> str:
        used, slot = ", used" if self._state is None else "", self.slot
        return f"Prepared(party={slot.party!r}, round={slot.round}, run={slot.run.hex()}{used})"

    def __reduce__(self) -> NoReturn:
        """What `copy` and `pickle` call. Keys in two places would serve two rounds."""
        raise LocalMisuse(f"{self!r}: its keys serve one round, so there are no copies; save(key) keeps it")

    def fits(self, scheme: Scheme, session: Session, seat: Seat | PartyId) -> bool:
        """Whether it is unused and was prepared for this round by the party in `seat`, under the same roster."""
        return self._state is not None and self.slot == _slot(scheme, session, Seat.of(seat))

    @contextmanager
    def spent(self, scheme: Scheme, session: Session, seat: Seat) -> Iterator[bytes]:
        """The secrets, for the one `Participant` that is made within; gone from here unless that raises.

        Raises LocalMisuse once used, or while another thread uses it, ConfigError for another round.
        """
        with self._turn.change():
            wanted = _slot(scheme, session, seat)
            if self.slot != wanted:
                raise ConfigError(
                    f"prepared by party {self.slot.party!r} for round {self.slot.round} of run {self.slot.run.hex()}, "
                    f"expected party {wanted.party!r}, round {wanted.round} of {wanted.run.hex() or 'no run'}, and the "
                    "same protocol and roster"
                )
            if self._state is None:
                raise LocalMisuse(f"{self!r}: keys serve one round, and its first participant has them")
            yield self._state
            self._state = None

    def save(self, key: bytes, entropy: Entropy = os.urandom) -> bytes:
        """Message and secrets, encrypted and authenticated under `key`, 32 bytes. Raises LocalMisuse once used."""
        with self._turn.look():
            if self._state is None:
                raise LocalMisuse(f"{self!r}: nothing is left to save")
            return sealing.lock(key, codec.encode(_Saved(self.slot, self.message, self._state)), _STATE, entropy)

    @classmethod
    def restore(cls, data: bytes, key: bytes) -> Self:
        """What `save` wrote. Raises StateError for anything else."""
        try:
            saved = codec.decode(sealing.unlock(key, data, _STATE), _Saved)
        except WireError as error:
            raise StateError(f"nothing that was prepared: {error}") from None
        except SecaggError as error:
            raise error.with_traceback(None) from None
        return cls(saved.slot, saved.message, saved.state)


def prepare(scheme: Scheme, seat: Seat | PartyId, *, run: bytes, round: int) -> Prepared:
    """Answer the first phase of a round ahead of its session, so that the round itself begins with the second phase.

    Args:
        scheme: any scheme of the protocol that the round will run; its options may still change.
        seat: this party's, as in that session: id, entropy and, where the scheme is `authenticated`, credentials.
        run, round: of that session (`Session.create`), as the server says; a round that this party prepares for
            twice has two sets of keys, and the last one sent counts.

    Raises ConfigError: the protocol cannot, or run, round, id or credentials will not do.
    """
    check_kind("scheme", scheme, Scheme, "a Scheme, such as PairwiseMasking()")
    seat, run = Seat.of(seat), run_of(run)
    check_round(run, round)
    check_party_id(seat.party)
    slot = scheme.slot(run, round, seat.party, seat.roster)
    reply, state = scheme.prepare(slot, seat)
    body = codec.encode(Sent(slot, codec.encode(reply)))
    return Prepared(slot, frame.wrap(frame.PREPARED, 0, 0, frame.NO_TAG, frame.NO_ASK, body), state)


def read(data: bytes, expected: RoundSlot) -> bytes | None:
    """The scheme's message in what was prepared; None where that was for another round.

    Raises:
        WireError: the bytes are nothing that was prepared.
        PeerMisbehaved: they are another party's.
    """
    found = frame.unwrap(data)
    if found.direction != frame.PREPARED:
        raise WireError("an ask or a reply of a session, expected what was prepared before one")
    if (found.phase, found.party, found.tag, found.answers) != (0, 0, frame.NO_TAG, frame.NO_ASK):
        raise WireError("a prepared reply whose header names a session")
    sent = codec.decode(found.body, Sent)
    if not sent.slot.same_round(expected):
        return None
    if sent.slot != expected:
        raise PeerMisbehaved(f"prepared by party {sent.slot.party!r}", {expected.party})
    return sent.reply


def _slot(scheme: Scheme, session: Session, seat: Seat) -> RoundSlot:
    return scheme.slot(session.run, session.round, session.parties[session.index(seat.party)], seat.roster)
