"""A protocol without cryptography that uses every feature of the engine: a role of its own, an announcement, and a
result at the parties. The server sees all; it is for tests only.
"""

import numpy as np

from secagg.encoding.packing import add_packed, pack, unpack
from secagg.errors import LocalMisuse, PeerMisbehaved, TooFew
from secagg.scheme import PartySide, Phase, Scheme, ServerSide, Sum
from secagg.wire import codec
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


class ServerState(Message, frozen=True):
    accumulator: bytes
    contributors: tuple[int, ...]


class PartyState(Message, frozen=True):
    asked: int


class PlainServer(ServerSide):
    def __init__(self, session, saved):
        self.session = session
        self.accumulator = session.ring.zeros(session.dim)
        self.contributors = ()
        if saved is not None:
            state = codec.decode(saved, ServerState)
            self.accumulator[:] = np.frombuffer(state.accumulator, session.ring.lane)
            self.contributors = state.contributors

    def open(self, phase, alive):
        if phase.name == "vector":
            return dict.fromkeys(alive, AskVector())
        if phase.name == "blessing":
            elder = self.session.parties[min(self.contributors)]
            return {elder: AskBlessing(bytes(self.contributors))}
        return dict.fromkeys(alive, Total(self.packed(), bytes(self.contributors)))

    def absorb(self, phase, sender, reply):
        if isinstance(reply, Blessing):
            if reply.word != "yes":
                raise PeerMisbehaved("no blessing", {sender})
            return
        add_packed(self.accumulator, reply.packed, self.session.ring)

    def close(self, phase, answered):
        if phase.name == "vector":
            if len(answered) < 2:
                raise TooFew(phase.name, len(answered), 2)
            self.contributors = tuple(sorted(map(self.session.index, answered)))
        if phase.name == "blessing" and not answered:
            raise TooFew(phase.name, 0, 1)
        if phase.name != "total":
            return None
        return Sum(self.accumulator, frozenset(self.session.parties[i] for i in self.contributors))

    def packed(self):
        return pack(self.session.ring.reduce(self.accumulator), self.session.ring)

    def save(self):
        return codec.encode(ServerState(self.accumulator.tobytes(), self.contributors))


class PlainParty(PartySide):
    def __init__(self, session, saved):
        self.session = session
        self.asked = 0 if saved is None else codec.decode(saved, PartyState).asked

    def answer(self, ask, vector):
        self.asked += 1
        match ask:
            case AskVector():
                return Vector(pack(vector, self.session.ring)), None
            case AskBlessing():
                return Blessing("yes"), None
            case Total():
                total = unpack(ask.packed, self.session.dim, self.session.ring)
                return None, Sum(total, frozenset(self.session.parties[i] for i in ask.contributors))
        raise LocalMisuse(type(ask).__name__)

    def save(self):
        return codec.encode(PartyState(self.asked))


class PlainSum(Scheme):
    """Vector from each, a blessing by the first contributor, the total to all."""

    name = "plain-sum"
    version = 1
    phases = (
        Phase("vector", AskVector, Vector, takes_input=True),
        Phase("blessing", AskBlessing, Blessing, role="elder"),
        Phase("total", Total, None),
    )

    def __init__(self, salt=""):
        self.salt = salt

    @property
    def options(self):
        return {"salt": self.salt}

    def capacity(self, session):
        return 2**session.ring.bits // 2**session.bits

    def server(self, session, saved=None, **_):
        return PlainServer(session, saved)

    def party(self, session, seat, saved=None):
        return PlainParty(session, saved)
