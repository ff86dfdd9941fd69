"""What a lying server can do with what it sees: the steps that the attacks of this folder share."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from secagg.api import Participant
from secagg.encoding.encoding import Decoded, Encoding
from secagg.encoding.packing import unpack
from secagg.engine.prepared import Sent
from secagg.errors import PartyId, PeerMisbehaved
from secagg.primitives import agreement, prg, shamir
from secagg.scheme import PartySide, Phase, Roster, Session
from secagg.testing import TestRound, asking, opened
from secagg.wire import codec, frame
from secagg.wire.codec import Message
from secagg.wire.packed import pack_bits, unpack_bits
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise import derive
from secagg_protocols.pairwise.messages import (
    KEY_SIZE,
    SHARE_SIZE,
    AskShares,
    Keys,
    Masked,
    Shares,
    Unmask,
    pack_indices,
)
from secagg_protocols.pairwise.neighbourhoods import Neighbourhoods
from secagg_protocols.pairwise.party import PairwiseParty

N = 6
DIM = 11
VICTIM = 3
OTHERS = [i for i in range(N) if i != VICTIM]
UPDATES: dict[PartyId, NDArray[np.uint16]] = {
    i: np.random.default_rng(i).integers(0, 2**16, DIM, np.uint16) for i in range(12)
}
CONTEXT = b"model 7, round 3"
KEYS, SIGNATURE = slice(2 * KEY_SIZE), slice(2 * KEY_SIZE, None)
"""Of an advertisement."""


def make_session(n: int = N, context: bytes = CONTEXT, **options: Any) -> Session:
    return Session.create(range(n), UPDATES[0], context=context, **options)


def make_round(scheme: PairwiseMasking, n: int = N, **options: object) -> TestRound:
    return TestRound(scheme, make_session(n), UPDATES, **options)  # type: ignore[arg-type]


def play(round_: TestRound, until: str) -> TestRound:
    """All phases before `until`."""
    while round_.coordinator.phase != until:
        round_.step()
    return round_


def on(phase: str, who: Iterable[int], change: Callable[[bytes], bytes]) -> Callable[[str, PartyId, bytes], bytes]:
    """A tamper that changes one phase's message of some parties."""
    changed = set(who)
    return lambda at, party, message: change(message) if at == phase and party in changed else message


def as_if_asked(message: bytes, ask: bytes) -> bytes:
    """The reply to a changed ask, as its server wants it: it answers the ask that the honest server sent."""
    old = frame.unwrap(message)
    return frame.wrap(old.direction, old.phase, old.party, old.tag, frame.unwrap(ask).checksum, old.body)


def bits(indices: Iterable[int], n: int = N) -> bytes:
    """A contributor set."""
    members = set(indices)
    return pack_bits([i in members for i in range(n)])


def machine(participant: Participant) -> PairwiseParty:
    found = participant._machine
    assert isinstance(found, PairwiseParty)
    return found


def reply_of(party: PartySide, phase: Phase, ask: Message) -> Any:
    """A machine's own reply to an ask that needs no vector, without an engine that knows what it has answered."""
    party.read(phase, ask)
    return party.answer().reply


def bound_of(scheme: PairwiseMasking, session: Session, roster: Roster | None = None) -> bytes:
    """What keys are bound to; public."""
    digest = b"" if roster is None else roster.digest
    return derive.binding(session.digest, session.context, scheme.fingerprint, digest)


def statement_of(session: Session, i: int, keys: bytes) -> bytes:
    """What party i's identity signs of its two public keys."""
    return derive.advertisement(session.digest, derive.context_digest(session.context), i, keys)


def interpolated(rows: Mapping[int, bytes]) -> bytes | None:
    """The secret through all the given shares {holder: share, salt}, None where there is none of 32 bytes."""
    if not rows:
        return None
    shares = {holder + 1: shamir.from_bytes(row[: shamir.SHARE_BYTES])[np.newaxis] for holder, row in rows.items()}
    try:
        return shamir.combine(shares)[0].tobytes()
    except PeerMisbehaved:
        return None


class LyingServer:
    """Asks each participant what it likes and keeps all answers."""

    def __init__(
        self,
        scheme: PairwiseMasking,
        session: Session,
        participants: Mapping[PartyId, Participant],
        roster: Roster | None = None,
    ) -> None:
        self.scheme = scheme
        self.session = session
        self.participants = participants
        self.bound = bound_of(scheme, session, roster)
        self.parameters = scheme.parameters(session)
        self.sent: dict[tuple[str, PartyId], bytes] = {}

    @classmethod
    def of(cls, round_: TestRound) -> "LyingServer":
        """It takes over a round that was honest so far."""
        assert isinstance(round_.scheme, PairwiseMasking)
        server = cls(round_.scheme, round_.session, round_.participants, round_.roster)
        server.sent = round_.sent
        return server

    def ask(self, party: int, phase: str, message: Message, update: object = None) -> bytes:
        """The party's reply to any message, as it came."""
        ask = asking(self.scheme, self.session, phase, party, message)
        reply = self.participants[party].answer(ask, update)
        assert reply is not None
        self.sent[phase, party] = reply
        return reply

    def keys(self, party: int) -> Keys:
        return keys_in(self.sent["keys", party])

    def advertised(self) -> dict[int, bytes]:
        """{party: sealing key, mask key, signature} of all who sent keys."""
        keys = {int(i): keys_in(reply) for (phase, i), reply in self.sent.items() if phase == "keys"}
        return {i: key.sealing + key.mask + key.signature for i, key in sorted(keys.items())}

    def relayed(self, prepared: bytes = b"") -> AskShares:
        """All advertisements, as an honest server shows them in active mode."""
        shown = self.advertised()
        keys, signatures = (b"".join(key[part] for key in shown.values()) for part in (KEYS, SIGNATURE))
        return AskShares(pack_indices(shown), keys, signatures, prepared)

    def cohort(self) -> Neighbourhoods:
        return Neighbourhoods(self.advertised(), self.parameters)

    def masked(self, party: int) -> NDArray[np.uint32]:
        """Its masked vector, (dim,)."""
        vector = opened(self.sent["masked", party], Masked).vector
        return unpack(vector, self.session.dim, self.session.ring)

    def shares_of(self, dealer: int, holders: Iterable[int], dealers: Mapping[int, list[int]]) -> dict[int, bytes]:
        """{holder: the share of the dealer's secret in its answer at "unmask"}."""
        rows = {}
        for holder in holders:
            if ("unmask", holder) in self.sent:
                reply = opened(self.sent["unmask", holder], Unmask)
                row = self.row(reply, dealers[holder], dealer)
                if row is not None:
                    rows[holder] = row
        return rows

    @staticmethod
    def row(reply: Unmask, dealers: list[int], dealer: int) -> bytes | None:
        """The dealer's share in one answer."""
        held = unpack_bits(reply.held, len(dealers))
        place = dealers.index(dealer)
        if not held[place]:
            return None
        start = SHARE_SIZE * int(held[:place].sum())
        return reply.shares[start : start + SHARE_SIZE]

    def seed(self, dealer: int, rows: Mapping[int, bytes]) -> bytes | None:
        """The dealer's self-mask seed, if the shares give it."""
        secret = interpolated(rows)
        commitment = opened(self.sent["shares", dealer], Shares).commitment
        return secret if secret is not None and derive.commitment(self.bound, secret) == commitment else None

    def mask_key(self, dealer: int, rows: Mapping[int, bytes]) -> bytes | None:
        """The dealer's private mask key, if the shares give it."""
        secret = interpolated(rows)
        return secret if secret is not None and agreement.public_key(secret) == self.keys(dealer).mask else None

    def bare(
        self, victim: int, seed: bytes | None, pairs: Mapping[int, bytes], vector: NDArray[np.uint32] | None = None
    ) -> NDArray[np.uint32]:
        """The victim's masked vector without the masks whose keys are known.

        Args:
            victim: whose.
            seed: of its self-mask.
            pairs: {peer: AES key of the pairwise mask}.
            vector: the masked vector, by default what the victim sent.
        """
        seeds = [] if seed is None else [derive.self_mask_seed(self.bound, seed)]
        signs = [-1] * len(seeds) + [-1 if victim < j else 1 for j in pairs]
        streams = np.frombuffer(b"".join([*seeds, *pairs.values()]), np.uint8).reshape(-1, prg.SEED_BYTES)
        found = (self.masked(victim) if vector is None else vector).copy()
        prg.add_masks(found, streams, np.array(signs, np.int8))
        return self.session.ring.reduce(found)

    def pairs(self, victim: int, key: bytes, publics: Mapping[int, bytes]) -> dict[int, bytes]:
        """{peer: AES key of the pairwise mask}, from the victim's private mask key and its peers' public ones."""
        own = agreement.public_key(key)
        return {j: pair_key(self.bound, key, (victim, own), (j, public)) for j, public in publics.items()}

    def mask_publics(self, but: int) -> dict[int, bytes]:
        """{party: public mask key} of all the others."""
        return {i: self.keys(i).mask for i in self.advertised() if i != but}


def keys_in(message: bytes) -> Keys:
    """The advertisement in a reply, or in what was prepared before the session."""
    if frame.unwrap(message).direction == frame.PREPARED:
        return codec.decode(opened(message, Sent).reply, Keys)
    return opened(message, Keys)


def pair_key(bound: bytes, private: bytes, own: tuple[int, bytes], peer: tuple[int, bytes]) -> bytes:
    """AES key of the mask between two (index, public key), from the private key of the first."""
    info = derive.pair_info(derive.MASK, *own, *peer)
    (shared,) = agreement.derive_many([private], [peer[1]], [info], bound)
    assert shared is not None
    return derive.mask_seed(shared)


def assert_is_update_of(party: int, vector: NDArray[np.uint32]) -> None:
    """The ring vector is the party's update, entry for entry, without a clipped entry, and no abstention."""
    np.testing.assert_array_equal(vector, [*UPDATES[party].tolist(), 0, 0])


def is_update_of(party: int, vector: NDArray[np.uint32]) -> bool:
    """Whether anything of the update shows: a single equal entry would be chance of 1 in 2000."""
    return bool((vector == [*UPDATES[party].tolist(), 0, 0]).all())


def look_at_no_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers decode entries alone: a sum of anything passes, where counters out of range would mostly give it away."""
    decode = Encoding.decode

    def decode_entries(self: Encoding, total: Any, contributors: int) -> Decoded:
        total = total.copy()
        total[self.entries :] = 0
        return decode(self, total, contributors)

    monkeypatch.setattr(Encoding, "decode", decode_entries)
