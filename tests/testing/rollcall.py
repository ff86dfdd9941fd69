"""A protocol without cryptography that trusts the engine for everything: one reply taken to the wrong ask, from the
wrong round or twice, and its sum is wrong. For tests only.

Each party adds a pad that the roll, who said hello, decides; the server subtracts as many pads as vectors came.
"""

import hashlib

import numpy as np

from secagg.encoding.packing import add_packed, pack
from secagg.errors import TooFew
from secagg.scheme import Answer, PartySide, Phase, Scheme, ServerStage, Sum
from secagg.wire.codec import Message


class AskHello(Message, frozen=True):
    """Server: who is there?"""


class Hello(Message, frozen=True):
    """Client: me, with a word that it makes up."""

    word: bytes


class AskVector(Message, frozen=True):
    """Server: your padded vector; these are the words of those who are there."""

    roll: bytes


class Vector(Message, frozen=True):
    """Client: the packed vector plus the pad."""

    packed: bytes


def pad(roll, session):
    """(dim,) ring entries."""
    digest = hashlib.shake_128(session.digest + roll).digest(session.dim * session.ring.lane.itemsize)
    return np.frombuffer(digest, session.ring.lane)


class Hearing(ServerStage):
    words: dict[int, bytes] = {}

    def asks(self, round, alive):
        return dict.fromkeys(alive, AskHello())

    def absorb(self, round, sender, reply):
        self.words[sender] = reply.word

    def merge(self, round, other):
        self.words |= other.words

    def close(self, round, phase, answered):
        if len(answered) < 2:
            raise TooFew(phase, len(answered), 2)
        roll = b"".join(self.words[i] for i in sorted(self.words))
        return Adding(roll, bytearray(round.dim * round.ring.lane.itemsize))


class Adding(ServerStage):
    roll: bytes
    vector: bytearray

    def lanes(self, round):
        return np.frombuffer(self.vector, round.ring.lane)

    def asks(self, round, alive):
        return dict.fromkeys(alive, AskVector(self.roll))

    def absorb(self, round, sender, reply):
        add_packed(self.lanes(round), reply.packed, round.ring)

    def merge(self, round, other):
        mine = self.lanes(round)
        mine += other.lanes(round)

    def close(self, round, phase, answered):
        if len(answered) < 2:
            raise TooFew(phase, len(answered), 2)
        vector = self.lanes(round)
        vector -= pad(self.roll, round) * len(answered)
        return Sum(round.ring.reduce(vector), frozenset(answered))


class Asked(Message, frozen=True):
    times: int


class Saved(Message, frozen=True):
    stage: Asked


class RollParty(PartySide):
    SAVED = Saved

    def greet(self, ask, stage):
        return Answer(Asked(stage.times + 1), Hello(self.seat.entropy(16)))

    def give(self, ask, stage):
        ring, own = self.session.ring, pad(ask.roll, self.session)
        return lambda vector: Answer(Asked(stage.times + 1), Vector(pack(ring.reduce(vector + own), ring)))


class RollCall(Scheme):
    """Hello from each, then a padded vector from each."""

    name = "roll-call"
    version = 1
    phases = (
        Phase("hello", AskHello, Hello, Hearing, RollParty.greet, (Asked,)),
        Phase("vector", AskVector, Vector, Adding, RollParty.give, (Asked,), takes_input=True),
    )
    options = ""

    def capacity(self, session):
        return session.encoding.capacity

    def server(self, session, roster=None):
        return session

    def party(self, session, seat, saved=None):
        return RollParty(session, seat, Asked(0), saved)
