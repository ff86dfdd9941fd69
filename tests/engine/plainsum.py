"""A protocol without cryptography that uses every feature of the engine: a role of its own, an announcement, and a
result at the parties. The server sees all; it is for tests only.
"""

import numpy as np

from secagg.encoding.packing import add_packed, pack, unpack
from secagg.errors import PeerMisbehaved, TooFew
from secagg.scheme import Answer, PartySide, Phase, Scheme, ServerStage, Sum
from secagg.wire.codec import Message


class AskVector(Message, frozen=True):
    """Server: your vector, please."""


class Vector(Message, frozen=True):
    """Client: the packed vector."""

    packed: bytes


class AskBlessing(Message, frozen=True):
    """Server, to the elder alone."""

    contributors: bytes


class Blessing(Message, frozen=True):
    """Elder: yes."""

    word: str


class Total(Message, frozen=True):
    """Server, to all who are left: the sum."""

    packed: bytes
    contributors: bytes


class Adding(ServerStage):
    vector: bytearray

    @classmethod
    def begin(cls, round):
        return cls(bytearray(round.dim * round.ring.lane.itemsize))

    def asks(self, round, alive):
        return dict.fromkeys(alive, AskVector())

    def absorb(self, round, sender, reply):
        add_packed(np.frombuffer(self.vector, round.ring.lane), reply.packed, round.ring)

    def merge(self, round, other):
        mine = np.frombuffer(self.vector, round.ring.lane)
        mine += np.frombuffer(other.vector, round.ring.lane)

    def close(self, round, phase, answered):
        if len(answered) < 2:
            raise TooFew(phase, len(answered), 2)
        return Blessed(bytes(self.vector), sorted(answered))


class Blessed(ServerStage):
    vector: bytes
    contributors: list[int]

    def asks(self, round, alive):
        return {min(self.contributors): AskBlessing(bytes(self.contributors))}

    def absorb(self, round, sender, reply):
        if reply.word != "yes":
            raise PeerMisbehaved("no blessing", {round.parties[sender]})

    def merge(self, round, other):
        """One elder alone is asked."""

    def close(self, round, phase, answered):
        if not answered:
            raise TooFew(phase, 0, 1)
        return Telling(self.vector, self.contributors)


class Telling(ServerStage):
    vector: bytes
    contributors: list[int]

    def total(self, round):
        return round.ring.reduce(np.frombuffer(self.vector, round.ring.lane).copy())

    def asks(self, round, alive):
        return dict.fromkeys(alive, Total(pack(self.total(round), round.ring), bytes(self.contributors)))

    def close(self, round, phase, answered):
        return Sum(self.total(round), frozenset(self.contributors))


class Asked(Message, frozen=True):
    times: int


class Saved(Message, frozen=True):
    stage: Asked


class PlainParty(PartySide):
    SAVED = Saved

    def give(self, ask, stage):
        return lambda vector: Answer(Asked(stage.times + 1), Vector(pack(vector, self.session.ring)))

    def bless(self, ask, stage):
        return Answer(Asked(stage.times + 1), Blessing("yes"))

    def hear(self, ask, stage):
        total = unpack(ask.packed, self.session.dim, self.session.ring)
        return Answer(Asked(stage.times + 1), None, Sum(total, frozenset(ask.contributors)))


class PlainSum(Scheme):
    """Vector from each, a blessing by the first contributor, the total to all."""

    name = "plain-sum"
    version = 1
    phases = (
        Phase("vector", AskVector, Vector, Adding, PlainParty.give, (Asked,), takes_input=True),
        Phase("blessing", AskBlessing, Blessing, Blessed, PlainParty.bless, (Asked,), role="elder"),
        Phase("total", Total, None, Telling, PlainParty.hear, (Asked,)),
    )

    def __init__(self, salt=""):
        self.salt = salt

    @property
    def options(self):
        return {"salt": self.salt}

    def capacity(self, session):
        return session.encoding.capacity

    def server(self, session, roster=None):
        return session

    def party(self, session, seat, saved=None):
        return PlainParty(session, seat, Asked(0), saved)
