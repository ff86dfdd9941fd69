"""Every decoder of the engine: how to call it, what valid bytes look like, what it may raise, how much it may hold.

Shared by the Hypothesis tests, which run in `make test`, and `atheris_target`, which runs as long as asked.
"""

import base64
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np

from secagg import Coordinator, Journal, Ledger, Participant, Prepared, Roster, Session, prepare
from secagg.encoding.layout import Layout
from secagg.engine import prepared as ahead
from secagg.errors import ConfigError, PartyId, PeerMisbehaved, PolicyRefused, SecaggError, StateError, WireError
from secagg.primitives import passphrase, signing
from secagg.scheme import Credentials, Scheme, Seat
from secagg.testing import SeededEntropy, TestRound
from secagg.wire import codec, frame
from secagg_protocols import CkksSum, PaillierKeys, PaillierSum, PairwiseMasking
from secagg_protocols.paillier.keys import _loaded as loaded_keys
from secagg_protocols.paillier.keys import _Saved as SavedKeys
from secagg_protocols.paillier.messages import Deal
from secagg_protocols.paillier.server import Dealing

TEST_KEY = Path(__file__).parents[1] / "vectors" / "paillier" / "test.key"


def paillier_keys() -> PaillierKeys:
    """The key that the vectors are about, held by three of the parties."""
    known = PaillierKeys.load(TEST_KEY, b"test key, known to everybody")
    holders: list[PartyId] = [0, "one", "four"]
    shares = [known.secret(holder) for holder in known.holders]
    return PaillierKeys(holders, known._key, dict(zip(holders, shares, strict=True)))


KEYS = paillier_keys()
SCHEMES: dict[str, Scheme] = {
    "secagg": PairwiseMasking(threshold=4),
    "secagg+": PairwiseMasking(neighbours=4),
    "active": PairwiseMasking(threshold=4, adversary="active", corrupt=0.0),
    "ckks": CkksSum(holders=6),
    "paillier": PaillierSum(),
    "paillier, 2 of 3": PaillierSum(keys=KEYS),
}
ABLE = [name for name, scheme in SCHEMES.items() if scheme.prepares]
"""To answer their first phase before the session exists."""
KEY = bytes(32)
PARTIES: list[PartyId] = [0, "one", 2, 70_000, "four", -5]
UPDATES = {party: {"w": np.arange(5, dtype=np.uint16), "b": [1, np.ones(2, np.uint8)]} for party in PARTIES}
FLOATS = {"w": np.zeros((2, 3)), "b": [0.5, (np.zeros(0, np.float32), True)]}


STATE_ERRORS = (StateError, ConfigError, PolicyRefused)
"""The last two where a sound state is not this caller's: other credentials, or a threshold under its policy."""


@dataclass(frozen=True)
class Decoder:
    """One way in.

    Attributes:
        decode: the call.
        examples: valid bytes.
        errors: all that it may raise.
        growth: bytes of memory at most for each byte of input, beside `ALLOWANCE`.
    """

    decode: Callable[[bytes], object]
    examples: tuple[bytes, ...]
    errors: tuple[type[SecaggError], ...] = (WireError,)
    growth: int = 48


ALLOWANCE = 64 * 1024
"""Bytes of memory for what does not depend on the input: an error with its traceback, a session's ring."""


class Recorded:
    """One round of a scheme: every message that travelled, and what both ends saved before each phase."""

    def __init__(self, scheme: Scheme) -> None:
        draw = SeededEntropy(7)
        session = Session.create(PARTIES, UPDATES[0], context=b"c", entropy=draw)
        self.scheme, self.session = scheme, session
        takes_input = next(phase.name for phase in scheme.phases if phase.takes_input)
        self.round = TestRound(scheme, session, UPDATES, lost={2: takes_input}, entropy=draw)
        self.credentials = self.round.credentials
        self.asks: dict[str, list[bytes]] = {}
        self.replies: dict[str, list[bytes]] = {}
        self.server_states = [self.server_state()]
        self.party_states = [self.party_state()]
        self.sealed_states = [self.sealed_state()]
        while not self.round.coordinator.done:
            self.step()

    def step(self) -> None:
        """One phase."""
        phase = self.round.coordinator.phase or ""
        self.asks[phase] = list(self.round.coordinator.asks().values())
        self.round.exchange()
        self.server_states.append(self.server_state())
        self.replies[phase] = [reply for (at, _), reply in self.round.sent.items() if at == phase]
        self.round.coordinator.close_phase()
        self.server_states.append(self.server_state())
        self.party_states.append(self.party_state())
        self.sealed_states.append(self.sealed_state())

    def server_state(self) -> bytes:
        return self.round.coordinator.state()

    def party_state(self) -> bytes:
        return self.round.participants[PARTIES[0]].state()

    def sealed_state(self) -> bytes:
        return self.round.participants[PARTIES[0]].save(KEY)

    def restore_server(self, data: bytes) -> Coordinator:
        return Coordinator.of_state(self.scheme, data, self.round.roster)

    def restore_party(self, data: bytes) -> Participant:
        """Of the first party: another's credentials are no fault of the bytes."""
        seat = Seat(PARTIES[0], entropy=SeededEntropy(1), credentials=self.credentials.get(PARTIES[0]))
        return Participant.of_state(self.scheme, data, seat)

    def decoders(self) -> dict[str, Decoder]:
        """Of every message type, by phase and way, and of saved state."""
        found = {}
        for phase in self.scheme.phases:
            for kind, frames in ((phase.ask, self.asks[phase.name]), (phase.reply, self.replies[phase.name])):
                bodies = tuple(frame.unwrap(each).body for each in frames)
                found[kind.__name__] = Decoder(lambda data, kind=kind: codec.decode(data, kind), bodies)
        return found

    def state_decoders(self) -> dict[str, Decoder]:
        """Of what `state` of either end wrote."""
        return {
            "server state": Decoder(self.restore_server, tuple(self.server_states), STATE_ERRORS),
            "party state": Decoder(self.restore_party, tuple(self.party_states), STATE_ERRORS),
        }


def sessions() -> tuple[bytes, ...]:
    draw = SeededEntropy(3)
    made = [
        Session.create(PARTIES, UPDATES[0], entropy=draw),
        Session.create(range(300), np.zeros(7), weight_max=1000, clip=0.5, context=b"round 3", entropy=draw),
        Session.create(["a", "b"], FLOATS, bits=8, rounding="stochastic", entropy=draw),
        Session.create(["a", "b"], 0, run=RUN, round=NUMBER, entropy=draw),
    ]
    return tuple(session.to_bytes() for session in made)


def ledgers() -> tuple[bytes, ...]:
    ledger = Ledger()
    empty = ledger.to_bytes()
    ledger.add(b"one", bytes(32), frozenset(PARTIES))
    ledger.add(b"two", bytes(32), frozenset(PARTIES[:4]))
    ledger.enter(RUN, NUMBER)
    return empty, ledger.to_bytes()


def rosters() -> tuple[bytes, ...]:
    made = [Credentials.generate(parties, SeededEntropy(4)) for parties in (PARTIES, [0])]
    return tuple(next(iter(credentials.values())).roster.to_bytes() for credentials in made)


RUN = b"one training run"
NUMBER = 2**40


def prepared() -> tuple[Prepared, ...]:
    """By a party of each scheme that can."""
    parties = (RECORDED[name].credentials.get("four") for name in ABLE)
    return tuple(
        prepare(SCHEMES[name], Seat("four", entropy=SeededEntropy(6), credentials=credentials), run=RUN, round=NUMBER)
        for name, credentials in zip(ABLE, parties, strict=True)
    )


def read_prepared(data: bytes) -> bytes | None:
    """As a server of the first of them does."""
    return ahead.read(data, SCHEMES["secagg"].slot(RUN, NUMBER, "four"))


def layouts() -> tuple[bytes, ...]:
    return tuple(codec.encode(Layout.of(update)) for update in (UPDATES[0], FLOATS, 1.0))


def checked_layout(data: bytes) -> Layout:
    layout = codec.decode(data, Layout)
    layout.check()
    return layout


def key_files() -> tuple[bytes, ...]:
    """Made at the least cost there is."""
    purpose, draw = b"secagg/paillier/keys/1", SeededEntropy(5)
    return tuple(passphrase.protect(inside, b"phrase", purpose, draw, log_cost=10) for inside in keys_inside())


def opened_cheaply(data: bytes) -> PaillierKeys:
    """A file that asks for more than twice the least cost is refused here, so that thousands can be tried."""
    most, passphrase.MOST_LOG_COST = passphrase.MOST_LOG_COST, 11
    try:
        return PaillierKeys.opened(data, b"phrase")
    finally:
        passphrase.MOST_LOG_COST = most


def identity_file(der: bytes) -> bytes:
    """In PEM."""
    label = b"ENCRYPTED PRIVATE KEY-----"
    return b"-----BEGIN " + label + b"\n" + base64.encodebytes(der) + b"-----END " + label + b"\n"


def identity_cheaply(data: bytes) -> bytes:
    """A file that asks for more than twice the iterations that we write is refused here."""
    most, signing.MAX_ITERATIONS = signing.MAX_ITERATIONS, 4096
    try:
        return signing.load_private(data, b"passphrase")
    finally:
        signing.MAX_ITERATIONS = most


JOURNALS = TemporaryDirectory()
"""Until this process ends."""


def journal_of(state: bytes, latch: bytes) -> bytes | None:
    """What a journal reads from these two files."""
    path = Path(JOURNALS.name) / "state"
    path.write_bytes(state)
    path.with_name("latch").write_bytes(latch)
    return Journal(path, path.with_name("latch")).load()


def journal_files() -> tuple[bytes, bytes]:
    """Of a state and a ledger, and its latch."""
    path = Path(JOURNALS.name) / "example"
    journal = Journal(path)
    journal.ledger.enter(RUN, NUMBER)
    journal.save(bytes(range(40)))
    return path.read_bytes(), path.with_name("example.latch").read_bytes()


def keys_inside() -> tuple[bytes, ...]:
    return tuple(codec.encode(each._saved(secrets=True)) for each in (KEYS, KEYS.share("one"), KEYS.public))


def checked_deal(data: bytes) -> Deal:
    """A fresh key of the first party, as the server takes it."""
    recorded = RECORDED["paillier"]
    deal = codec.decode(data, Deal)
    Dealing().absorb(PaillierSum().parameters(recorded.session), 0, deal)
    return deal


RECORDED = {name: Recorded(scheme) for name, scheme in SCHEMES.items()}
FRAMES = tuple(
    message
    for recorded in RECORDED.values()
    for kept in (recorded.asks, recorded.replies)
    for message in list(kept.values())[1]
)
IDENTITY = signing.save_private(bytes(32), b"passphrase")
IDENTITY_DER = base64.b64decode(b"".join(IDENTITY.splitlines()[1:-1]))
STATE, LATCH = journal_files()
PREPARED = tuple(each.message for each in prepared())
DECODERS: dict[str, Decoder] = {
    "frame": Decoder(frame.unwrap, FRAMES, growth=4),
    "session": Decoder(Session.from_bytes, sessions(), (WireError, ConfigError)),
    "layout": Decoder(checked_layout, layouts(), (WireError, ConfigError)),
    "roster": Decoder(Roster.from_bytes, rosters(), (WireError, ConfigError)),
    "paillier keys": Decoder(PaillierKeys.from_bytes, (KEYS.public.to_bytes(),)),
    "paillier key file": Decoder(opened_cheaply, key_files(), (StateError,)),
    "what a paillier key file holds": Decoder(lambda data: loaded_keys(codec.decode(data, SavedKeys)), keys_inside()),
    "identity file": Decoder(identity_cheaply, (IDENTITY, identity_file(IDENTITY_DER)), (StateError,)),
    "what an identity file frames": Decoder(
        lambda data: identity_cheaply(identity_file(data)), (IDENTITY_DER,), (StateError,)
    ),
    "journal": Decoder(lambda data: journal_of(data, LATCH), (STATE,), (StateError,)),
    "journal's latch": Decoder(lambda data: journal_of(STATE, data), (LATCH, b"0\n"), (StateError,)),
    "fresh paillier key": Decoder(
        checked_deal,
        (frame.unwrap(RECORDED["paillier"].replies["deal"][0]).body,),
        (WireError, PeerMisbehaved),
        growth=1000,
    ),
    "ledger": Decoder(Ledger.from_bytes, ledgers(), growth=100),
    "prepared reply": Decoder(read_prepared, PREPARED, (WireError, PeerMisbehaved)),
    "prepared message": Decoder(
        lambda data: codec.decode(data, ahead.Sent), tuple(frame.unwrap(each).body for each in PREPARED)
    ),
    **{f"{name} {kind}": each for name, one in RECORDED.items() for kind, each in one.decoders().items()},
    **{f"{name} {kind}": each for name, one in RECORDED.items() for kind, each in one.state_decoders().items()},
}


def attempt(decoder: Decoder, data: bytes) -> tuple[object, int]:
    """What the bytes decode to, or the error they raise, and the peak of memory on the way, bytes.

    Any exception that the decoder does not state passes.
    """
    tracemalloc.start()
    try:
        return decoder.decode(data), tracemalloc.get_traced_memory()[1]
    except decoder.errors as error:
        return error, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def holds(decoder: Decoder, data: bytes) -> object:
    """`attempt`, within the decoder's bound of memory; a message is exactly its bytes."""
    result, peak = attempt(decoder, data)
    if isinstance(result, msgspec.Struct):
        assert codec.encode(result) == data
    bound = decoder.growth * len(data) + ALLOWANCE
    if peak > bound:  # once may be a bounded cache that others have pushed this round's tables out of
        _, peak = attempt(decoder, data)
    assert peak <= bound, f"{peak} bytes of memory for {len(data)} bytes: at most {bound}"
    return result
