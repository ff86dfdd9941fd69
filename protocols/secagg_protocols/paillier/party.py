"""One party of a Paillier sum: candidate for dealing, client, holder of a key, or several of these."""

from secagg.encoding.ring import Lanes
from secagg.errors import LocalMisuse, PartyId, PeerMisbehaved, WireError
from secagg.primitives import paillier
from secagg.primitives.paillier import PublicKey
from secagg.scheme import PartySide, Seat, Session, Sum
from secagg.scheme.context import check_theirs
from secagg.wire import codec
from secagg.wire.codec import Message
from secagg.wire.packed import unpack_set
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
from secagg_protocols.paillier.opening import Opening, Secret, SingleOpening
from secagg_protocols.paillier.parameters import Parameters, key_digest, read_private, write_private
from secagg_protocols.paillier.stages import Finished, Fresh, Offered, Saved, Stage, Submitted


class PaillierParty(PartySide):
    """The party numbered `me`.

    Args:
        session, seat, parameters: the round and whose machine it is.
        secret: its part of a key that was dealt in advance.
        saved: what `save` returned.
    """

    def __init__(
        self,
        session: Session,
        seat: Seat,
        parameters: Parameters,
        secret: Secret | None,
        saved: bytes | None = None,
    ) -> None:
        if parameters.shared:
            seat.policy.check_threshold(parameters.threshold)
        self._session = session
        self._seat = seat
        self._me = session.index(seat.party)
        self._parameters = parameters
        self._secret = secret
        self._context = seat.context or b""
        self._entropy = seat.entropy
        self._stage: Stage = Fresh() if saved is None else codec.decode(saved, Saved).stage

    def answer(self, ask: Message, vector: Lanes | None) -> tuple[Message | None, Sum | None]:
        """One phase's reply; this party learns no result."""
        reply, self._stage = self._answered(ask, vector)
        return reply, None

    def save(self) -> bytes:
        """The current stage."""
        return codec.encode(Saved(self._stage))

    def _answered(self, ask: Message, vector: Lanes | None) -> tuple[Message, Stage]:
        match ask, self._stage:
            case AskDeal(), Fresh() if self._parameters.opening is None:
                return self._deal()
            case AskEncrypted(), (Fresh() | Offered()) as before if vector is not None:
                return self._encrypt(ask, before, vector)
            case AskDecrypt(), (Fresh() | Submitted()) as before:
                return self._decrypt(ask, before)
            case _:
                raise LocalMisuse(f"{type(ask).__name__} after stage {type(self._stage).__name__}")

    def _deal(self) -> tuple[Deal, Offered]:
        """A fresh key of this party's own, for one round."""
        key = paillier.generate(self._parameters.key_bits, self._entropy)
        proof = paillier.prove_key(key, deal_label(self._session.digest, self._me))
        return Deal(key.public.to_bytes(), proof), Offered(write_private(key))

    def _encrypt(self, ask: AskEncrypted, stage: Fresh | Offered, vector: Lanes) -> tuple[Encrypted, Submitted]:
        """The vector packed and encrypted; a key of its own that was not chosen is forgotten."""
        public, private = self._key_for(ask, stage)
        ciphertexts = public.encrypt(self._parameters.slots.pack(vector), self._entropy)
        reply = Encrypted(
            context_digest(self._context),
            key_digest(public),
            public.write_ciphertexts(ciphertexts),
            self._seat.policy.min_cohort,
        )
        return reply, Submitted(private)

    def _key_for(self, ask: AskEncrypted, stage: Fresh | Offered) -> tuple[PublicKey, bytes]:
        """What to encrypt under, and the private key if it is this party's own."""
        known = self._parameters.opening
        if known is not None:
            if ask.key or ask.holder != len(self._session.parties):
                raise PeerMisbehaved("the server names a key, and this party knows the one that was dealt in advance")
            return known.public, b""
        public = PublicKey.from_bytes(ask.key)
        if public.bits != self._parameters.key_bits:
            raise WireError(f"Paillier key of {public.bits} bits: expected {self._parameters.key_bits}")
        own = read_private(stage.private) if isinstance(stage, Offered) else None
        is_own = own is not None and own.public == public
        if is_own != (ask.holder == self._me) or ask.holder not in self._parameters.clients:
            raise PeerMisbehaved("the server names as holder of a key who is not")
        return public, stage.private if is_own and isinstance(stage, Offered) else b""

    def _decrypt(self, ask: AskDecrypt, stage: Fresh | Submitted) -> tuple[Decrypted, Finished]:
        """Open what the server says is the sum over these contributors. Whether it is, no holder can tell."""
        opening, secret = self._opening(stage)
        contributors = self._checked_contributors(ask)
        ciphertexts = opening.public.read_ciphertexts(ask.ciphertexts, self._parameters.slots.plaintexts)
        label = opening_label(self._session.digest, self._context, ask.contributors)
        values, proof = opening.open(secret, ciphertexts, self._entropy, label)
        self._seat.open_set(self._session, contributors, self._me in self._parameters.clients)
        return Decrypted(values, proof), Finished()

    def _opening(self, stage: Fresh | Submitted) -> tuple[Opening, Secret]:
        if self._parameters.opening is not None and self._secret is not None:
            return self._parameters.opening, self._secret
        private = read_private(stage.private) if isinstance(stage, Submitted) and stage.private else None
        if private is None:
            raise PeerMisbehaved("the server asks for a decryption, and this party holds no key")
        return SingleOpening(private.public), private

    def _checked_contributors(self, ask: AskDecrypt) -> frozenset[PartyId]:
        """Their ids, as far as a holder can tell: it believes the server that this is their sum."""
        check_theirs(ask.context, context_digest(self._context), "the contributors")
        contributors = unpack_set(ask.contributors, len(self._session.parties))
        if not contributors <= self._parameters.clients:
            raise PeerMisbehaved("the server counts a party as contributor that gives no input")
        ids = self._parameters.ids(contributors)
        self._seat.check_set(self._session, ids, self._me in self._parameters.clients)
        return ids
