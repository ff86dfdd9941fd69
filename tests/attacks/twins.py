"""Weakened twins: each is ours with one defence removed, and nothing else."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any, ClassVar, NoReturn

import numpy as np

from secagg.api import Participant, Prepared
from secagg.encoding.ring import Lanes
from secagg.engine.turn import Turn
from secagg.errors import SecaggError, WireError
from secagg.primitives import agreement, prg
from secagg.scheme import Answer, Policy, Seat, Session
from secagg.wire.frame import Frame
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise import derive
from secagg_protocols.pairwise.messages import AskKeys, AskUnmask, Keys
from secagg_protocols.pairwise.parameters import Parameters
from secagg_protocols.pairwise.party import PairwiseParty
from secagg_protocols.pairwise.recovery import Secrets
from secagg_protocols.pairwise.signed import SignedRound
from secagg_protocols.pairwise.stages import Advertised, Fresh, Ready, Submitted


class Twin(PairwiseMasking):
    """PairwiseMasking whose clients are weaker by one method: a step of theirs, or what a step calls."""

    client: ClassVar[type[PairwiseParty]] = PairwiseParty

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.phases = tuple(replace(phase, answer=getattr(self.client, phase.answer.__name__)) for phase in self.phases)

    def party(self, *args: Any, **options: Any) -> PairwiseParty:
        made = super().party(*args, **options)
        made.__class__ = self.client
        return made


class AnyThreshold(PairwiseMasking):
    """No rule that a threshold is more than half of the holders."""

    def parameters(self, session: Session) -> Parameters:
        assert self.threshold is not None
        return Parameters(True, len(session.parties) - 1, self.threshold)


class AnswersAgain(Twin):
    """A client that keeps its shares after "unmask", and answers for a second set."""

    class client(PairwiseParty):
        def unmask(self, ask: AskUnmask, stage: Submitted) -> Answer:
            return replace(super().unmask(ask, stage), stage=stage)


class SeesNoSignatures(PairwiseMasking):
    """A client that does not ask what the others have signed."""

    def party(self, *args: Any, **options: Any) -> PairwiseParty:
        made = super().party(*args, **options)
        made.round = _Believing(**{field.name: getattr(made.round, field.name) for field in fields(made.round)})
        return made


class _Believing(SignedRound):
    def check_agreement(self, view: bytes, dealers: Collection[int], ask: AskUnmask) -> None:
        pass


class IgnoresItsModel(PairwiseMasking):
    """A client that takes the session's word for what it received."""

    def party(self, session: Session, seat: Seat, saved: bytes | None = None) -> PairwiseParty:
        return super().party(session, replace(seat, context=session.context), saved)


class NoSelfMask(Twin):
    """The single mask of Bonawitz et al. 2017, section 4.1."""

    class client(PairwiseParty):
        def _mask(self, vector: Lanes, seeds: Sequence[bytes], dealers: Sequence[int]) -> Lanes:
            masked = super()._mask(vector, seeds, dealers)
            own = np.frombuffer(seeds[0], np.uint8)
            prg.add_masks(masked, own[np.newaxis], np.array([-1], np.int8))
            return masked


class ReusesKeys(Twin):
    """A client whose mask key outlives the round."""

    class client(PairwiseParty):
        lasting: ClassVar[dict[int, bytes]] = {}

        def advertise(self, ask: AskKeys, stage: Fresh | Ready) -> Answer:
            answer = super().advertise(ask, stage)
            assert isinstance(answer.reply, Keys)
            assert isinstance(answer.stage, Advertised)
            private = self.lasting.setdefault(self.me, answer.stage.mask)
            reply = Keys(answer.reply.sealing, agreement.public_key(private), b"")
            return Answer(Advertised(answer.stage.sealing, private), reply)


class TakesLowOrderKeys(Twin):
    """A client that goes on with a shared secret of zero."""

    class client(PairwiseParty):
        def _agree(self, purpose: bytes, private: bytes, peers: Sequence[int], publics: Sequence[bytes]) -> list[bytes]:
            own = agreement.public_key(private)
            infos = [derive.pair_info(purpose, self.me, own, j, key) for j, key in zip(peers, publics, strict=True)]
            found = agreement.derive_many([private] * len(peers), publics, infos, self.round.bound)
            return [
                key if key is not None else agreement.hkdf(bytes(32), info=info, salt=self.round.bound)
                for key, info in zip(found, infos, strict=True)
            ]


class TakesNamedNeighbours(Twin):
    """A client, in active mode, whose neighbours are those that the server names."""

    class client(PairwiseParty):
        def _neighbours(self, advertised: Mapping[int, bytes]) -> list[int]:
            return [j for j in advertised if j != self.me]


class NoMinimum(Policy):
    """A party that helps to open the sum of any cohort."""

    def check_cohort(self, contributors: int) -> None:
        pass


class NeverUsedUp(Prepared):
    """Keys that were prepared for a round, and stay for another session of it."""

    @contextmanager
    def spent(self, *args: Any) -> Iterator[bytes]:
        with super().spent(*args) as state:
            yield state
        self._state = state


class NoLatch(Participant):
    """A party that forgets, over a crash, how far it had come."""

    @classmethod
    def restore(cls, *args: Any, latch: int = 0, **options: Any) -> "NoLatch":
        return super().restore(*args, latch=0, **options)


class GoesOn(Participant):
    """A party for which a malformed ask is no reason to leave the round."""

    def _refuse(self, error: SecaggError, store: Any) -> NoReturn:
        if isinstance(error, WireError):
            raise error
        super()._refuse(error, store)


class TrainsFirst(GoesOn):
    """And one that has its update before it looks at what is asked."""

    def _advance(self, ask: Frame, encoded: Callable[[], Lanes], store: Any) -> None:
        vector = encoded() if self.scheme.phases[ask.phase].takes_input else None
        super()._advance(ask, lambda: vector, store)


class Unguarded(Turn):
    """Whoever calls is let in."""

    @contextmanager
    def change(self) -> Iterator[None]:
        yield


def without_commitments(monkeypatch: Any) -> None:
    """A server that takes what the shares give for the secret."""
    monkeypatch.setattr(Secrets, "check_opened", lambda *_: None)


def unbound(monkeypatch: Any, *names: str) -> None:
    """Derivations that do not say between whom: the ids and public keys are left out of those named."""
    bare = {
        "pair_info": lambda purpose, a, key_a, b, key_b: purpose,
        "sealing_key": lambda shared, dealer, holder: agreement.hkdf(shared, info=b"seal"),
        "sealing_data": lambda bound, dealer, holder: bound,
        "share_hashes": _unbound_hashes(derive.share_hashes),
    }
    for name in names:
        monkeypatch.setattr(derive, name, bare[name])


def _unbound_hashes(bound_hashes: Any) -> Any:
    return lambda bound, of_seed, dealers, holders, salted: bound_hashes(bound, of_seed, 0, 0, salted)
