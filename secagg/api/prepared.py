"""A party's reply to the first phase of a round whose session does not exist yet."""

import os
from typing import NoReturn, Self

from secagg.engine import prepared as ahead
from secagg.errors import ConfigError, LocalMisuse, PartyId, SecaggError, StateError, WireError
from secagg.primitives import sealing
from secagg.scheme import RoundSlot, Scheme, Seat, Session
from secagg.scheme.session import check_party_id, check_round, run_of
from secagg.wire import codec

_PREPARED_STATE = b"secagg/state/prepared/1"


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
        message: bytes for the server, such as beside the last reply of the round before.
        run, round, party: what it is for.
    """

    def __init__(self, slot: RoundSlot, message: bytes, state: bytes) -> None:
        self.message = message
        self._slot = slot
        self._state: bytes | None = state

    def __repr__(self) -> str:
        used = ", used" if self._state is None else ""
        return f"Prepared(party={self.party!r}, round={self.round}, run={self.run.hex()}{used})"

    def __reduce__(self) -> NoReturn:
        """What `copy` and `pickle` call. Keys in two places would serve two rounds."""
        raise LocalMisuse(f"{self!r}: its keys serve one round, so there are no copies; save(key) keeps it")

    @property
    def run(self) -> bytes:
        """Of the sessions that it is for."""
        return self._slot.run

    @property
    def round(self) -> int:
        """Of the run."""
        return self._slot.round

    @property
    def party(self) -> PartyId:
        """Whose."""
        return self._slot.party

    def fits(self, scheme: Scheme, session: Session, seat: Seat | PartyId) -> bool:
        """Whether it is unused and was prepared for this round by the party in `seat`, under the same roster."""
        return self._state is not None and self._slot == _slot(scheme, session, Seat.of(seat))

    def secrets(self, scheme: Scheme, session: Session, seat: Seat) -> bytes:
        """For `Participant`, which erases them here. Raises LocalMisuse once used, ConfigError for another round."""
        wanted = _slot(scheme, session, seat)
        if self._slot != wanted:
            raise ConfigError(
                f"prepared by party {self.party!r} for round {self.round} of run {self.run.hex()}, expected "
                f"party {wanted.party!r}, round {wanted.round} of {wanted.run.hex() or 'no run'}, and the same "
                "protocol and roster"
            )
        if self._state is None:
            raise LocalMisuse(f"{self!r}: keys serve one round, and its first participant has them")
        return self._state

    def erase(self) -> None:
        """Forget the secrets: a participant has them, or nobody will need them."""
        self._state = None

    def save(self, key: bytes) -> bytes:
        """Message and secrets, encrypted and authenticated under `key`, 32 bytes. Raises LocalMisuse once used."""
        if self._state is None:
            raise LocalMisuse(f"{self!r}: nothing is left to save")
        saved = codec.encode(_Saved(self._slot, self.message, self._state))
        return sealing.lock(key, saved, _PREPARED_STATE, os.urandom)

    @classmethod
    def restore(cls, data: bytes, key: bytes) -> Self:
        """What `save` wrote. Raises StateError for anything else."""
        try:
            saved = codec.decode(sealing.unlock(key, data, _PREPARED_STATE), _Saved)
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
    seat, run = Seat.of(seat), run_of(run)
    check_round(run, round)
    check_party_id(seat.party)
    slot = scheme.slot(run, round, seat.party, seat.roster)
    return Prepared(slot, *ahead.prepare(scheme, slot, seat))


def _slot(scheme: Scheme, session: Session, seat: Seat) -> RoundSlot:
    return scheme.slot(session.run, session.round, session.parties[session.index(seat.party)], seat.roster)
