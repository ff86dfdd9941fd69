"""One client of a CKKS sum; a few of them deal, and a few hold the key until they have opened the sum."""

from secagg.encoding.packing import pack
from secagg.encoding.ring import Lanes
from secagg.errors import (
    LocalMisuse,
    PeerMisbehaved,
    ProtocolError,
)
from secagg.primitives import agreement, sealing
from secagg.primitives.ckks import DEGREE, KEY_SEED_BYTES, Parameters, SecretKey
from secagg.primitives.entropy import draw
from secagg.scheme import PartySide, Seat, Session, Sum
from secagg.scheme.context import check_theirs
from secagg.wire import codec
from secagg.wire.codec import Message
from secagg.wire.packed import check_size, rows, unpack_set
from secagg_protocols.ckks import derive, residues
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
from secagg_protocols.ckks.stages import Advertised, Finished, Fresh, Holding, Saved, Stage


class CkksParty(PartySide):
    """The client numbered `me`.

    Args:
        session, seat, parameters: the round and whose machine it is.
        bound: 32 bytes that stand for the round as this client sees it, see `derive.binding`.
        saved: what `save` returned.
    """

    def __init__(
        self,
        session: Session,
        seat: Seat,
        parameters: Parameters,
        bound: bytes,
        saved: bytes | None = None,
    ) -> None:
        self._session = session
        self._seat = seat
        self._me = session.index(seat.party)
        self._parameters = parameters
        self._bound = bound
        self._context = seat.context or b""
        self._entropy = seat.entropy
        self._stage: Stage = Fresh() if saved is None else codec.decode(saved, Saved).stage

    def answer(self, ask: Message, vector: Lanes | None) -> tuple[Message | None, Sum | None]:
        """One phase's reply; this party learns no result. A refusal erases the key: it opens nothing after that."""
        try:
            reply, self._stage = self._answered(ask, vector)
        except ProtocolError:
            self._stage = Finished()
            raise
        return reply, None

    def save(self) -> bytes:
        """The current stage."""
        return codec.encode(Saved(self._stage))

    def _answered(self, ask: Message, vector: Lanes | None) -> tuple[Message, Stage]:
        match ask, self._stage:
            case AskKeys(), Fresh():
                return self._advertise()
            case AskDeal(), Advertised() as advertised:
                return self._deal(ask, advertised), advertised
            case AskEncrypted(), Advertised() as advertised if vector is not None:
                return self._encrypt(ask, advertised, vector)
            case AskDecrypt(), Holding() as holding:
                return self._decrypt(ask, holding), Finished()
            case AskDecrypt(), Finished():
                raise PeerMisbehaved("the server asks a party to decrypt that it did not name as a key holder")
            case _:
                raise LocalMisuse(f"{type(ask).__name__} after stage {type(self._stage).__name__}")

    def _advertise(self) -> tuple[Keys, Advertised]:
        stage = Advertised(agreement.generate(self._entropy))
        public, context = agreement.public_key(stage.private), derive.context_digest(self._context)
        return Keys(public, context, self._seat.policy.min_cohort), stage

    def _deal(self, ask: AskDeal, stage: Advertised) -> Deal:
        """A fresh secret key for all who take part, this party among them; it keeps no copy."""
        clients = sorted(unpack_set(ask.parties, len(self._session.parties)))
        keys = rows(ask.keys, KEY_SIZE, len(clients), "public keys")
        own = agreement.public_key(stage.private)
        if dict(zip(clients, keys, strict=True)).get(self._me) != own:
            raise PeerMisbehaved("the server shows another key in this party's name, or none")
        if len(set(keys)) != len(keys):
            raise PeerMisbehaved("the server relays one public key twice")
        self._seat.policy.check_cohort(len(clients))
        infos = [derive.sealing_info(self._me, own, i, key) for i, key in zip(clients, keys, strict=True)]
        shared = agreement.derive_many([stage.private] * len(keys), keys, infos, self._bound)
        if any(key is None for key in shared):
            raise PeerMisbehaved("the server relays a public key of low order")
        seed = draw(self._entropy, KEY_SEED_BYTES)
        commitment = derive.commitment(self._bound, seed)
        sealed = [
            sealing.seal(key, seed, derive.sealing_data(self._bound, commitment, self._me, i))
            for i, key in zip(clients, shared, strict=True)
            if key is not None
        ]
        return Deal(commitment, b"".join(sealed))

    def _encrypt(self, ask: AskEncrypted, stage: Advertised, vector: Lanes) -> tuple[Encrypted, Stage]:
        self._check_round(ask)
        seed = self._opened(ask, stage)
        if seed is None:
            return Encrypted(b"", b""), Finished()
        body, seeds = SecretKey(seed, self._parameters).encrypt(vector)
        reply = Encrypted(residues.pack(body, self._parameters), seeds)
        return reply, Holding(seed) if ask.holder else Finished()

    def _decrypt(self, ask: AskDecrypt, stage: Holding) -> Decrypted:
        """Rounded integers and nothing else: of noise or margins they tell nothing, and there is no other reaction."""
        contributors = unpack_set(ask.contributors, len(self._session.parties))
        ids = frozenset(self._session.parties[i] for i in contributors)
        self._seat.check_set(self._session, ids, gives_input=True)
        dim, blocks = self._session.dim, self._parameters.blocks(self._session.dim)
        body = residues.unpack(ask.body, dim, self._parameters, "sum of ciphertexts")
        masks = residues.unpack(ask.masks, blocks * DEGREE, self._parameters, "sum of uniform halves")
        opened = SecretKey(stage.seed, self._parameters).decrypt(body, masks.reshape(blocks, DEGREE))
        self._seat.open_set(self._session, ids, gives_input=True)
        return Decrypted(pack(opened.astype(self._session.ring.lane), self._session.ring))

    def _check_round(self, ask: AskEncrypted) -> None:
        check_size(ask.context, DIGEST_SIZE, "context digest")
        check_theirs(ask.context, derive.context_digest(self._context), "the others")
        if ask.parameters != self._parameters.digest:
            raise PeerMisbehaved("the server asks for ciphertexts of other parameters than the session's")

    def _opened(self, ask: AskEncrypted, stage: Advertised) -> bytes | None:
        """The seed that the dealer sealed for this party, or None where the box holds none, or another.

        Whose fault that is this party cannot tell: the dealer's key came by the server. A server that follows the
        protocol can, so it is told.
        """
        if not 0 <= ask.dealer < len(self._session.parties):
            raise PeerMisbehaved(f"the dealer is no party of the session: index {ask.dealer}")
        check_size(ask.key, KEY_SIZE, "dealer's public key")
        check_size(ask.commitment, DIGEST_SIZE, "dealer's commitment")
        check_size(ask.box, SEALED_SIZE, "sealed key")
        info = derive.sealing_info(ask.dealer, ask.key, self._me, agreement.public_key(stage.private))
        (key,) = agreement.derive_many([stage.private], [ask.key], [info], self._bound)
        if key is None:
            raise PeerMisbehaved("the server relays a public key of low order")
        data = derive.sealing_data(self._bound, ask.commitment, ask.dealer, self._me)
        try:
            seed = sealing.open_sealed(key, ask.box, data)
        except PeerMisbehaved:
            return None
        return seed if derive.commitment(self._bound, seed) == ask.commitment else None
