"""The exam of a family's recorded rounds: subclass `RecordedRounds` in a test file and say which.

class TestMine(RecordedRounds):
    generate, verify = generate, verify
    losses = {"keys"}
"""

import ast
import copy
import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest

from secagg import errors
from secagg.engine.exchange import check_header, tag_of
from secagg.errors import ProtocolError, WireError
from secagg.wire import codec, frame

READS_WITH = {
    *("collections", "cryptography", "functools", "hashlib", "hmac", "itertools", "json", "math"),
    *("msgspec", "pathlib", "random", "struct", "sys", "typing"),
}
SHARES_NOTHING_WITH = {"secagg", "secagg_protocols", "gmpy2", "numpy", "phe", "tenseal"}


class RecordedRounds:
    """An independent reader agrees with the files and no others, the generator and both ends reproduce them, and who
    gets a message that must be refused refuses it.

    Attributes:
        generate, verify: the family's modules; the files lie beside them.
        losses: phases at which the rounds lose somebody.
        unread: paths in a document of what no message depends on.
        files: {round: its document}.
        cases: messages that must be refused.
    """

    generate: ClassVar[ModuleType]
    verify: ClassVar[ModuleType]
    losses: ClassVar[set[str]]
    unread: ClassVar[set[tuple]] = {("about",)}

    def __init_subclass__(cls):
        cls.folder = Path(cls.generate.__file__).parent
        read = {path.stem: json.loads(path.read_text("utf-8")) for path in cls.folder.glob("*.json")}
        cls.negative = read["negative"]
        cls.cases = cls.negative["cases"]
        cls.files = {name: document for name, document in read.items() if "phases" in document}

    def pytest_generate_tests(self, metafunc):
        """`name` is every round's, `case` every message; `ask` and `reply` are those for a client and the server."""
        asks, replies = ([case for case in self.cases if case["end"] == end] for end in ("client", "server"))
        values = {"name": list(self.files), "case": self.cases, "ask": asks, "reply": replies}
        for argument in values.keys() & set(metafunc.fixturenames):
            ids = [value["name"] if isinstance(value, dict) else value for value in values[argument]]
            metafunc.parametrize(argument, values[argument], ids=ids)

    @classmethod
    def make(cls):
        """The family's rounds, not run."""
        return cls.generate.rounds()

    def check(self, document):
        """Raise unless the reader agrees."""
        self.verify.verify(document)

    @pytest.fixture(scope="class")
    @classmethod
    def rounds(cls):
        """{name: round}, not run."""
        return {round_.name: round_ for round_ in cls.make()}

    def test_the_generator_reproduces_the_files(self):
        made = self.generate.documents()
        assert set(made) == {path.name for path in self.folder.iterdir() if path.suffix in {".json", ".key"}}
        for name, content in made.items():
            assert (self.folder / name).read_bytes() == content, name

    def test_the_files_cover_every_loss(self, rounds):
        assert rounds.keys() == self.files.keys()
        assert {phase for round_ in rounds.values() for phase in round_.lost.values()} == self.losses

    def test_an_independent_reader_agrees(self, name):
        self.check(self.files[name])

    def test_the_reader_shares_no_code_with_the_engine(self):
        """Nor has it loaded any when it has read all files."""
        reader = self.folder / "verify.py"
        nodes = list(ast.walk(ast.parse(reader.read_text("utf-8"))))
        names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
        assert {name.partition(".")[0] for name in names} <= READS_WITH
        script = (
            "import runpy, sys; runpy.run_path(sys.argv.pop(1), run_name='__main__'); "
            f"assert not {SHARES_NOTHING_WITH} & set(sys.modules)"
        )
        paths = [path for path in self.folder.glob("*.json") if path.stem != "negative"]
        command = [sys.executable, "-I", "-c", script, str(reader), *map(str, paths)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.count("as the protocol says") == len(paths)

    def test_the_reader_notices_every_change(self, name):
        paths = [path for path in leaves(self.files[name]) if path not in self.unread]
        assert len(paths) > 50
        assert [path for path in paths if self.agrees(changed(self.files[name], path))] == []

    def test_the_reader_refuses(self, case):
        assert not self.agrees(self.with_message(case))

    def test_names_are_unique_and_no_message_is_a_true_one(self):
        assert len({case["name"] for case in self.cases}) == len(self.cases) > 30
        assert all(self.with_message(case) != self.document(case) for case in self.cases)

    def test_both_ends_reproduce_the_round(self, name, rounds):
        round_, document = rounds[name], self.files[name]
        assert self.server_before(round_, None).result.ring_sum.tolist() == document["ring_sum"]
        for i in range(len(round_.parties)):
            self.party_before(round_, i, None)

    def test_a_party_refuses(self, ask, rounds):
        round_ = rounds[round_of(ask)]
        party = self.party_before(round_, ask["party"], ask["phase"])
        with refusal(ask):
            party.answer(bytes.fromhex(ask["message"]), round_.update(ask["party"]))

    def test_the_server_refuses(self, reply, rounds):
        """And notes who sent it, having accepted what the others sent."""
        round_ = rounds[round_of(reply)]
        server = self.server_before(round_, reply["phase"])
        liar, message = round_.parties[reply["party"]], bytes.fromhex(reply["message"])
        for i, true in phase_of(self.document(reply), reply["phase"])["replies"].items():
            if int(i) != reply["party"]:
                server.receive(round_.parties[int(i)], bytes.fromhex(true))
        with refusal(reply):
            absorb(server, reply["party"], message)
        server.receive(liar, message)
        assert set(server.misbehaved) == {liar}

    def agrees(self, document):
        try:
            self.check(document)
        except (AttributeError, NameError, TypeError):
            raise  # a fault of the reader's own
        except Exception:
            return False
        return True

    def document(self, case):
        return self.files[round_of(case)]

    def with_message(self, case):
        """The case's message in place of the true one, in an otherwise true round."""
        document = copy.deepcopy(self.document(case))
        messages = phase_of(document, case["phase"])["asks" if case["end"] == "client" else "replies"]
        assert str(case["party"]) in messages
        messages[str(case["party"])] = case["message"]
        return document

    def phases_before(self, round_, phase):
        for told in self.files[round_.name]["phases"]:
            if told["name"] == phase:
                return
            yield told

    def party_before(self, round_, i, phase):
        """Party i as it was when that phase's ask came (None: at the end), having given the recorded replies."""
        party = round_.participant(i)
        for told in self.phases_before(round_, phase):
            if str(i) in told["replies"]:
                reply = round_.answer(party, i, bytes.fromhex(told["asks"][str(i)]))
                assert reply.hex() == told["replies"][str(i)]
        return party

    def server_before(self, round_, phase):
        """The server with that phase open (None: at the end), given the recorded replies."""
        server = round_.coordinator()
        for told in self.phases_before(round_, phase):
            asks = {str(round_.session.index(party)): ask.hex() for party, ask in server.asks().items()}
            assert asks == told["asks"]
            for i, reply in told["replies"].items():
                server.receive(round_.parties[int(i)], bytes.fromhex(reply))
            server.close_phase()
        return server


def round_of(case):
    return case["round"].removesuffix(".json")


def phase_of(document, name):
    return next(phase for phase in document["phases"] if phase["name"] == name)


@contextmanager
def refusal(case):
    """Within it the error is raised that the case expects."""
    with pytest.raises((ProtocolError, WireError)) as caught:
        yield
    assert type(caught.value) is getattr(errors, case["expect"]), caught.value
    assert getattr(caught.value, "culprits", frozenset()) == set(case["culprits"])


def absorb(server, i, message):
    """What a `Coordinator` makes of one reply, its error included: `receive` only notes it."""
    reply, phase = frame.unwrap(message), server._phase
    check_header(reply, frame.REPLY, tag_of(server.scheme, server.session), server.session, i)
    server._check(i, reply, server._opened(phase))
    server._open_stage.absorb(server._known, i, codec.decode(reply.body, phase.reply))


def leaves(node, path=()):
    """Paths of all texts and numbers but names of phases."""
    if isinstance(node, dict | list):
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in items:
            yield from leaves(value, (*path, key))
    elif node is not None and path[-1] != "name":
        yield path


def changed(document, path):
    """The document with one value changed a little."""
    document = copy.deepcopy(document)
    *above, last = path
    node = document
    for key in above:
        node = node[key]
    value = node[last]
    if isinstance(value, bool):
        node[last] = not value
    elif isinstance(value, int):
        node[last] = value + 1
    else:
        at = len(value) // 2
        node[last] = value[:at] + ("0" if value[at] != "0" else "1") + value[at + 1 :]
    return document
