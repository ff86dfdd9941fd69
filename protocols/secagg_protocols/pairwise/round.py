"""One round as one of its ends sees it: what all that is derived and checked there is bound to, and how far the server
is trusted with what it relays.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from secagg.errors import PeerMisbehaved, WireError
from secagg.scheme import Seat, Session
from secagg.wire.packed import check_rows, pack_set, rows, unpack_bits
from secagg_protocols.pairwise import messages
from secagg_protocols.pairwise.messages import HASH_SIZE, KEY_SIZE, SIGNATURE_SIZE, unpack_indices
from secagg_protocols.pairwise.parameters import Parameters

Shown = Callable[[Sequence[int]], messages.AskShares]
"""From parties, ascending, to the ask that shows their advertisements."""


@dataclass(frozen=True)
class Round:
    """The public facts of one round, and what parties say and check there of each other's words. In passive mode the
    server follows the protocol: nobody signs, and clients take its word. `SignedRound` is the other strategy.

    Advertisements are {party: sealing key, mask key, signature}.

    Attributes:
        session, parameters: of the round.
        bound: 32 bytes that stand for it in every key, see `derive.binding`.
        context: digest of what this end says that the round is about.
        agrees: whether clients agree on the contributors in a phase of their own.
    """

    session: Session
    parameters: Parameters
    bound: bytes
    context: bytes
    agrees: ClassVar[bool] = False

    @cached_property
    def n(self) -> int:
        """Parties of the session."""
        return len(self.session.parties)

    def bits(self, parties: Iterable[int]) -> bytes:
        """A set of parties, one bit each."""
        return pack_set(parties, self.n)

    def advertised(self, me: int, keys: bytes) -> messages.Keys:  # noqa: ARG002
        """A client's advertisement of its two public keys."""
        return messages.Keys(keys[:KEY_SIZE], keys[KEY_SIZE:], b"")

    def check_keys(self, i: int, reply: messages.Keys, prepared: bool) -> None:  # noqa: ARG002
        """At the server: raise unless the advertisement is party i's."""
        check_rows(reply.context, HASH_SIZE, 0, "context")
        check_rows(reply.signature, SIGNATURE_SIZE, 0, "signature")

    def asks_for_shares(
        self,
        alive: Iterable[int],
        neighbours: Mapping[int, Sequence[int]],
        shown: Shown,
    ) -> dict[int, messages.AskShares]:
        """At the server: whose advertisements each client is shown; {party of the graph: its neighbours}."""
        return {i: shown(neighbours[i]) for i in alive}

    def asks_to_unmask(
        self,
        contributors: Collection[int],
        holders: Mapping[int, Sequence[int]],  # noqa: ARG002
        signatures: Mapping[int, bytes],  # noqa: ARG002
    ) -> dict[int, messages.AskUnmask]:
        """At the server: who is asked for shares, and shown which signatures of the contributor set."""
        return dict.fromkeys(contributors, messages.AskUnmask(self.bits(contributors), b"", b""))

    def pack_prepared(self, prepared: Sequence[bool]) -> bytes:  # noqa: ARG002
        """Which of the advertisements shown are signed over a slot."""
        return b""

    def check_advertisements(self, me: int, own: bytes, ask: messages.AskShares) -> dict[int, bytes]:
        """At a client, whose own public keys are `own`: the advertisements that it is shown, each checked.

        Raises PeerMisbehaved where the server relays what it must not.
        """
        parties = unpack_indices(ask.parties, self.n)
        keys = rows(ask.keys, 2 * KEY_SIZE, len(parties), "public keys")
        check_rows(ask.signatures, SIGNATURE_SIZE, 0, "signatures")
        if me in parties:
            raise PeerMisbehaved("the server names this party as its own neighbour")
        if any(unpack_prepared(ask.prepared, len(parties))):
            raise WireError("signatures over a slot, in passive mode")
        check_distinct([*keys, own])
        return dict(zip(parties, keys, strict=True))

    def neighbours(self, seat: Seat, me: int, advertised: Mapping[int, bytes]) -> list[int]:  # noqa: ARG002
        """A client's neighbours, ascending."""
        return list(advertised)

    def absent(self, advertised: Mapping[int, bytes]) -> list[int]:  # noqa: ARG002
        """Who advertised no keys, as far as a client can know that."""
        return []

    def signers(self, i: int) -> set[int]:  # noqa: ARG002
        """Whose fault a public key of party i is, at a client: who signed it; unsigned, the server made it."""
        return set()

    def check_agreement(self, view: bytes, dealers: Collection[int], ask: messages.AskUnmask) -> None:  # noqa: ARG002
        """At a client, before "unmask": raise PeerMisbehaved unless others stand by the set as they must."""
        check_rows(ask.signers, 4, 0, "signers in passive mode")
        check_rows(ask.signatures, SIGNATURE_SIZE, 0, "signatures in passive mode")


def unpack_prepared(data: bytes, count: int) -> list[bool]:
    """The inverse of `pack_prepared` for `count` advertisements. Raises WireError."""
    if not data:
        return [False] * count
    prepared = [bool(bit) for bit in unpack_bits(data, count)]
    if not any(prepared):
        raise WireError("a bit set of prepared advertisements without any, expected no bytes")
    return prepared


def check_distinct(keys: Iterable[bytes]) -> None:
    """Raise PeerMisbehaved where a public key stands twice: a mask with a copy of oneself would cancel nothing."""
    halves = [half for key in keys for half in (key[:KEY_SIZE], key[KEY_SIZE : 2 * KEY_SIZE])]
    if len(set(halves)) != len(halves):
        raise PeerMisbehaved("the server relays one public key twice, or this party's own")
