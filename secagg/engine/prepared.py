"""A reply to a round's first phase that left before the round's session existed: its frame, and who it is from."""

from secagg.errors import PeerMisbehaved, WireError
from secagg.scheme import RoundSlot, Scheme, Seat
from secagg.wire import codec, frame


class Prepared(codec.Message, frozen=True):
    """What travels, in a frame of its own direction.

    Attributes:
        slot: whose, and for which round.
        reply: the scheme's message, encoded.
    """

    slot: RoundSlot
    reply: bytes


def prepare(scheme: Scheme, slot: RoundSlot, seat: Seat) -> tuple[bytes, bytes]:
    """(bytes for the server, the machine's state). Raises ConfigError, as `Scheme.prepare`."""
    reply, state = scheme.prepare(slot, seat)
    body = codec.encode(Prepared(slot, codec.encode(reply)))
    return frame.wrap(frame.PREPARED, 0, 0, frame.NO_TAG, frame.NO_ASK, body), state


def read(data: bytes, expected: RoundSlot) -> bytes | None:
    """The scheme's message in `data`; None where it was prepared for another round.

    Raises:
        WireError: the bytes are nothing that was prepared.
        PeerMisbehaved: they are another party's.
    """
    found = frame.unwrap(data)
    if found.direction != frame.PREPARED:
        raise WireError("an ask or a reply of a session, expected what was prepared before one")
    if (found.phase, found.party, found.tag, found.answers) != (0, 0, frame.NO_TAG, frame.NO_ASK):
        raise WireError("a prepared reply whose header names a session")
    prepared = codec.decode(found.body, Prepared)
    if not prepared.slot.same_round(expected):
        return None
    if prepared.slot != expected:
        raise PeerMisbehaved(f"prepared by party {prepared.slot.party!r}", {expected.party})
    return prepared.reply
