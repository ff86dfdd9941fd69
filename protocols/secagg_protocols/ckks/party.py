"""One client of a CKKS sum; a few of them deal, and a few hold the key until they have opened the sum."""

from collections.abc import Mapping

from secagg.encoding.packing import pack
from secagg.encoding.ring import Lanes
from secagg.errors import PeerMisbehaved
from secagg.primitives import agreement, sealing
from secagg.primitives.ckks import DEGREE, KEY_SEED_BYTES, Parameters, SecretKey
from secagg.primitives.entropy import draw
from secagg.scheme import Answer, PartySide, Seat, Session, Step
from secagg.scheme.context import check_theirs
from secagg.wire.packed import check_size, rows, unpack_set
from secagg_protocols.ckks import derive, messages, residues
from secagg_protocols.ckks.messages import DIGEST_SIZE, KEY_SIZE, SEALED_SIZE
from secagg_protocols.ckks.stages import Advertised, Finished, Fresh, Holding, Saved


class CkksParty(PartySide):
    """The client in `seat`.

    Args:
        parameters: of the round.
        bound: 32 bytes that stand for the round as this client sees it, see `derive.binding`.
    """

    SAVED = Saved

    def __init__(
        self, session: Session, seat: Seat, parameters: Parameters, bound: bytes, saved: bytes | None = None
    ) -> None:
        super().__init__(session, seat, Fresh(), saved)
        self.parameters = parameters
        self.bound = bound

    def advertise(self, ask: messages.AskKeys, stage: Fresh) -> Answer:  # noqa: ARG002
        """A fresh key pair, and what this party takes part in."""
        advertised = Advertised(agreement.generate(self.seat.entropy))
        public = agreement.public_key(advertised.private)
        return Answer(advertised, messages.Keys(public, self._context, self.seat.policy.min_cohort))

    def deal(self, ask: messages.AskDeal, stage: Advertised) -> Answer:
        """A fresh secret key for all who take part, this party among them; it keeps no copy."""
        clients = sorted(unpack_set(ask.parties, len(self.session.parties)))
        keys = rows(ask.keys, KEY_SIZE, len(clients), "public keys")
        own = agreement.public_key(stage.private)
        self._check_shown(dict(zip(clients, keys, strict=True)), own)
        infos = [derive.sealing_info(self.me, own, i, key) for i, key in zip(clients, keys, strict=True)]
        shared = agreement.derive_many([stage.private] * len(keys), keys, infos, self.bound)
        seed = draw(self.seat.entropy, KEY_SEED_BYTES)
        commitment = derive.commitment(self.bound, seed)
        sealed = []
        for i, key in zip(clients, shared, strict=True):
            if key is None:
                raise PeerMisbehaved("the server relays a public key of low order")
            sealed.append(sealing.seal(key, seed, derive.sealing_data(self.bound, commitment, self.me, i)))
        return Answer(stage, messages.Deal(commitment, b"".join(sealed)))

    def encrypt(self, ask: messages.AskEncrypted, stage: Advertised) -> Answer | Step:
        """Under the key that was dealt; who will not open the sum erases it at once."""
        self._check_round(ask)
        seed = self._opened(ask, stage)
        if seed is None:
            return Answer(Finished(), messages.Encrypted(b"", b""))

        def encrypted(vector: Lanes) -> Answer:
            body, seeds = SecretKey(seed, self.parameters).encrypt(vector)
            reply = messages.Encrypted(residues.pack(body, self.parameters), seeds)
            return Answer(Holding(seed) if ask.holder else Finished(), reply)

        return encrypted

    def decrypt(self, ask: messages.AskDecrypt, stage: Holding | Finished) -> Answer:
        """Rounded integers and nothing else. They tell nothing of noise or margins, and neither does an error: how far
        a ciphertext was from rounding otherwise is what an attack on the key would ask for.
        """
        if isinstance(stage, Finished):
            raise PeerMisbehaved("the server asks a party to decrypt that it did not name as a key holder")
        contributors = self.session.ids(unpack_set(ask.contributors, len(self.session.parties)))
        self.seat.check_set(self.session, contributors, gives_input=True)
        dim, blocks = self.session.dim, self.parameters.blocks(self.session.dim)
        body = residues.unpack(ask.body, dim, self.parameters, "sum of ciphertexts")
        masks = residues.unpack(ask.masks, blocks * DEGREE, self.parameters, "sum of uniform halves")
        opened = SecretKey(stage.seed, self.parameters).decrypt(body, masks.reshape(blocks, DEGREE))
        self.seat.open_set(self.session, contributors, gives_input=True)
        return Answer(Finished(), messages.Decrypted(pack(opened.astype(self.session.ring.lane), self.session.ring)))

    @property
    def _context(self) -> bytes:
        return derive.context_digest(self.seat.bound_context)

    def _check_shown(self, keys: Mapping[int, bytes], own: bytes) -> None:
        """Raise PeerMisbehaved or PolicyRefused for a list that is not of all who take part, each with its own key."""
        if keys.get(self.me) != own:
            raise PeerMisbehaved("the server shows another key in this party's name, or none")
        if len(set(keys.values())) != len(keys):
            raise PeerMisbehaved("the server relays one public key twice")
        self.seat.policy.check_cohort(len(keys))

    def _check_round(self, ask: messages.AskEncrypted) -> None:
        check_size(ask.context, DIGEST_SIZE, "context digest")
        check_theirs(ask.context, self._context, "the others")
        if ask.parameters != self.parameters.digest:
            raise PeerMisbehaved("the server asks for ciphertexts of other parameters than the session's")

    def _opened(self, ask: messages.AskEncrypted, stage: Advertised) -> bytes | None:
        """The seed that the dealer sealed for this party, or None where the box holds none, or another.

        Whose fault that is this party cannot tell: the dealer's key came by the server. A server that follows the
        protocol can, so it is told.
        """
        if not 0 <= ask.dealer < len(self.session.parties):
            raise PeerMisbehaved(f"the dealer is no party of the session: index {ask.dealer}")
        check_size(ask.key, KEY_SIZE, "dealer's public key")
        check_size(ask.commitment, DIGEST_SIZE, "dealer's commitment")
        check_size(ask.box, SEALED_SIZE, "sealed key")
        info = derive.sealing_info(ask.dealer, ask.key, self.me, agreement.public_key(stage.private))
        (key,) = agreement.derive_many([stage.private], [ask.key], [info], self.bound)
        if key is None:
            raise PeerMisbehaved("the server relays a public key of low order")
        data = derive.sealing_data(self.bound, ask.commitment, ask.dealer, self.me)
        try:
            seed = sealing.open_sealed(key, ask.box, data)
        except PeerMisbehaved:
            return None
        return seed if derive.commitment(self.bound, seed) == ask.commitment else None
