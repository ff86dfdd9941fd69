"""`secagg keys`: private keys stay encrypted and private, a roster tells who is who, and mistakes end in one line."""

import os
import re
import stat
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from secagg import Credentials, Participant, Roster, Session
from secagg.cli import keys
from secagg.cli.app import app
from secagg.errors import ConfigError
from secagg.primitives import keyfile, signing
from secagg.scheme import Seat
from secagg.testing import SeededEntropy
from secagg_protocols import PairwiseMasking

PASSPHRASE = "correct horse battery"


def call(*arguments, typed=None):
    return CliRunner().invoke(app, ["keys", *(str(argument) for argument in arguments)], input=typed)


def done(*arguments, typed=None):
    result = call(*arguments, typed=typed)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments, typed=None):
    """The one line with which a call ends."""
    result = call(*arguments, typed=typed)
    assert result.exit_code == 2, result.output
    last = result.stderr.splitlines()[-1]
    assert last.startswith("secagg: ")
    assert PASSPHRASE not in result.output
    return last


@pytest.fixture
def phrase(tmp_path):
    file = tmp_path / "phrase"
    file.touch(0o600)
    file.write_text(f"{PASSPHRASE}\n")
    return file


@pytest.fixture
def make(tmp_path, phrase):
    """(private key file, public key in hexadecimal) of a new party."""

    def one(party):
        file = tmp_path / f"{party}.pem"
        printed = done("make", party, "--out", file, "--passphrase-file", phrase)
        return file, printed.strip().rpartition("=")[2]

    return one


def test_the_help_names_all_four():
    for arguments in ((), ("--help",)):
        assert all(name in done(*arguments) for name in ("make", "show", "roster", "check"))


def test_make_asks_twice_and_prints_the_public_key(tmp_path):
    file = tmp_path / "alice.pem"
    result = call("make", "alice", "--out", file, typed=f"{PASSPHRASE}\n{PASSPHRASE}\n")
    assert result.exit_code == 0
    private = signing.load_private(file.read_bytes(), PASSPHRASE.encode())
    assert result.stdout == f"alice={signing.public_key(private).hex()}\n"
    assert PASSPHRASE not in result.output
    assert private.hex() not in result.output
    assert done("show", file, typed=f"{PASSPHRASE}\n").strip() == signing.public_key(private).hex()


def test_make_asks_until_both_are_the_same(tmp_path):
    file = tmp_path / "alice.pem"
    typed = f"{PASSPHRASE}\nsomething else\n{PASSPHRASE}\n{PASSPHRASE}\n"
    assert call("make", "alice", "--out", file, typed=typed).exit_code == 0
    assert signing.load_private(file.read_bytes(), PASSPHRASE.encode())


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_passphrase_file_s_line_end_is_no_part_of_it(tmp_path, phrase, ending):
    phrase.write_bytes(f"{PASSPHRASE}{ending}".encode())
    done("make", "alice", "--out", tmp_path / "a.pem", "--passphrase-file", phrase)
    assert signing.load_private((tmp_path / "a.pem").read_bytes(), PASSPHRASE.encode())


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_a_private_key_file_is_its_owner_s_alone(tmp_path, phrase, mask):
    before = os.umask(mask)
    try:
        done("make", "alice", "--out", tmp_path / "a.pem", "--passphrase-file", phrase)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.pem").stat().st_mode) == 0o600


def test_the_mode_holds_from_the_first_moment(tmp_path, phrase, monkeypatch):
    """The file is created closed: nothing is opened wider and narrowed later."""
    made = []
    real = os.open

    def watching(path, flags, mode=0o777, **options):
        descriptor = real(path, flags, mode, **options)
        if str(path).endswith("a.pem"):
            made.append((flags & os.O_EXCL != 0, stat.S_IMODE(os.fstat(descriptor).st_mode)))
        return descriptor

    monkeypatch.setattr(keyfile.os, "open", watching)
    monkeypatch.setattr(os, "chmod", None)
    done("make", "alice", "--out", tmp_path / "a.pem", "--passphrase-file", phrase)
    assert made == [(True, 0o600)]


def test_a_key_is_never_overwritten(tmp_path, phrase, make):
    file, _ = make("alice")
    before = file.read_bytes()
    assert "exists, and a key is never overwritten" in refused(
        "make", "bob", "--out", file, "--passphrase-file", phrase
    )
    with pytest.raises(ConfigError, match="exists, and is never overwritten"):
        keyfile.create(file, b"other")  # one that appeared meanwhile
    assert file.read_bytes() == before


def test_a_link_is_not_followed(tmp_path, phrase):
    (tmp_path / "a.pem").symlink_to(tmp_path / "elsewhere")
    assert "exists" in refused("make", "alice", "--out", tmp_path / "a.pem", "--passphrase-file", phrase)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("party", "typed", "says"),
    [
        ("alice", "short\nshort\n", "passphrase of 5 bytes: expected at least 12"),
        ("alice", "", "no passphrase was given"),
        ("alice", f"{PASSPHRASE}\n", "no passphrase was given"),
        ("", f"{PASSPHRASE}\n{PASSPHRASE}\n", "party id of 0 characters"),
        ("x" * 257, f"{PASSPHRASE}\n{PASSPHRASE}\n", "party id of 257 characters"),
        ("al\x1bice", f"{PASSPHRASE}\n{PASSPHRASE}\n", "cannot be printed"),
    ],
)
def test_make_refuses_by_name_and_leaves_nothing(tmp_path, party, typed, says):
    assert says in refused("make", party, "--out", tmp_path / "a.pem", typed=typed)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(tmp_path, phrase):
    missing = tmp_path / "none" / "a.pem"
    assert "No such file or directory" in refused("make", "alice", "--out", missing, "--passphrase-file", phrase)
    assert "No such file or directory" in refused("show", missing, "--passphrase-file", phrase)
    assert "No such file or directory" in refused("show", phrase, "--passphrase-file", missing)
    assert "No such file or directory" in refused("check", missing)
    assert "No such file or directory" in refused("roster", f"alice={missing}", "--out", tmp_path / "r.json")


def test_a_pipe_is_not_asked_for_a_passphrase(tmp_path):
    """Without a terminal there is no way to ask unseen."""
    script = "import sys; from secagg.cli import main; sys.argv[0] = 'secagg'; main()"
    command = [sys.executable, "-c", script, "keys", "make", "alice", "--out", str(tmp_path / "a.pem")]
    ended = subprocess.run(
        command, input=PASSPHRASE, capture_output=True, text=True, check=False, timeout=60, start_new_session=True
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "use --passphrase-file" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_another_passphrase_does_not_open_a_key(make):
    file, _ = make("alice")
    said = refused("show", file, typed="correct horse batterz\n")
    assert said == f"secagg: {file}: key file does not open: wrong passphrase, or damaged"


def test_what_is_no_key_file(tmp_path, phrase):
    file = tmp_path / "noise"
    file.touch(0o600)
    file.write_bytes(b"noise")
    assert "noise: not a key file" in refused("show", file, "--passphrase-file", phrase)


def roster_of(tmp_path, *entries):
    out = tmp_path / "roster.json"
    digest = done("roster", "--out", out, "--", *entries)
    return Roster.from_bytes(out.read_bytes()), digest.strip(), out


def test_a_roster_is_the_entries_in_order(tmp_path, make):
    (_, alice), (_, bob), (_, carol) = make("alice"), make("bob"), make("carol")
    bare, printed = tmp_path / "bare", tmp_path / "printed"
    bare.write_text(f"{bob.upper()}\n")
    printed.write_text(f"x=y={carol}\n")
    roster, digest, out = roster_of(tmp_path, f"7={alice}", f"bob={bare}", f"x=y={carol}")
    assert roster.parties == (7, "bob", "x=y")
    assert [roster.key(party).hex() for party in roster.parties] == [alice, bob, carol]
    assert digest.replace(" ", "") == roster.digest.hex()
    out.unlink()
    assert roster_of(tmp_path, f"7={alice}", f"bob={bare}", f"x=y={printed}")[0] == roster


@pytest.mark.parametrize(("name", "party"), [("7", 7), ("-1", -1), ("0", 0), ("07", "07"), ("1e3", "1e3"), ("٣", "٣")])
def test_whole_numbers_are_ids_of_their_own(tmp_path, make, name, party):
    _, key = make("any")
    roster, _, out = roster_of(tmp_path, f"{name}={key}")
    assert roster.parties == (party,)
    out.unlink()
    done("roster", "--text-ids", "--out", out, "--", f"{name}={key}")
    assert Roster.from_bytes(out.read_bytes()).parties == (name,)


def test_a_roster_refuses_by_name(tmp_path, make):
    private, alice = make("alice")
    _, bob = make("bob")
    out = tmp_path / "roster.json"

    def says(*entries):
        return refused("roster", "--out", out, "--", *entries)

    assert "expected PARTY=PUBLICKEY or PARTY=FILE" in says(alice)
    assert "expected PARTY=PUBLICKEY or PARTY=FILE" in says(f"={alice}")
    assert "party 'a' stands twice" in says(f"a={alice}", f"a={bob}")
    assert "party 7 stands twice" in says(f"7={alice}", f"7={bob}")
    assert "one key stands for two parties" in says(f"a={alice}", f"b={alice}")
    assert "expected the public key of party 'alice'" in says(f"alice={private}")
    assert alice[:10] + ": No such file" in says(f"a={alice[:10]}")
    assert "cannot be printed" in says(f"a\n={alice}")
    assert "Missing argument" in says()
    assert "party id 9" in says(f"{'9' * 30}={alice}")
    assert "party id of 5000 characters" in says(f"{'9' * 5000}={alice}")
    assert not out.exists()
    done("roster", f"a={alice}", "--out", out)
    before = out.read_bytes()
    assert "exists, and is never overwritten" in says(f"b={bob}")
    assert out.read_bytes() == before


def test_check_prints_parties_and_a_digest_for_the_telephone(tmp_path, make):
    (_, alice), (_, bob) = make("alice"), make("bob")
    _, digest, out = roster_of(tmp_path, f"alice={alice}", f"3={bob}")
    said = done("check", out)
    assert re.search(rf"'alice' +{alice}", said)
    assert re.search(rf"\b3 +{bob}", said)
    assert re.fullmatch(r"([0-9a-f]{4} ){15}[0-9a-f]{4}", digest)
    assert said.splitlines()[-1] == digest
    out.unlink()
    assert roster_of(tmp_path, f"3={bob}", f"alice={alice}")[1] == digest


def test_check_knows_the_key_on_the_roster(tmp_path, make, phrase):
    (file, alice), (other, bob) = make("alice"), make("bob")
    _, _, out = roster_of(tmp_path, f"alice={alice}", f"3={bob}")
    options = ("--passphrase-file", phrase)
    assert f"{file}: the key that the roster has for party 'alice'" in done(
        "check", out, "--party", "alice", "--key", file, *options
    )
    assert "for party 3" in done("check", out, "--party", "3", "--key", other, *options)
    assert "identity key of party 'alice' is not the one on the roster" in refused(
        "check", out, "--party", "alice", "--key", other, *options
    )
    assert "party 'eve' stands nowhere" in refused("check", out, "--party", "eve", "--key", file, *options)
    assert "--party and --key belong together" in refused("check", out, "--party", "alice")
    assert "--party and --key belong together" in refused("check", out, "--key", file)


def test_an_id_that_is_written_twice_is_not_guessed_at(tmp_path, make):
    (file, alice), (_, bob) = make("alice"), make("bob")
    out = tmp_path / "r.json"
    out.write_bytes(Roster({3: bytes.fromhex(alice), "3": bytes.fromhex(bob)}).to_bytes())
    assert "party '3' stands twice" in refused("check", out, "--party", "3", "--key", file)


def test_check_refuses_what_is_no_roster(tmp_path):
    file = tmp_path / "r.json"
    for data, says in ((b"{}", "not a roster file"), (b"\xff", "not a roster file"), (b"", "not a roster file")):
        file.write_bytes(data)
        assert says in refused("check", file)


def test_a_roster_s_ids_cannot_move_the_cursor(tmp_path, make):
    _, alice = make("alice")
    file = tmp_path / "r.json"
    file.write_bytes(Roster({"\x1b[2J\u202e[bold]": bytes.fromhex(alice)}).to_bytes())
    said = done("check", file)
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert "[bold]" in said


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)])
def test_a_file_that_others_can_read_is_told(make, phrase, mode, warned):
    file, alice = make("alice")
    file.chmod(mode)
    result = call("show", file, "--passphrase-file", phrase)
    assert result.stdout == f"{alice}\n"
    assert ("is open to others" in result.stderr) == warned
    file.chmod(0o600)
    phrase.chmod(mode)
    result = call("show", file, "--passphrase-file", phrase)
    assert ("is open to others" in result.stderr) == warned


def test_the_entropy_of_a_key_is_the_private_key(tmp_path, phrase, capsys):
    keys.make("alice", tmp_path / "a.pem", phrase, SeededEntropy(1))
    private = SeededEntropy(1)(32)
    assert capsys.readouterr().out == f"alice={signing.public_key(private).hex()}\n"
    assert signing.load_private((tmp_path / "a.pem").read_bytes(), PASSPHRASE.encode()) == private


def test_what_was_made_signs_a_round(tmp_path, make):
    """From the files alone to parties that accept each other."""
    made = {party: make(party) for party in ("alice", "bob", "carol")}
    roster, _, _ = roster_of(tmp_path, *(f"{party}={key}" for party, (_, key) in made.items()))
    session = Session.create(list(made), 0.0)
    for party, (file, _) in made.items():
        identity = signing.load_private(file.read_bytes(), PASSPHRASE.encode())
        credentials = Credentials(identity, roster)
        Participant(PairwiseMasking(adversary="active"), session, Seat(party, credentials=credentials))
