"""What an envelope of any framework holds: one ask to a client, one reply."""

from typing import Annotated

import msgspec
from msgspec import Meta

from secagg.arguments import FINITE
from secagg.errors import WireError
from secagg.scheme.session import MAX_PARTIES, MAX_ROUND

MAX_OPTIONS = 4096
"""Characters of a scheme's options."""
PREPARE = "secagg.prepare"
"""In place of a phase: no part of a round, only a request to prepare the next one."""


class Ahead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The round that a party is asked to prepare for, with its reply to this message.

    Attributes:
        run: in hexadecimal; and
        round: as its session will say them.
        parties: for which the scheme in the `Invitation` was made, where the party is in no round that says so.
    """

    run: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
    round: Annotated[int, Meta(ge=0, le=MAX_ROUND)]
    parties: Annotated[int, Meta(ge=2, le=MAX_PARTIES)]


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One ask.

    Attributes:
        phase: its name, as the server says; the frame's own bytes decide. `PREPARE` is no phase, and has no frame.
        frame: bytes for `Participant.answer`.
        terms, session: bytes of `Invitation` and `Session`, by which to enter the round; only in a party's first ask
            of it. A request to prepare has terms alone.
        ahead: the round to prepare for; in the last phase, of protocols that can, if a round follows.
    """

    phase: str
    frame: bytes
    terms: bytes | None = None
    session: bytes | None = None
    ahead: Ahead | None = None


class Reply(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One reply.

    Attributes:
        phase: of the ask.
        frame: bytes for `Coordinator.receive`, None to an announcement or a request to prepare.
        prepared: bytes for the next round's `Coordinator`.
    """

    phase: str
    frame: bytes | None = None
    prepared: bytes | None = None


class Invitation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a client builds its end of a round, as the server says it; the client's own limits decide.

    Attributes:
        protocol: a key of `PROTOCOLS`, or `choice.OWN` for a scheme object that both ends were given.
        options: keyword arguments of the protocol's factory, a JSON object.
        fingerprint: of the server's scheme, 32 bytes; the client compares it with its own.
        weighted_by: name of the reply's value that is the weight, where the session has weights.
        metrics: {name: clip} of those that join the sum; the others stay at the client.
        model: digest of the arrays that are trained (`context.model_digest`): by it a client's ledger tells sums apart.
    """

    protocol: str
    options: Annotated[str, Meta(max_length=MAX_OPTIONS)]
    fingerprint: bytes
    weighted_by: str
    model: bytes
    metrics: dict[str, Annotated[float, Meta(gt=0, le=FINITE)]] = {}

    def to_bytes(self) -> bytes:
        """JSON, to travel and for a client's own memory."""
        return msgspec.json.encode(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Invitation":
        """The inverse of `to_bytes`. Raises WireError."""
        try:
            return msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise WireError(f"not the terms of a round: {error}") from None
