"""The server of a Paillier sum: adds ciphertexts as they come, and has the holders open the sum."""

from collections.abc import Mapping, Set
from functools import cached_property

from secagg.errors import LocalMisuse, PartyId, PeerMisbehaved, TooFew, WireError
from secagg.primitives.modular import Accumulator, Residues
from secagg.primitives.paillier import PublicKey, check_key
from secagg.scheme import Phase, ServerSide, Session, Sum
from secagg.scheme.context import check_shown
from secagg.scheme.policy import MinCohort, check_least
from secagg.wire import codec
from secagg.wire.codec import Message
from secagg.wire.packed import pack_set
from secagg_protocols.paillier.messages import (
    AskDeal,
    AskDecrypt,
    AskEncrypted,
    Deal,
    Decrypted,
    Encrypted,
    context_digest,
    deal_label,
    opening_label,
)
from secagg_protocols.paillier.opening import Opening, SingleOpening
from secagg_protocols.paillier.parameters import Parameters, key_digest

CANDIDATES = 3
"""Clients that are asked to deal; the first of them that answers is the holder."""

_Rows = tuple[tuple[int, bytes], ...]


class _Saved(Message, frozen=True):
    """The machine between two calls."""

    offers: _Rows
    holder: int | None
    total: bytes
    least: tuple[tuple[int, MinCohort], ...]
    contributors: tuple[int, ...]
    values: _Rows


class PaillierServer(ServerSide):
    """Holds no key. Memory: one vector's ciphertexts, and in the last phase the values of `threshold` holders.

    Args:
        session, parameters: the round.
        saved: what `save` returned.
    """

    def __init__(self, session: Session, parameters: Parameters, saved: bytes | None = None) -> None:
        self._session = session
        self._parameters = parameters
        self._context = context_digest(session.context)
        self._offers: dict[int, bytes] = {}  # of candidates
        self._holder: int | None = None  # the candidate that was chosen
        self._opening: Opening | None = parameters.opening
        self._adding: Accumulator | None = None  # products of ciphertexts, from the first client's on
        self._least: dict[int, int] = {}  # fewest contributors that each of those whose ciphertexts came asks for
        self._contributors: frozenset[int] = frozenset()
        self._values: dict[int, list[int]] = {}  # of holders, by their number
        if saved is not None:
            self._load(codec.decode(saved, _Saved))

    def open(self, phase: Phase, alive: Set[PartyId]) -> Mapping[PartyId, Message]:
        """The asks of one phase."""
        ask: Message
        indices = sorted(map(self._session.index, alive))
        if phase.reply is Deal:
            indices, ask = indices[:CANDIDATES], AskDeal()
        elif phase.reply is Encrypted:
            ask = self._ask_encrypted()
        else:
            indices, ask = self._reachable_holders(), self._ask_decrypt()
        return {self._session.parties[i]: ask for i in indices}

    def absorb(self, phase: Phase, sender: PartyId, reply: Message) -> None:  # noqa: ARG002
        """Check and fold in one reply."""
        i = self._session.index(sender)
        match reply:
            case Deal():
                self._check_deal(i, reply)
                self._offers[i] = reply.key
            case Encrypted():
                self._absorb_encrypted(sender, reply)
            case Decrypted():
                self._absorb_decrypted(i, reply)
            case _:
                raise LocalMisuse(f"{type(reply).__name__} is no reply of a Paillier sum")

    def close(self, phase: Phase, answered: Set[PartyId]) -> Sum | None:
        """Apply the threshold rule of one phase; the sum at the end."""
        if phase.reply is Deal:
            if not self._offers:
                raise TooFew(phase.name, 0, 1, "candidates dealt a key")
            self._choose(min(self._offers))
        elif phase.reply is Encrypted:
            self._close_encrypted(phase, frozenset(map(self._session.index, answered)))
        else:
            return self._finish(phase)
        return None

    def save(self) -> bytes:
        """All state: nothing secret before the last phase, what opens the sum from then on."""
        return codec.encode(
            _Saved(
                offers=tuple(self._offers.items()),
                holder=self._holder,
                total=b"" if self._adding is None else self._key.write_ciphertexts(self._adding.values()),
                least=tuple(self._least.items()),
                contributors=tuple(sorted(self._contributors)),
                values=tuple((number, self._opened.write(row)) for number, row in self._values.items()),
            )
        )

    def _load(self, saved: _Saved) -> None:
        """Raises WireError for what no machine of this session saves."""
        count = self._parameters.slots.plaintexts
        if saved.offers and self._parameters.opening is not None:
            raise WireError("saved server of another round: it was offered keys")
        for i, key in saved.offers:
            if i not in self._parameters.clients:
                raise WireError("saved server of another round: a key of no client")
            self._read_key(key)
        self._offers = dict(saved.offers)
        if saved.holder is not None:
            if saved.holder not in self._offers:
                raise WireError("saved server of another round: its holder offered no key")
            self._choose(saved.holder)
        self._least, self._contributors = dict(saved.least), frozenset(saved.contributors)
        if not self._contributors <= self._least.keys() <= self._parameters.clients:
            raise WireError("saved server of another round: contributors that are no clients, or sent no least cohort")
        if saved.total:
            self._add(self._key.read_ciphertexts(saved.total, count))
        if saved.values and not set(dict(saved.values)) <= set(self._numbers.values()):
            raise WireError("saved server of another round: values of no holder")
        self._values = {number: self._opened.read(row, count) for number, row in saved.values}

    def _choose(self, holder: int) -> None:
        self._holder = holder
        self._opening = SingleOpening(PublicKey.from_bytes(self._offers[holder]))

    def _check_deal(self, candidate: int, deal: Deal) -> None:
        """Take no key that could open a sum in more than one way."""
        check_key(self._read_key(deal.key), deal.proof, deal_label(self._session.digest, candidate))

    def _read_key(self, data: bytes) -> PublicKey:
        key = PublicKey.from_bytes(data)
        if key.bits != self._parameters.key_bits:
            raise WireError(f"Paillier key of {key.bits} bits: expected {self._parameters.key_bits}")
        return key

    def _absorb_encrypted(self, sender: PartyId, reply: Encrypted) -> None:
        check_shown(reply.context, self._context, sender)
        if reply.key != key_digest(self._key):
            raise PeerMisbehaved("encrypted under another key", {sender})
        clients = len(self._parameters.clients)
        if reply.least > clients:  # its own policy would have kept it out of the session
            raise PeerMisbehaved(f"a least cohort of {reply.least} in a session of {clients} clients", {sender})
        self._add(self._key.read_ciphertexts(reply.ciphertexts, self._parameters.slots.plaintexts))
        self._least[self._session.index(sender)] = reply.least

    def _add(self, ciphertexts: Residues) -> None:
        if self._adding is None:
            self._adding = self._key.modulus.accumulator(len(ciphertexts))
        self._adding.multiply(ciphertexts)

    def _close_encrypted(self, phase: Phase, contributors: frozenset[int]) -> None:
        self._contributors = contributors
        least = {self._session.parties[i]: self._least[i] for i in sorted(contributors)}
        check_least(phase.name, least, "clients encrypted")
        reachable = len(self._reachable_holders())
        if reachable < self._parameters.threshold:
            raise TooFew(phase.name, reachable, self._parameters.threshold, "key holders are left")

    def _absorb_decrypted(self, i: int, reply: Decrypted) -> None:
        """All of a holder's values, checked; kept as long as fewer than `threshold` came before."""
        opening, number = self._opened, self._numbers[i]
        values = opening.read(reply.values, self._parameters.slots.plaintexts)
        label = opening_label(self._session.digest, self._session.context, self._contributor_set())
        opening.check(number, self._total, values, reply.proof, label)
        if len(self._values) < opening.threshold:
            self._values[number] = values

    def _finish(self, phase: Phase) -> Sum:
        if len(self._values) < self._parameters.threshold:
            raise TooFew(phase.name, len(self._values), self._parameters.threshold, "key holders answered")
        vector = self._parameters.slots.unpack(self._opened.combine(self._values))
        return Sum(vector, self._parameters.ids(self._contributors))

    def _ask_encrypted(self) -> AskEncrypted:
        if self._holder is None:
            return AskEncrypted(len(self._session.parties), b"")
        return AskEncrypted(self._holder, self._offers[self._holder])

    def _ask_decrypt(self) -> AskDecrypt:
        return AskDecrypt(self._context, self._contributor_set(), self._key.write_ciphertexts(self._total))

    @cached_property
    def _total(self) -> list[int]:
        """The sum's ciphertexts, once phase "encrypted" has closed."""
        return [] if self._adding is None else self._adding.values()

    def _contributor_set(self) -> bytes:
        return pack_set(self._contributors, len(self._session.parties))

    @property
    def _numbers(self) -> Mapping[int, int]:
        """{party: its number in the key}, of all holders in the session."""
        return self._parameters.holders if self._holder is None else {self._holder: 1}

    def _reachable_holders(self) -> list[int]:
        """Who holds a key and is not lost: contributors, and holders that give no input."""
        return sorted(i for i in self._numbers if i in self._contributors or i not in self._parameters.clients)

    @property
    def _opened(self) -> Opening:
        if self._opening is None:
            raise WireError('no key before phase "deal" has closed')
        return self._opening

    @property
    def _key(self) -> PublicKey:
        return self._opened.public
