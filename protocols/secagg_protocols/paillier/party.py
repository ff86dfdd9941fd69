"""One party of a Paillier sum: candidate for dealing, client, holder of a key, or several of these."""

from secagg.encoding.ring import Lanes
from secagg.errors import PartyId, PeerMisbehaved
from secagg.primitives import paillier
from secagg.primitives.paillier import PublicKey
from secagg.scheme import Answer, PartySide, Seat, Step
from secagg.scheme.context import check_theirs
from secagg.wire.packed import unpack_set
from secagg_protocols.paillier import messages
from secagg_protocols.paillier.messages import context_digest, deal_label, opening_label
from secagg_protocols.paillier.opening import Opening, Secret, SingleOpening
from secagg_protocols.paillier.parameters import Parameters, key_digest, read_private, write_private
from secagg_protocols.paillier.stages import Finished, Fresh, Offered, Saved, Submitted


class PaillierParty(PartySide):
    """The party in `seat`.

    Args:
        parameters: of the round.
        secret: its part of a key that was dealt in advance.
    """

    SAVED = Saved

    def __init__(self, parameters: Parameters, seat: Seat, secret: Secret | None, saved: bytes | None = None) -> None:
        if parameters.shared:
            seat.policy.check_threshold(parameters.threshold)
        super().__init__(parameters.session, seat, Fresh(), saved)
        self.parameters = parameters
        self.secret = secret

    def deal(self, ask: messages.AskDeal, stage: Fresh) -> Answer:  # noqa: ARG002
        """A fresh key of this party's own, for one round."""
        key = paillier.generate(self.parameters.key_bits, self.seat.entropy)
        proof = paillier.prove_key(key, deal_label(self.session.digest, self.me))
        return Answer(Offered(write_private(key)), messages.Deal(key.public.to_bytes(), proof))

    def encrypt(self, ask: messages.AskEncrypted, stage: Fresh | Offered) -> Step:
        """The vector packed and encrypted; a key of its own that was not chosen is forgotten."""
        public, private = self._key_for(ask, stage)

        def encrypted(vector: Lanes) -> Answer:
            ciphertexts = public.encrypt(self.parameters.slots.pack(vector), self.seat.entropy)
            reply = messages.Encrypted(
                context_digest(self.seat.bound_context),
                key_digest(public),
                public.write_ciphertexts(ciphertexts),
                self.seat.policy.min_cohort,
            )
            return Answer(Submitted(private), reply)

        return encrypted

    def decrypt(self, ask: messages.AskDecrypt, stage: Fresh | Submitted) -> Answer:
        """Open what the server says is the sum over these contributors. Whether it is, no holder can tell."""
        opening, secret = self._opening(stage)
        contributors, gives_input = self._contributors(ask), self.me in self.parameters.clients
        self.seat.check_set(self.session, contributors, gives_input)
        ciphertexts = opening.public.read_ciphertexts(ask.ciphertexts, self.parameters.slots.plaintexts)
        label = opening_label(self.session.digest, self.seat.bound_context, ask.contributors)
        values, proof = opening.open(secret, ciphertexts, self.seat.entropy, label)
        self.seat.open_set(self.session, contributors, gives_input)
        return Answer(Finished(), messages.Decrypted(values, proof))

    def _key_for(self, ask: messages.AskEncrypted, stage: Fresh | Offered) -> tuple[PublicKey, bytes]:
        """What to encrypt under, and the private key if it is this party's own."""
        known = self.parameters.opening
        if known is not None:
            if ask.key or ask.holder != self.parameters.n:
                raise PeerMisbehaved("the server names a key, and this party knows the one that was dealt in advance")
            return known.public, b""
        public = PublicKey.from_bytes(ask.key)
        self.parameters.check_key(public)
        own = read_private(stage.private) if isinstance(stage, Offered) else None
        is_own = own is not None and own.public == public
        # A holder encrypts under the key that it made itself, so a false key in its name would cost it its own vector.
        if is_own != (ask.holder == self.me) or ask.holder not in self.parameters.clients:
            raise PeerMisbehaved("the server names as holder of a key who is not")
        return public, stage.private if is_own and isinstance(stage, Offered) else b""

    def _opening(self, stage: Fresh | Submitted) -> tuple[Opening, Secret]:
        if self.parameters.opening is not None and self.secret is not None:
            return self.parameters.opening, self.secret
        private = read_private(stage.private) if isinstance(stage, Submitted) and stage.private else None
        if private is None:
            raise PeerMisbehaved("the server asks for a decryption, and this party holds no key")
        return SingleOpening(private.public), private

    def _contributors(self, ask: messages.AskDecrypt) -> frozenset[PartyId]:
        """Their ids, as far as a holder can tell: it believes the server that this is their sum."""
        check_theirs(ask.context, context_digest(self.seat.bound_context), "the contributors")
        contributors = unpack_set(ask.contributors, self.parameters.n)
        if not contributors <= self.parameters.clients:
            raise PeerMisbehaved("the server counts a party as contributor that gives no input")
        return self.session.ids(contributors)
