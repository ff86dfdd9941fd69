"""The server of pairwise masking: what it holds in each phase, and that phase's step.

Bonawitz et al. 2017, Fig. 4, the server's side of rounds 0 (keys), 1 (shares), 2 (masked) and 4 (unmask), and in
active mode 3 (consistency); Bell et al. 2020, where neighbours are few. Memory: one vector, and per edge of the graph
the sealed pair of shares until it is relayed, its two hashes and, at the end, one share.
"""

from collections.abc import Mapping, Sequence, Set

import msgspec
import numpy as np
from numpy.typing import NDArray

from secagg.encoding.packing import add_packed
from secagg.encoding.ring import Lanes
from secagg.errors import PeerMisbehaved, TooFew, WireError
from secagg.primitives import agreement
from secagg.scheme import Present, ServerStage, Sum
from secagg.scheme.context import check_shown
from secagg.scheme.machine import check_indices, derived
from secagg.spans import span
from secagg.wire.codec import Message, State
from secagg.wire.packed import check_rows, check_size, unpack_bits
from secagg_protocols.pairwise import derive, messages
from secagg_protocols.pairwise.messages import HASH_SIZE, KEY_SIZE, SEALED_SIZE, SHARE_SIZE, pack_indices
from secagg_protocols.pairwise.neighbourhoods import Neighbourhoods, Turned
from secagg_protocols.pairwise.recovery import Secrets, read_shares
from secagg_protocols.pairwise.recovery import Shares as Collected
from secagg_protocols.pairwise.round import Round
from secagg_protocols.pairwise.signed import SignedRound, signers_for


class Roll(State):
    """Who advertised which keys.

    Attributes:
        keys: {party: sealing key, mask key, signature}.
        prepared: whose signature is over its slot.
    """

    keys: dict[int, bytes] = {}
    prepared: set[int] = set()

    @derived
    def halves(self, round: Round) -> set[bytes]:  # noqa: ARG002
        """Each public key by itself."""
        return {half for key in self.keys.values() for half in _halves(key)}

    @derived
    def graph(self, round: Round) -> Neighbourhoods:
        """The graph that all keys together fix, once phase "keys" has closed."""
        return Neighbourhoods(self.keys, round.parameters)

    def shown(self, round: Round, whose: Sequence[int]) -> messages.AskShares:
        """These parties' advertisements."""
        return messages.AskShares(
            parties=pack_indices(whose),
            keys=b"".join(self.keys[j][: 2 * KEY_SIZE] for j in whose),
            signatures=b"".join(self.keys[j][2 * KEY_SIZE :] for j in whose),
            prepared=round.pack_prepared([j in self.prepared for j in whose]),
        )

    @derived
    def view(self, round: Round) -> bytes:
        """Digest of what every client was shown in active mode."""
        ask = self.shown(round, sorted(self.keys))
        return derive.view_digest(ask.parties, ask.keys, ask.signatures)

    @property
    def mask_keys(self) -> dict[int, bytes]:
        """{party: its public mask key}."""
        return {i: key[KEY_SIZE : 2 * KEY_SIZE] for i, key in self.keys.items()}

    def check(self, round: Round) -> None:
        """Raise WireError for keys of nobody, or of too few to have begun with."""
        check_indices(round.n, self.keys, self.prepared)
        if not self.keys.keys() >= self.prepared or len(self.keys) < round.parameters.least_cohort:
            raise WireError("saved server of another round: keys of too few parties, or prepared by others")


class Dealt(State):
    """What was dealt among whom, once phase "shares" has closed.

    Attributes:
        roll: the keys.
        commitments, hashes: as in `Dealing`.
        members: who goes on: each finds `threshold` holders among them.
    """

    roll: Roll
    commitments: dict[int, bytes]
    hashes: dict[int, bytes]
    members: frozenset[int]

    @derived
    def among(self, round: Round) -> NDArray[np.bool_]:
        """The members, (n,) bits."""
        among = np.zeros(round.n, np.bool_)
        among[list(self.members)] = True
        return among

    @derived
    def holders(self, round: Round) -> dict[int, list[int]]:
        """{member: the members that hold shares of its secrets}."""
        graph, among = self.roll.graph(round), self.among(round)
        return {i: [j for j in graph.holders[i] if among[j]] for i in self.members}

    @derived
    def hashes_for(self, round: Round) -> Turned:
        """By holder, the hashes of its dealers' shares."""
        return self.roll.graph(round).turned_hashes(self.hashes)

    def check(self, round: Round) -> None:
        """Raise WireError for members that dealt nothing, or too few."""
        self.roll.check(round)
        if not self.commitments.keys() & self.hashes.keys() & self.roll.keys.keys() >= self.members:
            raise WireError("saved server of another round: members that never advertised keys or dealt shares")
        if len(self.members) < round.parameters.least_cohort:
            raise WireError("saved server of another round: too few members")


class Summed(State):
    """The masked sum, once phase "masked" has closed.

    Attributes:
        dealt: who holds what.
        contributors: whose masked vectors are in it.
        vector: (dim,) lanes, as bytes.
    """

    dealt: Dealt
    contributors: frozenset[int]
    vector: bytearray

    @derived
    def secrets(self, round: Round) -> Secrets:
        """What has to be opened."""
        return Secrets(round, self.dealt.holders(round), self.contributors)

    def graph(self, round: Round) -> Neighbourhoods:
        """Of all who advertised."""
        return self.dealt.roll.graph(round)

    def lanes(self, round: Round) -> Lanes:
        """The vector, to be changed in place."""
        return np.frombuffer(self.vector, round.session.ring.lane)

    def check(self, round: Round) -> None:
        """Raise WireError for a vector of another size, or contributors that are no members."""
        self.dealt.check(round)
        check_vector(round, self.vector)
        if not self.contributors <= self.dealt.members:
            raise WireError("saved server of another round: contributors that are no members")


def check_vector(round: Round, vector: bytearray) -> None:
    """Raise WireError for another size."""
    if len(vector) != round.session.dim * round.session.ring.lane.itemsize:
        raise WireError("saved server of another round: its vector has another size")


class Advertising(ServerStage[Round]):
    """Phase "keys": who comes, with which keys."""

    roll: Roll = msgspec.field(default_factory=Roll)

    def asks(self, round: Round, alive: Set[int]) -> Mapping[int, Message]:  # noqa: ARG002
        """All clients."""
        return dict.fromkeys(alive, messages.AskKeys())

    def absorb(self, round: Round, sender: int, reply: messages.Keys) -> None:
        """Fig. 4, Round 0."""
        self._absorb(round, sender, reply, prepared=False)

    def absorb_prepared(self, round: Round, sender: int, reply: messages.Keys) -> None:
        """The same of keys that were advertised before the session."""
        self._absorb(round, sender, reply, prepared=True)
        self.roll.prepared.add(sender)

    def _absorb(self, round: Round, i: int, reply: messages.Keys, *, prepared: bool) -> None:
        keys = (reply.sealing, reply.mask)
        for key in keys:
            check_size(key, KEY_SIZE, "public key")
            agreement.check_order(key)  # an honest neighbour would have to leave over it
        round.check_keys(i, reply, prepared)
        seen = self.roll.halves(round)
        if keys[0] == keys[1] or not seen.isdisjoint(keys):
            raise PeerMisbehaved("a public key that was advertised before", {round.session.parties[i]})
        seen.update(keys)
        self.roll.keys[i] = reply.sealing + reply.mask + reply.signature

    def close(self, round: Round, phase: str, answered: Set[int]) -> "Dealing":
        """The graph is fixed now."""
        if len(answered) < round.parameters.least_advertised:
            raise TooFew(phase, len(answered), round.parameters.least_advertised)
        return Dealing(self.roll)

    def merge(self, round: Round, other: "Advertising") -> None:
        """The keys of others, if none of them stands here too."""
        mine, theirs = self.roll, other.roll
        twice = mine.halves(round) & theirs.halves(round)
        if twice:  # which of the two copied the other, nobody can tell
            copied = [i for roll in (mine, theirs) for i, key in roll.keys.items() if twice.intersection(_halves(key))]
            raise PeerMisbehaved(
                "a public key that was advertised before, at another server", round.session.ids(copied)
            )
        mine.halves(round).update(theirs.halves(round))
        mine.keys |= theirs.keys
        mine.prepared |= theirs.prepared

    def check(self, round: Round, present: Present) -> None:
        """Raise WireError for keys of nobody."""
        present.check(heard=self.roll.keys.keys())
        check_indices(round.n, self.roll.keys, self.roll.prepared)


class Dealing(ServerStage[Round]):
    """Phase "shares".

    Attributes:
        roll: the keys.
        commitments: {dealer: commitment to its self-mask seed}.
        sealed: {dealer: one box a neighbour, ascending}.
        hashes: {dealer: one pair of hashes a holder, ascending}.
    """

    roll: Roll
    commitments: dict[int, bytes] = {}
    sealed: dict[int, bytes] = {}
    hashes: dict[int, bytes] = {}

    def asks(self, round: Round, alive: Set[int]) -> Mapping[int, Message]:
        """Each client who is here, and whose keys it needs."""
        neighbours = self.roll.graph(round).neighbours
        return round.asks_for_shares(alive, neighbours, lambda whose: self.roll.shown(round, whose))

    def absorb(self, round: Round, sender: int, reply: messages.Shares) -> None:
        """Fig. 4, Round 1."""
        graph = self.roll.graph(round)
        check_shown(reply.context, round.context, round.session.parties[sender])
        check_size(reply.commitment, HASH_SIZE, "commitment")
        check_rows(reply.sealed, SEALED_SIZE, len(graph.neighbours[sender]), "sealed shares")
        check_rows(reply.hashes, 2 * HASH_SIZE, len(graph.holders[sender]), "share hashes")
        self.commitments[sender] = reply.commitment
        self.sealed[sender] = reply.sealed
        self.hashes[sender] = reply.hashes

    def close(self, round: Round, phase: str, answered: Set[int]) -> "Masking":
        """Those go on among whom each finds `threshold` holders."""
        graph, parameters = self.roll.graph(round), round.parameters
        members = graph.core(answered)
        if not members:
            if len(answered) < parameters.least_cohort:
                raise TooFew(phase, len(answered), parameters.least_cohort)
            most = graph.most_holders(answered)
            raise TooFew(phase, most, parameters.threshold, "holders for each secret, in the best part of the graph")
        dealt = Dealt(self.roll, self.commitments, self.hashes, members)
        return Masking(dealt, self.sealed, bytearray(round.session.dim * round.session.ring.lane.itemsize))

    def merge(self, round: Round, other: "Dealing") -> None:  # noqa: ARG002
        """What others dealt."""
        self.commitments |= other.commitments
        self.sealed |= other.sealed
        self.hashes |= other.hashes

    def check(self, round: Round, present: Present) -> None:
        """Raise WireError for dealers that advertised no keys."""
        present.check(alive=self.roll.keys.keys(), heard=self.commitments.keys())
        self.roll.check(round)
        if not self.roll.keys.keys() >= self.commitments.keys() == self.sealed.keys() == self.hashes.keys():
            raise WireError("saved server of another round: dealers that never advertised keys")


class Masking(ServerStage[Round]):
    """Phase "masked": vectors are added as they come.

    Attributes:
        dealt: who holds what.
        sealed: as in `Dealing`, until it is relayed.
        vector: (dim,) lanes, as bytes.
    """

    dealt: Dealt
    sealed: dict[int, bytes]
    vector: bytearray

    @span("relay and lookup of rows")
    def asks(self, round: Round, alive: Set[int]) -> Mapping[int, Message]:  # noqa: ARG002
        """Each member, with what its neighbours sealed for it. The server needs the boxes no more."""
        graph, among = self.dealt.roll.graph(round), self.dealt.among(round)
        boxes, hashes = graph.turned_boxes(self.sealed), self.dealt.hashes_for(round)
        self.sealed = {}
        asks: dict[int, Message] = {}
        for i in sorted(self.dealt.members):
            among[i] = False  # its own shares it has
            asks[i] = messages.AskMasked(
                context=round.context,
                dealers=pack_indices(j for j in graph.neighbours[i] if among[j]),
                sealed=boxes.of(i, among).tobytes(),
                hashes=hashes.of(i, among).tobytes(),
            )
            among[i] = True
        return asks

    @derived
    def lanes(self, round: Round) -> Lanes:
        """The vector, to be changed in place."""
        return np.frombuffer(self.vector, round.session.ring.lane)

    def absorb(self, round: Round, sender: int, reply: messages.Masked) -> None:  # noqa: ARG002
        """Fig. 4, Round 2."""
        add_packed(self.lanes(round), reply.vector, round.session.ring)

    def close(self, round: Round, phase: str, answered: Set[int]) -> "Agreeing | Unmasking":
        """Who contributed is fixed now, and with it which secrets will be needed."""
        summed = Summed(self.dealt, frozenset(answered), self.vector)
        summed.secrets(round).check_reachable(phase, answered)
        return Agreeing(summed) if round.agrees else Unmasking.of(round, summed, {})

    def merge(self, round: Round, other: "Masking") -> None:
        """Sums of disjoint senders add up."""
        mine = self.lanes(round)
        mine += other.lanes(round)

    def check(self, round: Round, present: Present) -> None:
        """Raise WireError for a vector of another size."""
        present.check(asked=self.dealt.members)
        self.dealt.check(round)
        check_vector(round, self.vector)


class Agreeing(ServerStage[SignedRound]):
    """Phase "consistency", in active mode.

    Attributes:
        summed: the masked sum.
        signatures: {party: of the contributor set}.
    """

    summed: Summed
    signatures: dict[int, bytes] = {}

    def asks(self, round: SignedRound, alive: Set[int]) -> Mapping[int, Message]:  # noqa: ARG002
        """All contributors."""
        contributors = self.summed.contributors
        return dict.fromkeys(contributors, messages.AskConsistency(round.bits(contributors)))

    def absorb(self, round: SignedRound, sender: int, reply: messages.Consistency) -> None:
        """Fig. 4, Round 3."""
        view = self.summed.dealt.roll.view(round)
        round.check_signature(sender, view, round.bits(self.summed.contributors), reply.signature)
        self.signatures[sender] = reply.signature

    def close(self, round: SignedRound, phase: str, answered: Set[int]) -> "Unmasking":  # noqa: ARG002
        """Fig. 4, Round 4: a client speaks only once it sees `threshold` signatures of holders of its shares."""
        shown, needed = signers_for(self.summed.graph(round).holders, self.signatures), round.parameters.threshold
        most = max(map(len, shown.values()), default=0)
        if most < needed:
            raise TooFew(phase, most, needed, "holders of one client's shares signed the set")
        speakers = {i for i, signers in shown.items() if len(signers) >= needed}
        self.summed.secrets(round).check_reachable(phase, speakers)
        return Unmasking.of(round, self.summed, self.signatures)

    def merge(self, round: SignedRound, other: "Agreeing") -> None:  # noqa: ARG002
        """Others' signatures."""
        self.signatures |= other.signatures

    def check(self, round: SignedRound, present: Present) -> None:
        """Raise WireError for signatures of nobody."""
        present.check(asked=self.summed.contributors, heard=self.signatures.keys())
        self.summed.check(round)
        check_indices(round.n, self.signatures)


class Unmasking(ServerStage[Round]):
    """Phase "unmask": shares come in, until `threshold` of each needed secret are there.

    Attributes:
        summed: the masked sum.
        signatures: of the contributor set, in active mode.
        points, values: of the shares, see `recovery.Shares`; they open secrets.
        missing: {dealer: holders who say that its sealed shares did not open or fail their hashes}.
    """

    summed: Summed
    signatures: dict[int, bytes]
    points: bytearray
    values: bytearray
    missing: dict[int, list[int]] = {}

    @classmethod
    def of(cls, round: Round, summed: Summed, signatures: dict[int, bytes]) -> "Unmasking":
        """No share yet."""
        sizes = Collected.sizes(len(summed.secrets(round).needed), round.parameters.threshold)
        points, values = map(bytearray, sizes)
        return cls(summed, signatures, points, values)

    @derived
    def shares(self, round: Round) -> Collected:
        """A view of them."""
        return Collected.viewing(self.points, self.values, round.parameters.threshold)

    def asks(self, round: Round, alive: Set[int]) -> Mapping[int, Message]:  # noqa: ARG002
        """All contributors; in active mode those who can be shown `threshold` signatures, having signed themselves."""
        holders = self.summed.graph(round).holders
        return round.asks_to_unmask(self.summed.contributors, holders, self.signatures)

    def absorb(self, round: Round, sender: int, reply: messages.Unmask) -> None:
        """Check all of one holder's shares against their dealers' hashes, then keep what is still needed."""
        dealt, secrets = self.summed.dealt, self.summed.secrets(round)
        every = dealt.holders(round)[sender]
        held = unpack_bits(reply.held, len(every))
        check_rows(reply.shares, SHARE_SIZE, int(held.sum()), "shares")
        dealers = np.array(every, np.int64)[held]
        table, values = read_shares(reply.shares)
        published = dealt.hashes_for(round).of(sender, dealt.among(round))
        secrets.check_published(dealers, sender, table, published[held])
        self.shares(round).keep(secrets.row[dealers], sender, values)
        for dealer, is_held in zip(every, held, strict=True):
            if not is_held:
                self.missing.setdefault(dealer, []).append(sender)

    def close(self, round: Round, phase: str, answered: Set[int]) -> Sum:  # noqa: ARG002
        """Fig. 4, Round 4: recover the secrets, remove the masks, reduce mod 2**b."""
        dealt, secrets = self.summed.dealt, self.summed.secrets(round)
        found, sound = self.shares(round).open(phase)
        opened = {i: found[row].tobytes() for row, i in enumerate(secrets.needed)}
        unmatched = {i for i, is_sound in zip(secrets.needed, sound, strict=True) if not is_sound}
        mask_keys = dealt.roll.mask_keys
        secrets.check_opened(opened, unmatched, dealt.commitments, mask_keys)
        vector = self.summed.lanes(round)
        secrets.unmask(vector, opened, mask_keys)
        return Sum(round.session.ring.reduce(vector), self.summed.contributors)

    def accusations(self, round: Round) -> Mapping[int, str]:
        """{dealer: which holders say that it sealed them no sound share}; a holder may lie, so nobody is dropped."""
        parties = round.session.parties
        return {
            dealer: f"no sound share of its secrets, say the holders {[parties[i] for i in holders]}"
            for dealer, holders in self.missing.items()
        }

    def merge(self, round: Round, other: "Unmasking") -> None:
        """Other holders' shares."""
        self.shares(round).merge(other.shares(round))
        for dealer, holders in other.missing.items():
            self.missing.setdefault(dealer, []).extend(holders)

    def check(self, round: Round, present: Present) -> None:
        """Raise WireError for shares of another number of secrets."""
        present.check(asked=self.summed.contributors)
        self.summed.check(round)
        check_indices(round.n, self.signatures, self.missing, *self.missing.values())
        sizes = Collected.sizes(len(self.summed.secrets(round).needed), round.parameters.threshold)
        if (len(self.points), len(self.values)) != sizes:
            raise WireError("saved shares of another round")


def _halves(key: bytes) -> tuple[bytes, bytes]:
    """The two public keys of an advertisement, without its signature."""
    return key[:KEY_SIZE], key[KEY_SIZE : 2 * KEY_SIZE]
