"""Whole rounds of CKKS sums as files: a reader that knows no SEAL agrees with them, and both ends reproduce them."""

import ast
import hashlib
import json
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from secagg import errors
from secagg.engine import RoundServer
from secagg.engine.exchange import check_header
from secagg.errors import ProtocolError, WireError
from secagg.testing import opened
from secagg.wire import frame
from secagg_protocols.ckks.messages import Encrypted

FOLDER = Path(__file__).parent / "ckks"


def module_of(name):
    """By a name of its own: other folders have modules of the same name."""
    spec = spec_from_file_location(f"{name}_ckks", FOLDER / f"{name}.py")
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate, verify = module_of("generate"), module_of("verify")
ROUNDS = {round_.name: round_ for round_ in generate.rounds()}
FILES = {name: json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")) for name in ROUNDS}
NEGATIVE = json.loads((FOLDER / "negative.json").read_text(encoding="utf-8"))
CASES, KEYLESS = NEGATIVE["cases"], [case | {"end": "client"} for case in NEGATIVE["keyless"]]
ALLOWED = {
    *("collections", "cryptography", "functools", "hashlib", "hmac"),
    *("json", "msgspec", "pathlib", "struct", "sys", "typing"),
}


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
    assert {name.partition(".")[0] for name in names} <= ALLOWED
    script = (
        "import runpy, sys; runpy.run_path(sys.argv.pop(1), run_name='__main__'); "
        "assert not {'secagg', 'tenseal', 'numpy'} & set(sys.modules)"
    )
    paths = [FOLDER / name for name in ("verify.py", *(f"{name}.json" for name in ROUNDS))]
    command = [sys.executable, "-I", "-c", script, *map(str, paths)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("as the protocol says") == len(ROUNDS)


@pytest.mark.parametrize("data", [b"abc", bytes(128), bytes(300)])
def test_the_reader_s_hash_is_blake2b(data):
    """That its outputs are chained as SEAL does, the ciphertexts' small noise shows."""
    assert verify.blake2b(bytes.fromhex("40000101" + "00" * 60), data) == hashlib.blake2b(data).digest()


def test_the_files_cover_every_loss():
    phases = {phase for round_ in ROUNDS.values() for phase in round_.lost.values()}
    assert phases == {"keys", "deal", "encrypted"}
    assert {round_.scheme.holders for round_ in ROUNDS.values()} == {1, 2}


def leaves(node, path=()):
    """Paths of all texts and numbers of the secrets, messages and results."""
    if isinstance(node, dict | list):
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in items:
            yield from leaves(value, (*path, key))
    elif path[0] != "about" and path[-1] != "name":
        yield path


def changed(document, path):
    """The document with one value changed a little."""
    copy = json.loads(json.dumps(document))
    node = copy
    for key in path[:-1]:
        node = node[key]
    value = node[path[-1]]
    if isinstance(value, int):
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
    paths = list(leaves(FILES[name]))
    assert len(paths) > 50
    assert [path for path in paths if agrees(changed(FILES[name], path))] == []


def reframed(data, message):
    """The frame with another message and a right checksum."""
    old = frame.unwrap(bytes.fromhex(data))
    body = verify.msgspec.msgpack.encode(message)
    return frame.wrap(old.direction, old.phase, old.party, old.tag, old.answers, body).hex()


@pytest.mark.parametrize("wrong", ["body", "seeds", "another entry"])
def test_the_reader_notices_a_ciphertext_of_something_else(wrong):
    """Whole frames with right checksums, so that only the arithmetic can tell."""
    document = json.loads(json.dumps(FILES["two_holders"]))
    replies = document["phases"][2]["replies"]
    (body, seeds), client = verify.Round(document).replies["encrypted"][4], document["clients"][4]
    if wrong == "body":
        body = verify.packed([(int.from_bytes(body, "little") & 0xFFFFF) ^ 64], 20)[:2] + body[2:]
    elif wrong == "seeds":
        seeds = seeds[::-1]
    else:
        client["update"][2] += 1
    replies["4"] = reframed(replies["4"], [body, seeds])
    with pytest.raises(verify.Mismatch, match="noise of 4"):
        verify.verify(document)


def client_before(round_, i, phase):
    """Client i as it was when that phase's ask came, having given the recorded replies."""
    client = round_.participant(i)
    for told in FILES[round_.name]["phases"][: round_.names.index(phase)]:
        if str(i) in told["asks"]:
            reply = round_.answer(client, i, bytes.fromhex(told["asks"][str(i)]))
            assert reply.hex() == told["replies"][str(i)]
    return client


def server_before(round_, phase):
    """The server with that phase open, given the recorded replies."""
    server = RoundServer(round_.scheme, round_.session)
    for told in FILES[round_.name]["phases"][: round_.names.index(phase)]:
        asks = {str(round_.session.index(party)): ask.hex() for party, ask in server.asks().items()}
        assert asks == told["asks"]
        for i, reply in told["replies"].items():
            server.receive(round_.parties[int(i)], bytes.fromhex(reply))
        server.close_phase()
    return server


@pytest.mark.parametrize("name", ROUNDS)
def test_both_ends_reproduce_their_messages(name):
    round_, last = ROUNDS[name], FILES[name]["phases"][-1]
    server = server_before(round_, "decrypt")
    assert {str(round_.session.index(party)): ask.hex() for party, ask in server.asks().items()} == last["asks"]
    for i, reply in last["replies"].items():
        client = client_before(round_, int(i), "decrypt")
        assert client.answer(bytes.fromhex(last["asks"][i])) == bytes.fromhex(reply)


@pytest.mark.parametrize("case", KEYLESS, ids=lambda case: case["name"])
def test_a_client_without_a_key_says_so(case):
    round_ = ROUNDS[case["round"].removesuffix(".json")]
    client = client_before(round_, case["party"], case["phase"])
    reply = client.answer(bytes.fromhex(case["message"]), round_.update(case["party"]))
    assert opened(reply, Encrypted) == Encrypted(b"", b"")


@pytest.mark.parametrize("case", CASES + KEYLESS, ids=lambda case: case["name"])
def test_the_reader_refuses(case):
    """In place of the true message, in an otherwise true round."""
    document = json.loads(json.dumps(FILES[case["round"].removesuffix(".json")]))
    phase = next(phase for phase in document["phases"] if phase["name"] == case["phase"])
    phase["asks" if case["end"] == "client" else "replies"][str(case["party"])] = case["message"]
    assert not agrees(document)


@pytest.mark.parametrize("case", [c for c in CASES if c["end"] == "client"], ids=lambda case: case["name"])
def test_a_client_refuses(case):
    round_ = ROUNDS[case["round"].removesuffix(".json")]
    client = client_before(round_, case["party"], case["phase"])
    with pytest.raises((ProtocolError, WireError)) as caught:
        client.answer(bytes.fromhex(case["message"]), round_.update(case["party"]))
    assert type(caught.value) is getattr(errors, case["expect"]), caught.value
    assert getattr(caught.value, "culprits", frozenset()) == set(case["culprits"])


@pytest.mark.parametrize("case", [c for c in CASES if c["end"] == "server"], ids=lambda case: case["name"])
def test_the_server_refuses(case):
    round_ = ROUNDS[case["round"].removesuffix(".json")]
    server = server_before(round_, case["phase"])
    party, message = round_.parties[case["party"]], bytes.fromhex(case["message"])
    server.asks()
    replies = FILES[round_.name]["phases"][round_.names.index(case["phase"])]["replies"]
    for i, reply in replies.items():
        if int(i) != case["party"]:
            server.receive(round_.parties[int(i)], bytes.fromhex(reply))
    with pytest.raises((ProtocolError, WireError)) as caught:
        told(server, server.phase, party, message)
    assert type(caught.value) is getattr(errors, case["expect"]), caught.value
    assert getattr(caught.value, "culprits", frozenset()) == set(case["culprits"])
    server.receive(party, message)
    assert set(server.misbehaved) == {party}


def told(server, phase, party, message):
    """What the server makes of one reply, its error included: `receive` only notes it."""
    reply = frame.unwrap(message)
    check_header(reply, frame.REPLY, server.session, server.session.index(party))
    server._check(party, reply, server._opened(phase))
    server._machine.absorb(phase, party, server._decode(reply.body, phase))


def test_names_are_unique_and_no_message_is_a_true_one():
    assert len({case["name"] for case in CASES}) == len(CASES)
    for case in CASES:
        document = FILES[case["round"].removesuffix(".json")]
        phase = next(phase for phase in document["phases"] if phase["name"] == case["phase"])
        true = phase["asks" if case["end"] == "client" else "replies"][str(case["party"])]
        assert case["message"] != true
