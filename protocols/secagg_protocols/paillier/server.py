"""The server of a Paillier sum: adds ciphertexts as they come, and has the holders open the sum. It holds no key.

Memory: one vector's ciphertexts, and in the last phase the values of `threshold` holders.
"""

from collections.abc import Mapping, Set

import msgspec

from secagg.errors import PeerMisbehaved, TooFew, WireError
from secagg.primitives.modular import Accumulator, Residues
from secagg.primitives.paillier import PublicKey, check_key
from secagg.scheme import Present, ServerStage, Sum
from secagg.scheme.context import check_shown
from secagg.scheme.machine import derived
from secagg.scheme.policy import MinCohort, check_least
from secagg.wire.codec import Message, State
from secagg.wire.packed import pack_set, rows
from secagg_protocols.paillier import messages
from secagg_protocols.paillier.messages import deal_label, opening_label
from secagg_protocols.paillier.opening import Opening, SingleOpening
from secagg_protocols.paillier.parameters import Parameters, key_digest

CANDIDATES = 3
"""Clients that are asked to deal; the first of them that answers is the holder."""


class Key(State):
    """The key of the round.

    Attributes:
        holder: whose it is, None where it was dealt in advance.
        public: n || h; empty where it was dealt in advance.
    """

    holder: int | None = None
    public: bytes = b""

    @derived
    def opening(self, round: Parameters) -> Opening:
        """Who opens, and how."""
        if round.opening is not None:
            return round.opening
        return SingleOpening(read_key(round, self.public))

    def numbers(self, round: Parameters) -> Mapping[int, int]:
        """{party: its number in the key}, of all holders in the session."""
        return round.holders if self.holder is None else {self.holder: 1}

    def reachable(self, round: Parameters, contributors: Set[int]) -> list[int]:
        """Who holds a key and is not lost: contributors, and holders that give no input."""
        return sorted(i for i in self.numbers(round) if i in contributors or i not in round.clients)

    def check(self, round: Parameters) -> None:
        """Raise WireError for a key of no client, or one where another was dealt in advance."""
        if (self.holder is None) != (round.opening is not None) or (self.holder is None) != (not self.public):
            raise WireError("saved server of another round: it was offered keys")
        if self.holder is not None and self.holder not in round.clients:
            raise WireError("saved server of another round: a key of no client")
        self.opening(round)


def read_key(round: Parameters, data: bytes) -> PublicKey:
    """A public key of the round's size. Raises WireError."""
    key = PublicKey.from_bytes(data)
    round.check_key(key)
    return key


class Dealing(ServerStage[Parameters]):
    """Phase "deal": a few candidates make a key.

    Attributes:
        offers: {candidate: n || h}.
    """

    offers: dict[int, bytes] = {}

    def asks(self, round: Parameters, alive: Set[int]) -> Mapping[int, Message]:  # noqa: ARG002
        """The first few clients."""
        return dict.fromkeys(sorted(alive)[:CANDIDATES], messages.AskDeal())

    def absorb(self, round: Parameters, sender: int, reply: messages.Deal) -> None:
        """Take no key that could open a sum in more than one way."""
        check_key(read_key(round, reply.key), reply.proof, deal_label(round.session.digest, sender))
        self.offers[sender] = reply.key

    def close(self, round: Parameters, phase: str, answered: Set[int]) -> "Adding":  # noqa: ARG002
        """The first of them is the holder."""
        if not self.offers:
            raise TooFew(phase, 0, 1, "candidates dealt a key")
        holder = min(self.offers)
        return Adding(Key(holder, self.offers[holder]))

    def merge(self, round: Parameters, other: "Dealing") -> None:  # noqa: ARG002
        """Others' offers."""
        self.offers |= other.offers

    def check(self, round: Parameters, present: Present) -> None:
        """Raise WireError for keys of no clients."""
        present.check(heard=self.offers.keys())
        for i, key in self.offers.items():
            Key(i, key).check(round)


class Adding(ServerStage[Parameters]):
    """Phase "encrypted": ciphertexts are multiplied as they come.

    Attributes:
        key: of the round; where there was no phase "deal", the one that was dealt in advance.
        least: {client: fewest contributors that it asks for}, of those whose ciphertexts came.
        total: the products, as of the last save; empty before the first client's.
    """

    key: Key = msgspec.field(default_factory=Key)
    least: dict[int, MinCohort] = {}
    total: bytes = b""

    @derived
    def products(self, round: Parameters) -> Accumulator:
        """The running products."""
        public, count = self.key.opening(round).public, round.slots.plaintexts
        products = public.modulus.accumulator(count)
        if self.total:
            products.multiply(public.read_ciphertexts(self.total, count))
        return products

    def asks(self, round: Parameters, alive: Set[int]) -> Mapping[int, Message]:
        """All clients. A key that was dealt in advance has no one holder: the ask says one beyond the last party."""
        holder = round.n if self.key.holder is None else self.key.holder
        return dict.fromkeys(alive, messages.AskEncrypted(holder, self.key.public))

    def absorb(self, round: Parameters, sender: int, reply: messages.Encrypted) -> None:
        """Ciphertexts under the right key, for the right round."""
        public, culprit = self.key.opening(round).public, {round.session.parties[sender]}
        check_shown(reply.context, round.context, round.session.parties[sender])
        if reply.key != key_digest(public):
            raise PeerMisbehaved("encrypted under another key", culprit)
        clients = len(round.clients)
        if reply.least > clients:  # its own policy would have kept it out of the session
            raise PeerMisbehaved(f"a least cohort of {reply.least} in a session of {clients} clients", culprit)
        self._add(round, public.read_ciphertexts(reply.ciphertexts, round.slots.plaintexts))
        self.least[sender] = reply.least

    def _add(self, round: Parameters, ciphertexts: Residues) -> None:
        self.products(round).multiply(ciphertexts)

    def close(self, round: Parameters, phase: str, answered: Set[int]) -> "Decrypting":
        """Enough for each one's own policy, and enough key holders."""
        parties = round.session.parties
        check_least(phase, {parties[i]: self.least[i] for i in sorted(answered)}, "clients encrypted")
        threshold, reachable = self.key.opening(round).threshold, len(self.key.reachable(round, answered))
        if reachable < threshold:
            raise TooFew(phase, reachable, threshold, "key holders are left")
        self.settle(round)
        return Decrypting(self.key, frozenset(answered), self.total)

    def merge(self, round: Parameters, other: "Adding") -> None:
        """Sums of disjoint senders add up."""
        other.settle(round)
        if other.total:
            public = self.key.opening(round).public
            self._add(round, public.read_ciphertexts(other.total, round.slots.plaintexts))
        self.least |= other.least

    def settle(self, round: Parameters) -> None:
        """The products as bytes."""
        if self.least:
            self.total = self.key.opening(round).public.write_ciphertexts(self.products(round).values())

    def check(self, round: Parameters, present: Present) -> None:
        """Raise WireError for least cohorts of no clients, or a sum that is none."""
        present.check(heard=self.least.keys())
        self.key.check(round)
        if not self.least.keys() <= round.clients or bool(self.least) != bool(self.total):
            raise WireError("saved server of another round: ciphertexts of no clients")
        self.products(round)


class Decrypting(ServerStage[Parameters]):
    """Phase "decrypt": the holders open the sum.

    Attributes:
        key: of the round.
        contributors: whose ciphertexts are in the sum.
        total: its ciphertexts.
        values: {holder's number: what it sent}, of as many as open it together; they do.
    """

    key: Key
    contributors: frozenset[int]
    total: bytes
    values: dict[int, bytes] = {}

    @derived
    def ciphertexts(self, round: Parameters) -> list[int]:
        """The sum's, as numbers."""
        size = self.key.opening(round).public.ciphertext_size
        return [int.from_bytes(row) for row in rows(self.total, size, round.slots.plaintexts, "saved sum")]

    def _set(self, round: Parameters) -> bytes:
        return pack_set(self.contributors, round.n)

    def asks(self, round: Parameters, alive: Set[int]) -> Mapping[int, Message]:  # noqa: ARG002
        """The holders that are left."""
        ask = messages.AskDecrypt(round.context, self._set(round), self.total)
        return dict.fromkeys(self.key.reachable(round, self.contributors), ask)

    def absorb(self, round: Parameters, sender: int, reply: messages.Decrypted) -> None:
        """All of a holder's values, checked; kept as long as fewer than `threshold` came before."""
        opening, number = self.key.opening(round), self.key.numbers(round)[sender]
        values = opening.read(reply.values, round.slots.plaintexts)
        label = opening_label(round.session.digest, round.session.context, self._set(round))
        opening.check(number, self.ciphertexts(round), values, reply.proof, label)
        if len(self.values) < opening.threshold:
            self.values[number] = reply.values

    def close(self, round: Parameters, phase: str, answered: Set[int]) -> Sum:  # noqa: ARG002
        """The sum, from exactly `threshold` holders' values."""
        opening, count = self.key.opening(round), round.slots.plaintexts
        if len(self.values) < opening.threshold:
            raise TooFew(phase, len(self.values), opening.threshold, "key holders answered")
        found = opening.combine({number: opening.read(values, count) for number, values in self.values.items()})
        return Sum(round.slots.unpack(found), self.contributors)

    def merge(self, round: Parameters, other: "Decrypting") -> None:
        """Other holders' values, as far as they are needed."""
        for number, values in other.values.items():
            if len(self.values) < self.key.opening(round).threshold:
                self.values[number] = values

    def check(self, round: Parameters, present: Present) -> None:
        """Raise WireError for contributors that are no clients, a sum that is none, or values of no holders."""
        present.check(asked=set(self.key.reachable(round, self.contributors)))
        self.key.check(round)
        if not self.contributors <= round.clients or not set(self.key.numbers(round).values()) >= self.values.keys():
            raise WireError("saved server of another round: contributors that are no clients, or values of no holder")
        opening, count = self.key.opening(round), round.slots.plaintexts
        opening.public.read_ciphertexts(self.total, count)
        for values in self.values.values():
            opening.read(values, count)
