"""Whole rounds of pairwise masking as files: an independent reader agrees with them, and both ends reproduce them."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from secagg import errors
from secagg.engine import RoundServer
from secagg.engine.exchange import check_header
from secagg.errors import ProtocolError, WireError
from secagg.wire import frame

FOLDER = Path(__file__).parent / "pairwise"
sys.path.insert(0, str(FOLDER))

import generate  # noqa: E402
import verify  # noqa: E402

ROUNDS = {round_.name: round_ for round_ in generate.rounds()}
FILES = {name: json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")) for name in ROUNDS}
CASES = json.loads((FOLDER / "negative.json").read_text(encoding="utf-8"))["cases"]


def test_the_generator_reproduces_the_files():
    made = generate.documents()
    assert set(made) == {path.name for path in FOLDER.glob("*.json")}
    for name, content in made.items():
        assert (FOLDER / name).read_bytes() == content, name


@pytest.mark.parametrize("name", ROUNDS)
def test_an_independent_reader_agrees(name):
    verify.verify(FILES[name])


def test_the_reader_shares_no_code_with_the_engine():
    tree = ast.parse((FOLDER / "verify.py").read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in imports if isinstance(node, ast.ImportFrom)}
    allowed = {"cryptography", "hashlib", "hmac", "json", "msgspec", "pathlib", "struct", "sys", "typing"}
    assert {name.partition(".")[0] for name in names} <= allowed
    script = (
        "import runpy, sys; runpy.run_path(sys.argv.pop(1), run_name='__main__'); assert 'secagg' not in sys.modules"
    )
    paths = [FOLDER / name for name in ("verify.py", *(f"{name}.json" for name in ROUNDS))]
    command = [sys.executable, "-I", "-c", script, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("as the protocol says") == len(ROUNDS)


def test_the_files_cover_every_loss_and_every_lane():
    phases = {phase for round_ in ROUNDS.values() for phase in round_.lost.values()}
    assert phases == {"keys", "shares", "masked", "consistency", "unmask"}
    assert {round_.session.ring.lane.itemsize for round_ in ROUNDS.values()} == {2, 4, 8}
    terms = {(FILES[name]["terms"]["complete"], ROUNDS[name].active) for name in ROUNDS}
    assert len(terms) == 4


def leaves(node, path=()):
    """Paths of all texts and numbers of the secrets, messages and results."""
    if isinstance(node, dict | list):
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in items:
            yield from leaves(value, (*path, key))
    elif node is not None and path[0] != "about" and path[-1] != "name":
        yield path


def changed(document, path):
    """The document with one value changed a little."""
    copy = json.loads(json.dumps(document))
    node = copy
    for key in path[:-1]:
        node = node[key]
    value = node[path[-1]]
    if isinstance(value, bool):
        node[path[-1]] = not value
    elif isinstance(value, int):
        node[path[-1]] = value + 1
    else:
        at = len(value) // 2
        node[path[-1]] = value[:at] + ("0" if value[at] != "0" else "1") + value[at + 1 :]
    return copy


def agrees(document):
    try:
        verify.verify(document)
    except Exception:
        return False
    return True


@pytest.mark.parametrize("name", ROUNDS)
def test_the_reader_notices_every_change(name):
    """Every value in turn, or every n-th where there are many."""
    paths = list(leaves(FILES[name]))
    assert len(paths) > 50
    assert [path for path in paths[:: 1 + len(paths) // 100] if agrees(changed(FILES[name], path))] == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_reader_refuses(case):
    """In place of the true message, in an otherwise true round."""
    document = json.loads(json.dumps(FILES[case["round"].removesuffix(".json")]))
    phase = next(phase for phase in document["phases"] if phase["name"] == case["phase"])
    phase["asks" if case["end"] == "client" else "replies"][str(case["party"])] = case["message"]
    assert not agrees(document)


def client_before(round_, i, phase):
    """Client i as it was when that phase's ask came, having given the recorded replies."""
    client = round_.participant(i)
    document = FILES[round_.name]
    for told in document["phases"][: round_.names.index(phase)]:
        if str(i) not in told["asks"]:  # it was prepared
            continue
        reply = client.answer(bytes.fromhex(told["asks"][str(i)]), round_.update(i))
        assert reply is not None
        assert reply.hex() == told["replies"][str(i)]
    return client


def server_before(round_, phase):
    """The server with that phase open, given the recorded replies."""
    coordinator = round_.coordinator()
    prepared = {round_.parties[i]: round_.ahead(i).message for i in round_.prepared}
    server = RoundServer(round_.scheme, coordinator.session, coordinator._round._roster, prepared)
    for told in FILES[round_.name]["phases"][: round_.names.index(phase)]:
        asks = {str(round_.session.index(party)): ask.hex() for party, ask in server.asks().items()}
        assert asks == told["asks"]
        for i, reply in told["replies"].items():
            server.receive(round_.parties[int(i)], bytes.fromhex(reply))
        server.close_phase()
    return server


@pytest.mark.parametrize("name", ROUNDS)
def test_both_ends_reproduce_their_messages(name):
    round_ = ROUNDS[name]
    last = round_.names[-1]
    server = server_before(round_, last)
    assert {str(round_.session.index(p)): ask.hex() for p, ask in server.asks().items()} == (
        FILES[name]["phases"][-1]["asks"]
    )
    for i, reply in FILES[name]["phases"][-1]["replies"].items():
        assert client_before(round_, int(i), last).answer(
            bytes.fromhex(FILES[name]["phases"][-1]["asks"][i])
        ) == bytes.fromhex(reply)


def told(server, phase, party, message):
    """What the server makes of one reply, its error included: `receive` only notes it."""
    reply = frame.unwrap(message)
    check_header(reply, frame.REPLY, server.session, server.session.index(party))
    server._check(party, reply, server._opened(phase))
    server._machine.absorb(phase, party, server._decode(reply.body, phase))


@pytest.mark.parametrize("case", [c for c in CASES if c["end"] == "client"], ids=lambda case: case["name"])
def test_a_client_refuses(case):
    round_ = ROUNDS[case["round"].removesuffix(".json")]
    client = client_before(round_, case["party"], case["phase"])
    message = bytes.fromhex(case["message"])
    with pytest.raises((ProtocolError, WireError)) as caught:
        client.answer(message, round_.update(case["party"]))
    assert type(caught.value) is getattr(errors, case["expect"]), caught.value
    assert getattr(caught.value, "culprits", frozenset()) == set(case["culprits"])


@pytest.mark.parametrize("case", [c for c in CASES if c["end"] == "server"], ids=lambda case: case["name"])
def test_the_server_refuses(case):
    round_ = ROUNDS[case["round"].removesuffix(".json")]
    server = server_before(round_, case["phase"])
    party, message = round_.parties[case["party"]], bytes.fromhex(case["message"])
    replies = FILES[round_.name]["phases"][round_.names.index(case["phase"])]["replies"]
    server.asks()
    for i, reply in replies.items():
        if int(i) != case["party"]:
            server.receive(round_.parties[int(i)], bytes.fromhex(reply))
    with pytest.raises((ProtocolError, WireError)) as caught:
        told(server, server.phase, party, message)
    assert type(caught.value) is getattr(errors, case["expect"]), caught.value
    assert getattr(caught.value, "culprits", frozenset()) == set(case["culprits"])
    server.receive(party, message)
    assert set(server.misbehaved) == {party}


def test_names_are_unique_and_true_messages_pass():
    assert len({case["name"] for case in CASES}) == len(CASES)
    for case in CASES:
        document = FILES[case["round"].removesuffix(".json")]
        phase = next(phase for phase in document["phases"] if phase["name"] == case["phase"])
        true = phase["asks" if case["end"] == "client" else "replies"][str(case["party"])]
        assert case["message"] != true
