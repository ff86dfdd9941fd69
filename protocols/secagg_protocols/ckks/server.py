"""The server of a CKKS sum: relays the key that one client deals to all, adds ciphertexts, and never holds the key.

Memory: one vector of coefficients and the sum of the uniform halves.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Set

import msgspec
import numpy as np

from secagg.encoding.packing import unpack
from secagg.errors import PeerMisbehaved, TooFew, WireError
from secagg.primitives import agreement, ckks
from secagg.primitives.ckks import DEGREE, SEED_BYTES, Masks, Residues
from secagg.scheme import Present, ServerStage, Sum
from secagg.scheme.context import check_shown
from secagg.scheme.machine import check_indices, derived
from secagg.scheme.policy import MinCohort, check_least
from secagg.wire.codec import Message, State
from secagg.wire.packed import check_rows, check_size, pack_set, rows
from secagg_protocols.ckks import messages, residues
from secagg_protocols.ckks.messages import DIGEST_SIZE, KEY_SIZE, SEALED_SIZE
from secagg_protocols.ckks.round import Round


class Roll(State):
    """Who comes: public keys, and fewest contributors that each client asks for."""

    keys: dict[int, bytes] = {}
    least: dict[int, MinCohort] = {}

    def check_least(self, round: Round, phase: str, among: Iterable[int]) -> None:
        """Raise TooFew where these are too few for any of them."""
        check_least(phase, {round.session.parties[i]: self.least[i] for i in sorted(among)})

    def willing(self) -> frozenset[int]:
        """Who can be in a sum at all: the others' policies ask for more clients than there are."""
        return frozenset(i for i, least in self.least.items() if least <= len(self.keys))

    def check(self, round: Round) -> None:
        """Raise WireError for keys of nobody, or without their least cohort."""
        check_indices(round.n, self.keys)
        if self.keys.keys() != self.least.keys():
            raise WireError("saved server of another round: a party without a key, or without its least cohort")


class Advertising(ServerStage[Round]):
    """Phase "keys"."""

    roll: Roll = msgspec.field(default_factory=Roll)

    def asks(self, round: Round, alive: Set[int]) -> Mapping[int, Message]:  # noqa: ARG002
        """All clients."""
        return dict.fromkeys(alive, messages.AskKeys())

    def absorb(self, round: Round, sender: int, reply: messages.Keys) -> None:
        """A key that no honest dealer would have to leave over."""
        culprit = {round.session.parties[sender]}
        check_shown(reply.context, round.context, round.session.parties[sender])
        check_size(reply.key, KEY_SIZE, "public key")
        agreement.check_order(reply.key)
        if reply.key in self.roll.keys.values():
            raise PeerMisbehaved("a public key that was advertised before", culprit)
        if reply.least > round.n:  # its own policy would have kept it out of the session
            raise PeerMisbehaved(f"a least cohort of {reply.least} in a session of {round.n} parties", culprit)
        self.roll.keys[sender], self.roll.least[sender] = reply.key, reply.least

    def close(self, round: Round, phase: str, answered: Set[int]) -> "Dealing":  # noqa: ARG002
        """Raises TooFew where everybody's policy asks for more."""
        if not self.roll.willing():
            self.roll.check_least(round, phase, self.roll.keys)
        return Dealing(self.roll)

    def merge(self, round: Round, other: "Advertising") -> None:
        """Others' keys, if none of them stands here too."""
        mine, theirs = self.roll.keys, other.roll.keys
        twice = set(mine.values()).intersection(theirs.values())
        if twice:  # which of the two copied the other, nobody can tell
            copied = [i for keys in (mine, theirs) for i, key in keys.items() if key in twice]
            raise PeerMisbehaved(
                "a public key that was advertised before, at another server", round.session.ids(copied)
            )
        self.roll.keys |= other.roll.keys
        self.roll.least |= other.roll.least

    def check(self, round: Round, present: Present) -> None:
        """Raise WireError for keys of nobody."""
        present.check(heard=self.roll.keys.keys())
        self.roll.check(round)


class Dealing(ServerStage[Round]):
    """Phase "deal".

    Attributes:
        roll: who comes.
        dealer, deal: the first that came.
    """

    roll: Roll
    dealer: int | None = None
    deal: messages.Deal | None = None

    def asks(self, round: Round, alive: Set[int]) -> Mapping[int, Message]:
        """A few clients, others in each round: the session's id says where to begin."""
        start, clients = int.from_bytes(round.session.id, "little"), sorted(self.roll.keys)
        ask = messages.AskDeal(pack_set(clients, round.n), b"".join(self.roll.keys[i] for i in clients))
        return dict.fromkeys(round.chosen(alive & self.roll.willing(), start), ask)

    def absorb(self, round: Round, sender: int, reply: messages.Deal) -> None:  # noqa: ARG002
        """The first deal counts, whoever else was asked."""
        check_size(reply.commitment, DIGEST_SIZE, "commitment")
        check_rows(reply.sealed, SEALED_SIZE, len(self.roll.keys), "sealed keys")
        if self.deal is None:
            self.dealer, self.deal = sender, reply

    def close(self, round: Round, phase: str, answered: Set[int]) -> "Adding":  # noqa: ARG002
        """Nobody can encrypt without a key."""
        if self.dealer is None or self.deal is None:
            raise TooFew(phase, 0, 1, "dealers answered")
        return Adding(self.roll, self.dealer, self.deal, bytearray(8 * round.session.dim))

    def merge(self, round: Round, other: "Dealing") -> None:  # noqa: ARG002
        """The other's deal, where there is none here."""
        if self.deal is None:
            self.dealer, self.deal = other.dealer, other.deal

    def check(self, round: Round, present: Present) -> None:
        """Raise WireError for a deal without a dealer."""
        present.check(alive=self.roll.keys.keys())
        self.roll.check(round)
        if (self.dealer is None) != (self.deal is None):
            raise WireError("saved server of another round: a deal without a dealer")
        if self.dealer is not None and self.dealer not in present.heard:
            raise WireError("saved server of another round: a dealer that has not answered")


class Adding(ServerStage[Round]):
    """Phase "encrypted": ciphertexts are added as they come.

    Attributes:
        roll: who comes.
        dealer, deal: whose key it is, and what it sealed for all.
        body: (dim,) uint64 coefficients, as bytes.
        masks: the sum of the uniform halves, packed, as of the last save.
        holders: who will be asked to open the sum.
        keyless: who says that the dealer's box for it holds no key.
    """

    roll: Roll
    dealer: int
    deal: messages.Deal
    body: bytearray
    masks: bytes = b""
    holders: frozenset[int] = frozenset()
    keyless: set[int] = set()

    @derived
    def coefficients(self, round: Round) -> Residues:  # noqa: ARG002
        """The body, to be changed in place."""
        return np.frombuffer(self.body, np.uint64)

    @derived
    def halves(self, round: Round) -> Masks:
        """The running sum of the uniform halves."""
        return Masks(round.parameters, round.session.dim, self._unpacked(round))

    def _unpacked(self, round: Round) -> Residues | None:
        blocks = round.parameters.blocks(round.session.dim)
        if not self.masks:
            return None
        masks = residues.unpack(self.masks, blocks * DEGREE, round.parameters, "saved sum of uniform halves")
        return masks.reshape(blocks, DEGREE)

    def asks(self, round: Round, alive: Set[int]) -> Mapping[int, Message]:
        """All who are there, each with its box; the dealer itself holds first: it is known to be there."""
        self.holders = round.chosen(alive, self.dealer)
        clients = sorted(self.roll.keys)
        boxes = rows(self.deal.sealed, SEALED_SIZE, len(clients), "sealed keys")
        return {
            i: messages.AskEncrypted(
                context=round.context,
                parameters=round.parameters.digest,
                dealer=self.dealer,
                key=self.roll.keys[self.dealer],
                commitment=self.deal.commitment,
                box=box,
                holder=i in self.holders,
            )
            for i, box in zip(clients, boxes, strict=True)
            if i in alive
        }

    def absorb(self, round: Round, sender: int, reply: messages.Encrypted) -> None:
        """Nothing of a client's bytes reaches SEAL but seeds of the right length."""
        if not reply.body and not reply.seeds:
            self.keyless.add(sender)
            return
        check_size(reply.seeds, SEED_BYTES * round.parameters.blocks(round.session.dim), "seeds")
        body = residues.unpack(reply.body, round.session.dim, round.parameters, "ciphertexts")
        self.halves(round).add(reply.seeds)
        ckks.add(self.coefficients(round), body, round.parameters)

    def close(self, round: Round, phase: str, answered: Set[int]) -> "Decrypting":
        """Enough for each one's own policy, and enough key holders; where the dealer is why not, the error says so."""
        contributors = frozenset(answered) - self.keyless
        came, claim = len(contributors), self._claim(round)
        needed = max((self.roll.least[i] for i in contributors), default=1)
        if claim and came < needed <= came + len(self.keyless):
            raise TooFew(phase, came, needed, f"parties sent ciphertexts{claim}")
        self.roll.check_least(round, phase, contributors)
        holders = self.holders & contributors
        if len(holders) < round.quorum:
            raise TooFew(phase, len(holders), round.quorum, f"designated key holders sent ciphertexts{claim}")
        self.settle(round)
        body = residues.pack(self.coefficients(round), round.parameters)
        return Decrypting(contributors, holders, body, self.masks)

    def merge(self, round: Round, other: "Adding") -> None:
        """Sums of disjoint senders add up."""
        ckks.add(self.coefficients(round), other.coefficients(round), round.parameters)
        self.halves(round).merge(other.halves(round))
        self.keyless |= other.keyless

    def accusations(self, round: Round) -> Mapping[int, str]:  # noqa: ARG002
        """The dealer, if clients say that what it sealed for them is no key."""
        if not self.keyless:
            return {}
        return {self.dealer: f"the key that it dealt does not open, say {len(self.keyless)} of those it was dealt to"}

    def _claim(self, round: Round) -> str:
        """Of `accusations`, in an error's text."""
        told = self.accusations(round).items()
        return "".join(f" (of party {round.session.parties[dealer]!r}: {why})" for dealer, why in told)

    def settle(self, round: Round) -> None:
        """The sum of the uniform halves as bytes."""
        masks = self.halves(round).values()
        self.masks = b"" if masks is None else residues.pack(masks.reshape(-1), round.parameters)

    def check(self, round: Round, present: Present) -> None:
        """Raise WireError for sums of another size, or coefficients that are none."""
        present.check(alive=self.roll.keys.keys())
        self.roll.check(round)
        if self.dealer not in self.roll.keys:
            raise WireError("saved server of another round: a dealer without a key")
        check_rows(self.deal.sealed, SEALED_SIZE, len(self.roll.keys), "saved keys")
        check_indices(round.n, self.holders, self.keyless)
        check_size(bytes(self.body), 8 * round.session.dim, "saved sum of ciphertexts")
        if self.body and int(self.coefficients(round).max()) >= round.parameters.modulus:
            raise WireError("saved sum of ciphertexts: a coefficient that is not below the modulus")
        self._unpacked(round)


class Decrypting(ServerStage[Round]):
    """Phase "decrypt": the holders open the sum.

    Attributes:
        contributors: whose ciphertexts are in it.
        holders: those of them who hold the key.
        body, masks: the sum, packed to the modulus' bits.
        answers: {holder: the sum, as it sent it}.
    """

    contributors: frozenset[int]
    holders: frozenset[int]
    body: bytes
    masks: bytes
    answers: dict[int, bytes] = {}

    def asks(self, round: Round, alive: Set[int]) -> Mapping[int, Message]:  # noqa: ARG002
        """The holders that contributed."""
        ask = messages.AskDecrypt(pack_set(self.contributors, round.n), self.body, self.masks)
        return dict.fromkeys(self.holders, ask)

    def absorb(self, round: Round, sender: int, reply: messages.Decrypted) -> None:
        """A ring vector."""
        unpack(reply.vector, round.session.dim, round.session.ring)
        self.answers[sender] = reply.vector

    def close(self, round: Round, phase: str, answered: Set[int]) -> Sum:  # noqa: ARG002
        """The holders decrypted the same ciphertexts, so what they say must be one and the same.

        Only they can tell the sum, so as many as must agree, if they collude, say what they like.
        """
        if len(self.answers) < round.quorum:
            raise TooFew(phase, len(self.answers), round.quorum, "key holders answered")
        ((vector, times), *others) = Counter(self.answers.values()).most_common()
        if others:
            majority = vector if times > others[0][1] else None
            suspects = [i for i, answer in self.answers.items() if answer != majority]
            raise PeerMisbehaved(
                f"{len(self.answers)} key holders opened {len(others) + 1} different sums from the same ciphertexts",
                round.session.ids(suspects),
            )
        return Sum(unpack(vector, round.session.dim, round.session.ring), self.contributors)

    def merge(self, round: Round, other: "Decrypting") -> None:  # noqa: ARG002
        """Other holders' answers."""
        self.answers |= other.answers

    def check(self, round: Round, present: Present) -> None:
        """Raise WireError for indices of nobody, sums of another size, or answers that are no vectors."""
        present.check(asked=self.holders, heard=self.answers.keys())
        check_indices(round.n, self.contributors, self.holders, self.answers)
        dim, blocks = round.session.dim, round.parameters.blocks(round.session.dim)
        residues.unpack(self.body, dim, round.parameters, "saved sum of ciphertexts")
        residues.unpack(self.masks, blocks * DEGREE, round.parameters, "saved sum of uniform halves")
        for vector in self.answers.values():
            unpack(vector, round.session.dim, round.session.ring)
