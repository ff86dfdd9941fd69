"""The server of a CKKS sum: relays the key that one client deals to all, adds ciphertexts, and never holds the key.

Parties are indices here, ids only at the interface.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Set

import numpy as np

from secagg.encoding.packing import unpack
from secagg.errors import LocalMisuse, PartyId, PeerMisbehaved, TooFew, WireError
from secagg.primitives import agreement, ckks
from secagg.primitives.ckks import DEGREE, SEED_BYTES, Masks, Parameters, Residues
from secagg.scheme import Phase, ServerSide, Session, Sum
from secagg.scheme.context import check_shown
from secagg.scheme.policy import MinCohort, check_least
from secagg.wire import codec
from secagg.wire.codec import Message
from secagg.wire.packed import check_rows, check_size, pack_set, rows
from secagg_protocols.ckks import residues
from secagg_protocols.ckks.messages import (
    DIGEST_SIZE,
    KEY_SIZE,
    SEALED_SIZE,
    AskDeal,
    AskDecrypt,
    AskEncrypted,
    AskKeys,
    Deal,
    Decrypted,
    Encrypted,
    Keys,
)


class _Saved(Message, frozen=True):
    """The machine between two calls."""

    keys: tuple[tuple[int, bytes], ...]
    least: tuple[tuple[int, MinCohort], ...]
    dealer: int | None
    deal: Deal | None
    holders: tuple[int, ...]
    body: bytes
    masks: bytes
    contributors: tuple[int, ...]
    answers: tuple[tuple[int, bytes], ...]
    keyless: tuple[int, ...]


class CkksServer(ServerSide):
    """Adds ciphertexts as they come. Memory: one vector of coefficients and the sum of the uniform halves.

    Args:
        session, parameters: the round.
        designated: how many clients are asked to deal, and how many to hold the key.
        quorum: how many of the holders must open the same sum.
        context: digest that clients show of what they say the round is about.
        saved: what `save` returned.
    """

    def __init__(
        self,
        session: Session,
        parameters: Parameters,
        designated: int,
        quorum: int,
        context: bytes,
        saved: bytes | None = None,
    ) -> None:
        self._session = session
        self._parameters = parameters
        self._designated = designated
        self._quorum = quorum
        self._context = context
        self._keys: dict[int, bytes] = {}
        self._least: dict[int, int] = {}  # fewest contributors that each of those asks for
        self._dealer: int | None = None  # the first that dealt
        self._deal: Deal | None = None
        self._holders: frozenset[int] = frozenset()
        self._body: Residues = np.zeros(session.dim, np.uint64)
        self._masks = Masks(parameters, session.dim)
        self._contributors: frozenset[int] = frozenset()
        self._answers: dict[int, bytes] = {}
        self._keyless: set[int] = set()  # who says that the dealer's box for it holds no key
        if saved is not None:
            self._load(codec.decode(saved, _Saved))

    def open(self, phase: Phase, alive: Set[PartyId]) -> Mapping[PartyId, Message]:
        """The asks of one phase."""
        present = frozenset(map(self._session.index, alive))
        if phase.reply is Keys:
            asks: dict[int, Message] = {i: AskKeys() for i in present}
        elif phase.reply is Deal:
            # Others in each round: the session's id says where to begin.
            start = int.from_bytes(self._session.id, "little")
            asks = dict.fromkeys(self._chosen(present & self._willing(), start), self._ask_deal())
        elif phase.reply is Encrypted:
            asks = self._ask_encrypted(present)
        else:
            asks = dict.fromkeys(self._holders & self._contributors, self._ask_decrypt())
        return {self._session.parties[i]: asks[i] for i in sorted(asks)}

    def absorb(self, phase: Phase, sender: PartyId, reply: Message) -> None:  # noqa: ARG002
        """Check and fold in one reply."""
        i = self._session.index(sender)
        match reply:
            case Keys():
                self._absorb_keys(i, reply)
            case Deal():
                self._absorb_deal(i, reply)
            case Encrypted():
                self._absorb_encrypted(i, reply)
            case Decrypted():
                unpack(reply.vector, self._session.dim, self._session.ring)
                self._answers[i] = reply.vector
            case _:
                raise LocalMisuse(f"{type(reply).__name__} is no reply of a CKKS sum")

    def close(self, phase: Phase, answered: Set[PartyId]) -> Sum | None:
        """Whether the round can go on; the sum at the end."""
        if phase.reply is Keys and not self._willing():
            self._check_least(phase, frozenset(self._keys))
        if phase.reply is Deal and self._deal is None:
            raise TooFew(phase.name, 0, 1, "dealers answered")
        if phase.reply is Encrypted:
            self._contributors = frozenset(map(self._session.index, answered)) - self._keyless
            self._check_contributors(phase)
        return self._finish(phase) if phase.reply is Decrypted else None

    def accusations(self) -> Mapping[PartyId, str]:
        """The dealer, if clients say that what it sealed for them is no key."""
        if self._dealer is None or not self._keyless:
            return {}
        dealer = self._session.parties[self._dealer]
        return {dealer: f"the key that it dealt does not open, say {len(self._keyless)} of those it was dealt to"}

    def save(self) -> bytes:
        """All state: ciphertexts, and at the end the sum; never a secret key."""
        masks = self._masks.values()
        return codec.encode(
            _Saved(
                keys=tuple(self._keys.items()),
                least=tuple(self._least.items()),
                dealer=self._dealer,
                deal=self._deal,
                holders=tuple(sorted(self._holders)),
                body=residues.pack(self._body, self._parameters),
                masks=b"" if masks is None else residues.pack(masks.reshape(-1), self._parameters),
                contributors=tuple(sorted(self._contributors)),
                answers=tuple(self._answers.items()),
                keyless=tuple(sorted(self._keyless)),
            )
        )

    def _load(self, saved: _Saved) -> None:
        indices = [i for i, _ in (*saved.keys, *saved.answers)] + [
            *saved.holders,
            *saved.contributors,
            *saved.keyless,
        ]
        if not all(0 <= i < len(self._session.parties) for i in indices):
            raise WireError("saved server of another round: an index of no party")
        if (saved.dealer is None) != (saved.deal is None) or (saved.dealer or 0) not in range(
            len(self._session.parties)
        ):
            raise WireError("saved server of another round: a deal without a dealer")
        self._keys, self._least, self._answers = dict(saved.keys), dict(saved.least), dict(saved.answers)
        if self._keys.keys() != self._least.keys() or not self._keys.keys() >= set(saved.contributors):
            raise WireError("saved server of another round: a party without a key, or without its least cohort")
        self._dealer, self._deal = saved.dealer, saved.deal
        self._holders, self._contributors = frozenset(saved.holders), frozenset(saved.contributors)
        self._keyless = set(saved.keyless)
        dim, blocks = self._session.dim, self._parameters.blocks(self._session.dim)
        self._body = residues.unpack(saved.body, dim, self._parameters, "saved sum of ciphertexts")
        if saved.masks:
            masks = residues.unpack(saved.masks, blocks * DEGREE, self._parameters, "saved sum of uniform halves")
            self._masks = Masks(self._parameters, dim, masks.reshape(blocks, DEGREE))

    def _chosen(self, present: Iterable[int], start: int) -> frozenset[int]:
        """The first few of those present, in a circle from `start`."""
        ranked = sorted(present, key=lambda i: (i - start) % len(self._session.parties))
        return frozenset(ranked[: self._designated])

    def _willing(self) -> frozenset[int]:
        """Who can be in a sum at all: the others' policies ask for more clients than there are."""
        return frozenset(i for i, least in self._least.items() if least <= len(self._keys))

    def _check_least(self, phase: Phase, among: frozenset[int]) -> None:
        check_least(phase.name, {self._session.parties[i]: self._least[i] for i in sorted(among)})

    def _check_contributors(self, phase: Phase) -> None:
        """Enough for each one's own policy, and enough key holders; where the dealer is why not, the error says so."""
        came, claim = len(self._contributors), self._claim()
        needed = max((self._least[i] for i in self._contributors), default=1)
        if claim and came < needed <= came + len(self._keyless):
            raise TooFew(phase.name, came, needed, f"parties sent ciphertexts{claim}")
        self._check_least(phase, self._contributors)
        holding = len(self._holders & self._contributors)
        if holding < self._quorum:
            raise TooFew(phase.name, holding, self._quorum, f"designated key holders sent ciphertexts{claim}")

    def _claim(self) -> str:
        """Of `accusations`, in an error's text."""
        return "".join(f" (of party {dealer!r}: {why})" for dealer, why in self.accusations().items())

    def _ask_deal(self) -> AskDeal:
        clients = sorted(self._keys)
        return AskDeal(pack_set(clients, len(self._session.parties)), b"".join(self._keys[i] for i in clients))

    def _ask_encrypted(self, present: frozenset[int]) -> dict[int, Message]:
        if self._dealer is None or self._deal is None:
            raise LocalMisuse("phase 'encrypted' before a key was dealt")
        self._holders = self._chosen(present, self._dealer)  # the dealer itself first: it is known to be there
        clients = sorted(self._keys)
        boxes = rows(self._deal.sealed, SEALED_SIZE, len(clients), "sealed keys")
        return {
            i: AskEncrypted(
                context=self._context,
                parameters=self._parameters.digest,
                dealer=self._dealer,
                key=self._keys[self._dealer],
                commitment=self._deal.commitment,
                box=box,
                holder=i in self._holders,
            )
            for i, box in zip(clients, boxes, strict=True)
            if i in present
        }

    def _ask_decrypt(self) -> AskDecrypt:
        masks = self._masks.values()
        if masks is None:
            raise LocalMisuse("phase 'decrypt' before any ciphertext came")
        return AskDecrypt(
            contributors=pack_set(self._contributors, len(self._session.parties)),
            body=residues.pack(self._body, self._parameters),
            masks=residues.pack(masks.reshape(-1), self._parameters),
        )

    def _absorb_keys(self, i: int, reply: Keys) -> None:
        check_shown(reply.context, self._context, self._session.parties[i])
        check_size(reply.key, KEY_SIZE, "public key")
        agreement.check_order(reply.key)  # an honest dealer would have to leave over it
        if reply.key in self._keys.values():
            raise PeerMisbehaved("a public key that was advertised before", {self._session.parties[i]})
        parties = len(self._session.parties)
        if reply.least > parties:  # its own policy would have kept it out of the session
            culprit = {self._session.parties[i]}
            raise PeerMisbehaved(f"a least cohort of {reply.least} in a session of {parties} parties", culprit)
        self._keys[i], self._least[i] = reply.key, reply.least

    def _absorb_deal(self, i: int, reply: Deal) -> None:
        """The first deal counts, whoever else was asked."""
        check_size(reply.commitment, DIGEST_SIZE, "commitment")
        check_rows(reply.sealed, SEALED_SIZE, len(self._keys), "sealed keys")
        if self._deal is None:
            self._dealer, self._deal = i, reply

    def _absorb_encrypted(self, i: int, reply: Encrypted) -> None:
        """Nothing of a client's bytes reaches SEAL but seeds of the right length."""
        if not reply.body and not reply.seeds:
            self._keyless.add(i)
            return
        blocks = self._parameters.blocks(self._session.dim)
        check_size(reply.seeds, SEED_BYTES * blocks, "seeds")
        body = residues.unpack(reply.body, self._session.dim, self._parameters, "ciphertexts")
        self._masks.add(reply.seeds)
        ckks.add(self._body, body, self._parameters)

    def _finish(self, phase: Phase) -> Sum:
        """The holders decrypted the same ciphertexts, so what they say must be one and the same.

        Only they can tell the sum, so as many as must agree, if they collude, say what they like.
        """
        if len(self._answers) < self._quorum:
            raise TooFew(phase.name, len(self._answers), self._quorum, "key holders answered")
        ((vector, times), *others) = Counter(self._answers.values()).most_common()
        if others:
            majority = vector if times > others[0][1] else None
            suspects = {self._session.parties[i] for i, answer in self._answers.items() if answer != majority}
            raise PeerMisbehaved(
                f"{len(self._answers)} key holders opened {len(others) + 1} different sums from the same ciphertexts",
                suspects,
            )
        contributors = frozenset(self._session.parties[i] for i in self._contributors)
        return Sum(unpack(vector, self._session.dim, self._session.ring), contributors)
