"""A protocol without cryptography that trusts the engine for everything: one reply taken to the wrong ask, from the
wrong round or twice, and its sum is wrong. For tests only.

Each party adds a pad that the roll, who said hello, decides; the server subtracts as many pads as vectors came.
"""

import hashlib

import numpy as np

from secagg.encoding.packing import add_packed, pack
from secagg.errors import LocalMisuse, TooFew
from secagg.scheme import PartySide, Phase, Scheme, ServerSide, Sum
from secagg.wire import codec
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


class ServerState(Message, frozen=True):
    words: tuple[tuple[int, bytes], ...]
    roll: bytes
    accumulator: bytes


class PartyState(Message, frozen=True):
    asked: int


def pad(roll, session):
    """(dim,) ring entries."""
    digest = hashlib.shake_128(session.digest + roll).digest(session.dim * session.ring.lane.itemsize)
    return np.frombuffer(digest, session.ring.lane)


class RollServer(ServerSide):
    def __init__(self, session, saved):
        self.session = session
        self.words = {}
        self.roll = b""
        self.accumulator = session.ring.zeros(session.dim)
        if saved is not None:
            state = codec.decode(saved, ServerState)
            self.words, self.roll = dict(state.words), state.roll
            self.accumulator[:] = np.frombuffer(state.accumulator, session.ring.lane)

    def open(self, phase, alive):
        return dict.fromkeys(alive, AskHello() if phase.name == "hello" else AskVector(self.roll))

    def absorb(self, phase, sender, reply):
        if isinstance(reply, Hello):
            self.words[self.session.index(sender)] = reply.word
        else:
            add_packed(self.accumulator, reply.packed, self.session.ring)

    def close(self, phase, answered):
        if len(answered) < 2:
            raise TooFew(phase.name, len(answered), 2)
        if phase.name == "hello":
            self.roll = b"".join(self.words[i] for i in sorted(self.words))
            return None
        self.accumulator -= pad(self.roll, self.session) * len(answered)
        return Sum(self.session.ring.reduce(self.accumulator), frozenset(answered))

    def save(self):
        return codec.encode(ServerState(tuple(self.words.items()), self.roll, self.accumulator.tobytes()))


class RollParty(PartySide):
    def __init__(self, session, entropy, saved):
        self.session = session
        self.entropy = entropy
        self.asked = 0 if saved is None else codec.decode(saved, PartyState).asked

    def answer(self, ask, vector):
        self.asked += 1
        match ask:
            case AskHello():
                return Hello(self.entropy(16)), None
            case AskVector():
                padded = vector + pad(ask.roll, self.session)
                return Vector(pack(self.session.ring.reduce(padded), self.session.ring)), None
        raise LocalMisuse(type(ask).__name__)

    def save(self):
        return codec.encode(PartyState(self.asked))


class RollCall(Scheme):
    """Hello from each, then a padded vector from each."""

    name = "roll-call"
    version = 1
    phases = (Phase("hello", AskHello, Hello), Phase("vector", AskVector, Vector, takes_input=True))
    options = ""

    def capacity(self, session):
        return 2**session.ring.bits // 2**session.bits

    def server(self, session, saved=None, **_):
        return RollServer(session, saved)

    def party(self, session, seat, saved=None):
        return RollParty(session, seat.entropy, saved)
