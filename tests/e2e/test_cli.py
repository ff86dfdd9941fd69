"""The command says what it found, in a terminal, in a pipe and to a machine; and it never ends in a traceback."""

import dataclasses
import json
import math
import os
import shlex
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import numpy as np
import pytest
import typer.main
from typer.testing import CliRunner

import secagg
from secagg.cli import checkup, planning, scratch, selftest, training
from secagg.cli.app import app
from secagg.cli.protocol import Protocol
from secagg.errors import ConfigError
from secagg.fedavg.history import Run
from secagg.fedavg.settings import Settings
from secagg.primitives import prg
from secagg_protocols import PROTOCOLS, PairwiseMasking
from secagg_protocols.pairwise import sizes
from secagg_protocols.pairwise.scheme import secagg_plus

SMALL = ("--clients", "3", "--rounds", "2", "--epochs", "1", "--dropout", "0")


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="secagg")


def refused(*arguments, code=2):
    """The one line that a call ends with."""
    result = call(*arguments)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("secagg: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def python(script, *arguments):
    """A fresh interpreter: what is imported is part of the promise."""
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "report"
    return call("fedavg", *SMALL, "--report", folder), folder


def test_version_and_help():
    assert call("--version").stdout == f"secagg {secagg.__version__}\n"
    for arguments in ((), ("--help",)):
        result = call(*arguments)
        assert result.exit_code == 0
        assert all(name in result.stdout for name in ("fedavg", "plan", "check"))


@pytest.mark.parametrize(("command", "kinds"), [("fedavg", (Settings, Protocol)), ("plan", (planning.Wanted,))])
def test_every_field_is_an_option_with_its_default_and_words(command, kinds):
    options = {p.name: p for p in typer.main.get_command(app).commands[command].params}
    for kind in kinds:
        for field in dataclasses.fields(kind):
            option = options.pop(field.name)
            default = None if field.default is dataclasses.MISSING else field.default
            assert (option.default or None) == (default or None), field.name  # of a list: None is none
            assert len(option.help) > 10
    assert set(options) <= {"report", "as_json", "help"}


def test_help_names_choices_ranges_and_another_name():
    words = call("fedavg", "--help").stdout
    for shown in ("[iid|dirichlet|", "[secagg|secagg+|", "[logistic|mlp]", "INTEGER 2..32", "(0, 1]", "--id "):
        assert shown in words
    assert "--no-" not in words
    panels = ("Secure sums", "Patients", "Learning", "Output")
    assert sorted(panels, key=words.index) == list(panels)
    assert "INTEGER 1..2**36" in call("plan", "--help").stdout


def test_import_is_light():
    code, out, err = python("import sys, secagg.cli.app; print(*sys.modules)")
    assert (code, err) == (0, "")
    assert not {"sklearn", "pandas", "matplotlib", "jinja2", "scipy.stats"} & set(out.split())


@pytest.mark.parametrize(
    ("missing", "arguments", "extra"),
    [("typer", ["--version"], "cli"), ("rich", ["check"], "cli"), ("sklearn", ["fedavg"], "fedavg")],
)
def test_a_missing_extra_is_one_line_that_names_the_cure(missing, arguments, extra):
    script = f"import sys; sys.modules[{missing!r}] = None; sys.argv = ['secagg', *{arguments}]"
    code, out, err = python(f"{script}; from secagg.cli import main; main()")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert missing in err
    assert f"pip install 'secagg[{extra}]'" in err


def test_training_prints_one_line_a_round_and_the_closing_tables(trained):
    result, folder = trained
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert [line[:22] for line in lines if line.startswith("round ")] == [
        "round 1/2 | log loss 0",
        "round 2/2 | log loss 0",
    ]
    for model in ("alone (mean of 3)", "centralized", "plain FedAvg", "secure FedAvg"):
        assert sum(line.strip().startswith(model) for line in lines) == 1
    for site in ("hospital-01", "hospital-02", "hospital-03"):
        assert any(line.strip().startswith(site) for line in lines)
    assert "rounds: 2 of 2 with a sum, 0 skipped" in lines
    assert any(line.startswith("exact:  yes, up to rounding to 16 bits: secure and plain mean") for line in lines)
    assert lines[0] == "compiling kernels (once)"
    assert all(line == line.rstrip() for line in lines)
    assert lines[-1] == f"report: {folder / 'index.html'}"


def test_a_pipe_gets_no_control_characters(trained):
    assert [c for c in trained[0].stdout if not c.isprintable() and c != "\n"] == []


def test_the_report_is_of_the_same_run(trained):
    folder = trained[1]
    run = msgspec.json.decode((folder / "run.json").read_bytes(), type=Run)
    assert run.settings == Settings(clients=3, rounds=2, epochs=1, dropout=0)
    assert [site.name for site in run.sites] == ["hospital-01", "hospital-02", "hospital-03"]
    assert all(record.gap <= record.bound for record in run.rounds)


def page_of(folder):
    """The report as strict XML: an unclosed tag, a bare ampersand or a repeated attribute does not parse."""
    doctype, page = (folder / "index.html").read_text(encoding="utf-8").split("\n", 1)
    assert doctype == "<!doctype html>"
    return ET.fromstring(page)


def test_the_page_is_well_formed_and_shows_every_hospital_in_every_round(trained):
    page = page_of(trained[1])
    assert page.findtext("head/title") == "3 hospitals trained one model without sharing a patient record"
    presence = next(table for table in page.iter("table") if table.get("class") == "presence")
    assert [["".join(cell.itertext()) for cell in row] for row in presence.iter("tr")] == [
        ["round", "1", "2"],
        *([f"hospital-0{number}", "●", "●"] for number in (1, 2, 3)),
    ]


def test_against_an_active_server_tables_and_page_have_its_phase(tmp_path):
    options = ("--adversary", "active", "--clients", 5, "--rounds", 2, "--epochs", 1, "--dropout", 0.2, "--seed", 6)
    result = call("fedavg", *options, "--report", tmp_path)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[2].endswith(", active)")
    assert any(line.split()[:1] == ["consistency"] for line in result.stdout.splitlines())
    run = msgspec.json.decode((tmp_path / "run.json").read_bytes(), type=Run)
    (late,) = [name for name, phase in run.rounds[0].sum.lost.items() if phase == "consistency"]
    assert f"| {late} silent at consistency (in the sum)" in result.stdout
    assert f"{late} at consistency" in [div.text for div in page_of(tmp_path).iter("div")]


@pytest.mark.parametrize("name", ["secagg", "secagg+"])
def test_a_protocol_gets_the_options_that_it_takes(name):
    made = training.Protocol(name, adversary="active").scheme(5, 0.1)
    assert made.fingerprint == PROTOCOLS[name](5, adversary="active").fingerprint
    assert made.adversary == "active"


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_is_passive_unless_asked(name):
    assert training.Protocol(name).scheme(5, 0.1).adversary == "passive"


def test_paillier_takes_the_place_of_masks():
    result = call("fedavg", *SMALL, "--protocol", "paillier")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[2].endswith("protocol paillier-sum (2048-bit key, one holder, passive)")
    costs = [line.split()[0] for line in lines if line.startswith((" deal ", " encrypted ", " decrypt "))]
    assert costs == ["deal", "encrypted", "decrypt"]
    assert any(line.startswith("exact:  yes") for line in lines)


def test_paillier_refuses_what_it_does_not_withstand():
    for options, why in (
        ({"adversary": "active"}, "open what the server hands them"),
        ({"threshold": 3}, "takes none"),
    ):
        with pytest.raises(ConfigError, match=why):
            training.Protocol("paillier", **options).scheme(5, 0.1)


def test_a_planned_graph_depends_on_the_dropout():
    graphs = [training.Protocol("secagg+").scheme(1000, dropout).neighbours for dropout in (0.1, 0.3)]
    assert graphs == [PROTOCOLS["secagg+"](1000, dropout=dropout).neighbours for dropout in (0.1, 0.3)]
    assert graphs[0] < graphs[1]


def test_neighbours_that_a_small_cohort_does_not_have_are_told():
    result = call("fedavg", *SMALL, "--protocol", "secagg+", "--neighbours", "40")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "protocol pairwise-masking (complete graph, derived threshold, passive)" in result.stdout
    said = " ".join(result.stdout.split())
    assert "note: neighbours is 40: 3 hospitals have 2 others each, so all are neighbours (the complete graph" in said
    assert training.Protocol("secagg+", neighbours=4).note(6) is None
    assert training.Protocol("secagg+").note(6) is None


def test_json_is_one_document_and_nothing_else(tmp_path):
    options = ("--protocol", "secagg+", "--neighbours", "2", "--model", "mlp", "--report", tmp_path)
    result = call("fedavg", *SMALL, *options, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    run = msgspec.json.decode(result.stdout.encode(), type=Run)
    assert run.settings == Settings(clients=3, rounds=2, epochs=1, dropout=0, model="mlp")
    assert [record.number for record in run.rounds] == [1, 2]
    assert json.loads((tmp_path / "run.json").read_bytes()) == json.loads(result.stdout)


def test_ckks_end_to_end(tmp_path):
    """The same model as by masks, and the words say whom it protects against."""
    shown = call("fedavg", *SMALL, "--protocol", "ckks", "--report", tmp_path)
    assert (shown.exit_code, shown.stderr) == (0, "")
    words = " ".join(shown.stdout.split())
    assert "one that lies, or one together with any one hospital, can get every update" in words
    assert "exact: yes" in words
    run = msgspec.json.decode((tmp_path / "run.json").read_bytes(), type=Run)
    assert run.protocol == "ckks (holders 3, quorum 2)"
    assert run.phases == ("keys", "deal", "encrypted", "decrypt")
    page = (tmp_path / "index.html").read_text("utf-8")
    assert "every hospital holds the key while it encrypts" in page
    assert "share" not in page.partition("<h3>Not protected</h3>")[2].partition("</ul>")[0]
    masked = json.loads(call("fedavg", *SMALL, "--json").stdout)
    assert json.loads((tmp_path / "run.json").read_bytes())["comparison"] == masked["comparison"]


def test_a_run_in_which_everybody_is_lost_fails_in_one_line():
    result = call("fedavg", *SMALL, "--dropout", "1", "--json")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "no sum was opened" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--rounds", "0"], "rounds is 0: expected an integer, 1 or more"),
        (["--rounds", "many"], "'--rounds': 'many' is not a valid int"),
        (["--clients", "2"], "clients is 2: expected an integer, 3 or more"),
        (["--bits", "40"], "bits is 40: expected an integer in 2..32"),
        (["--dropout", "nan"], "dropout is nan: expected a probability in [0, 1]"),
        (["--model", "forest"], "'forest' is not one of 'logistic', 'mlp'"),
        (["--partition", "site"], "no site column is named"),
        (["--data", "nowhere.csv"], "nowhere.csv: no such file"),
        (["--neighbours", "2"], "neighbours is 2: protocol secagg takes none, expected one of secagg+"),
        (["--protocol", "secagg+", "--neighbours", "3"], "neighbours is 3"),
        (["--threshold", "99"], "threshold is 99"),
        (["--weight-max", "20"], "hospital-01"),
        (["--protocol", "ckks", "--threshold", "3"], "protocol ckks takes none, expected one of secagg, secagg+"),
        (["--protocol", "ckks", "--adversary", "active"], "key holders decrypt what the server hands them"),
        (["--adversary", "kind"], "'kind' is not one of 'passive', 'active'"),
        (["--rank", "3"], "No such option '--rank'"),
        (["--report", __file__], "File exists, expected a folder"),
        (["--report", ""], "'--report': is empty: expected a folder"),
    ],
)
def test_bad_input_is_named_in_one_line(arguments, named):
    assert named in refused("fedavg", *SMALL, "--json", *arguments)


def test_an_unknown_command_is_named():
    assert "No such command 'fedsgd'" in refused("fedsgd")


def csv_of(folder, sites):
    draw = np.random.default_rng(5)
    rows = [
        f"{draw.normal(y):.4f},{draw.normal(-y):.4f},{'yes' if y else 'no'},{site}"
        for site in sites
        for y in draw.permutation([0, 1] * 12)
    ]
    path = folder / "patients.csv"
    path.write_text("\n".join(["a,b,ill,place", *rows]) + "\n")
    return path


def test_a_csv_s_names_cannot_move_the_cursor(tmp_path):
    path = csv_of(tmp_path, ("\x1b[2Jnorth", "[bold]south[/bold]", "west\u202e"))
    result = call("fedavg", *SMALL, "--data", path, "--target", "ill", "--site", "place")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "\x1b" not in result.stdout
    assert "\u202e" not in result.stdout
    assert "\ufffd[2Jnorth" in result.stdout
    assert "[bold]south[/bold]" in result.stdout
    assert "\x1b" not in refused("fedavg", *SMALL, "--data", path, "--target", "\x1b[2J", "--json")


def test_ctrl_c_is_one_line(monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "run_experiment", interrupt)
    assert refused("fedavg", *SMALL, "--json", code=130) == "secagg: stopped\n"


def shell(command, **environment):
    """Through the command's own entry, in an environment of nothing but what is named."""
    words = ("secagg", *command.split())
    script = f"import sys; sys.argv = {list(words)}; from secagg.cli import main; main()"
    python_c = f"{shlex.quote(sys.executable)} -c {shlex.quote(script)}"
    redirect = environment.pop("redirect", "")
    return subprocess.run(
        ["/bin/sh", "-c", f"{python_c} {redirect}"],
        capture_output=True,
        check=False,
        timeout=60,
        env={
            "PATH": os.defpath,
            "HOME": "/dev/null",
            "MPLCONFIGDIR": "",
            "NUMBA_CACHE_DIR": os.environ["NUMBA_CACHE_DIR"],
            **environment,
        },
    )


def test_ctrl_c_while_the_commands_are_imported_is_one_line():
    interrupt = "def find_spec(self, name, *_):\n  if name == 'secagg.cli.app': raise KeyboardInterrupt"
    script = f"import sys\nclass Impatient:\n {interrupt}\nsys.meta_path.insert(0, Impatient())\n"
    assert python(f"{script}from secagg.cli import main; main()") == (130, "", "secagg: stopped\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("command", ["--version", "plan 10", "plan 10 --json"])
def test_a_full_disk_is_one_line(command):
    done = shell(command, redirect="> /dev/full")
    assert (done.returncode, done.stderr) == (1, b"secagg: standard output: No space left on device\n")


def test_a_reader_that_has_gone_gets_no_complaint():
    assert shell("--help", redirect="| true").stderr == b""


def test_a_terminal_of_few_letters_gets_others_in_their_place(tmp_path):
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    path = csv_of(tmp_path, ("Z\u00fcrich", "Basel", "Chur"))
    options = f"fedavg --rounds 1 --epochs 1 --dropout 0 --data {path} --target ill --site place"
    done = shell(options, **plain)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\n Z?rich" in done.stdout.replace(b"\n|", b"\n ")
    told = shell(f"{options} --json", **plain)
    assert "Z\u00fcrich" in [site["name"] for site in json.loads(told.stdout.decode())["sites"]]


def test_a_home_that_cannot_be_written_is_no_news(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ, HOME="/dev/null", TMPDIR=str(tmp_path)))
    for name in ("MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        os.environ.pop(name, None)
    monkeypatch.setattr(scratch.tempfile, "tempdir", str(tmp_path))
    scratch.provide_plot_folder()
    made = Path(os.environ["MPLCONFIGDIR"])
    assert made.parent == tmp_path
    scratch.provide_plot_folder()
    assert os.environ["MPLCONFIGDIR"] == str(made)


def test_a_folder_that_can_be_written_stays_matplotlib_s_choice(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ, HOME=str(tmp_path)))
    for name in ("MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        os.environ.pop(name, None)
    scratch.provide_plot_folder()
    assert "MPLCONFIGDIR" not in os.environ


WATCHED = """
import gc, sys
from numba.core.dispatcher import Dispatcher
from secagg.cli import training
from secagg.fedavg.settings import Settings

def compiled():
    found = [k for k in gc.get_objects() if isinstance(k, Dispatcher) and k.py_func.__module__.startswith("secagg.")]
    return {f"{k.py_func.__qualname__}{signature}" for k in found for signature in k.signatures}

def run(*arguments):
    before = compiled()
    measured(*arguments)
    print(len(before), *(compiled() - before))

measured, training.run_experiment = training.run_experiment, run
training._run(Settings(clients=4, rounds=2, epochs=1, seed=6), training.Protocol(sys.argv[1]), training.silent)
"""


@pytest.mark.parametrize("protocol", ["secagg+", "ckks"])
def test_every_kernel_is_compiled_before_the_first_sum_is_measured(protocol):
    """What the run compiled beyond the tiny sums would be counted as the cost of protection."""
    code, out, err = python(WATCHED, protocol)
    assert (code, err) == (0, "")
    early, *late = out.splitlines()[0].split(maxsplit=1)
    assert int(early) > 5
    assert late == []


def test_plan_answers_what_the_planner_finds():
    result = call("plan", "1000", "--json")
    answer = json.loads(result.stdout)
    plan = PairwiseMasking.plan(1000)
    assert answer["plan"]["neighbours"] == plan.neighbours
    assert answer["plan"]["log2_insecure"] == plan.log2_insecure
    assert answer["plan"]["threshold"] == plan.threshold == 18
    assert answer["client_bytes"] == sum(phase["client"] for phase in answer["phases"])
    words = call("plan", "1000").stdout
    assert f"neighbours  k = {plan.neighbours}" in words
    assert f"insecure    odds of at most 2^{plan.log2_insecure:.1f} (asked for 2^-40)" in words


def test_plan_takes_more_neighbours_where_half_must_answer():
    """The paper's threshold for a third lost lies under half of the neighbours."""
    wanted = planning.Wanted(1000, 0.05, 0.33, 40, 30, "passive", 100, 16)
    found = planning.answer(wanted)
    assert found.paper.threshold < found.paper.neighbours // 2 + 1
    assert found.plan.threshold >= found.plan.neighbours // 2 + 1
    assert found.plan.neighbours > found.paper.neighbours
    assert found.plan.log2_incorrect <= -30
    lines = call("plan", "1000", "--dropout", "0.33").stdout.splitlines()
    (first,) = [place for place, line in enumerate(lines) if line.startswith("Bell et al. 2020 ask for")]
    sentence = lines[first : lines.index("", first)]
    assert sentence[-1].endswith("open both secrets of a client.")
    assert max(map(len, sentence)) <= 100


def test_plan_against_an_active_server_is_that_of_the_scheme():
    wanted = planning.Wanted(1000, 0.05, 0.05, 40, 30, "active", 100, 16)
    found = planning.answer(wanted)
    scheme = secagg_plus(1000, adversary="active")
    assert (found.plan.neighbours, found.plan.threshold) == (scheme.neighbours, scheme.threshold)
    assert (found.plan.neighbours, found.plan.sigma) == (80, 40 + 64)
    assert found.plan.log2_insecure <= -104
    result = call("plan", "1000", "--adversary", "active")
    assert "64 bits more" in result.stdout
    assert "asked for 2^-104)" in result.stdout
    assert -30 < found.plan.log2_incorrect <= -26  # the room for clients that are silent at "keys"
    assert "up to 4 bits of eta" in " ".join(result.stdout.split())
    assert "NOT MET" not in result.stdout
    assert result.exit_code == 0


def test_plan_of_a_small_cohort_is_the_complete_graph():
    result = call("plan", "5")
    assert result.exit_code == 0
    assert "the complete graph (secagg)" in result.stdout
    assert "neighbours  k = 4" in result.stdout
    assert "(1 corrupt, 1 lost)" in result.stdout
    assert "NOT MET" not in result.stdout
    assert not [line for line in result.stdout.splitlines() if line != line.rstrip()]


@pytest.mark.parametrize(
    ("rates", "secure", "correct"),
    [
        (("--dropout", "0.3"), True, False),  # 2 of 5 lost leave 3 for a threshold of 4
        (("--corrupt", "0.61"), False, True),  # 4 of 5 corrupt hold 4 shares
    ],
)
def test_plan_says_where_its_odds_are_not_what_was_asked_for(rates, secure, correct):
    result = call("plan", "5", *rates)
    assert result.exit_code == 1
    assert ("(asked for 2^-40)" in result.stdout, "(asked for 2^-40: NOT MET)" in result.stdout) == (secure, not secure)
    assert ("(asked for 2^-30)" in result.stdout, "(asked for 2^-30: NOT MET)" in result.stdout) == (
        correct,
        not correct,
    )
    assert "\nNOT MET: " in result.stdout
    told = call("plan", "5", *rates, "--json")
    assert (told.exit_code, json.loads(told.stdout)["met"]) == (1, False)


@pytest.mark.parametrize("rate", ["0.07", "0.29", "0.0701"])
def test_plan_names_the_clients_it_reckons_with(rate):
    """From the rate's decimal notation: 0.07 of 100 clients are 7, though the double is a little more."""
    whole = math.ceil(100 * Decimal(rate))
    answer = json.loads(call("plan", "100", "--corrupt", rate, "--json").stdout)
    assert (answer["corrupt"], answer["lost"]) == (whole, 5)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["2"], "n is 2: expected an integer in 3..10**9"),
        (["1000", "--corrupt", "0.6", "--dropout", "0.5"], "corrupt + dropout must be below 1"),
        (["1000", "--dim", "0"], "dim is 0: expected an integer in 1..2**36"),
        (["1000", "--bits", "33"], "bits is 33: expected an integer in 1..32"),
        (["1000", "--adversary", "kind"], "'kind' is not one of 'passive', 'active'"),
        ([], "Missing argument 'N'. Try 'secagg plan --help'."),
    ],
)
def test_plan_refuses_by_name(arguments, named):
    assert named in refused("plan", *arguments)


@pytest.mark.parametrize(("n", "neighbours"), [(5, None), (12, None), (12, 4), (12, 6)])
@pytest.mark.parametrize(("dim", "bits"), [(1, 1), (300, 16), (40_000, 7)])
@pytest.mark.parametrize("threshold", [None, 4])
def test_sizes_are_those_of_a_real_round(n, neighbours, dim, bits, threshold):
    scheme = PairwiseMasking(neighbours)
    if threshold is not None:
        threshold = n if neighbours is None else threshold
        scheme = PairwiseMasking(neighbours, threshold, adversary="active", corrupt=0.0)
    out = secagg.aggregate({i: np.zeros(dim, np.int64) for i in range(n)}, scheme, bits=bits)
    traffic = sizes.of_round(n, neighbours or n - 1, dim, bits, threshold)
    assert out.traffic == {(told.phase, role): getattr(told, role) for told in traffic for role in ("client", "server")}


def test_check_passes_here_and_says_what_it_looked_at():
    result = call("check")
    assert result.exit_code == 0
    assert "9 of 9 checks passed." in result.stdout
    assert "FAILED" not in result.stdout
    found = json.loads(call("check", "--json").stdout)
    assert found["ok"] is True
    assert found["mask_kernel"] == checkup.mask.selected()
    assert found["agreement_kernel"] == checkup.agreement.selected()
    assert found["libraries"]["numpy"] == np.__version__
    assert set(found["features"]) == set(checkup.FEATURES)


def flipped(right):
    def wrong(*arguments, **options):
        answer = bytearray(right(*arguments, **options))
        answer[0] ^= 1
        return bytes(answer)

    return wrong


@pytest.mark.parametrize(
    ("module", "function", "failing"),
    [
        (selftest.agreement, "shared_secret", "X25519 agreement"),
        (selftest.agreement, "hkdf", "HKDF-SHA256"),
        (selftest.sealing, "seal", "AES-256-GCM sealing"),
        (selftest.signing, "sign", "Ed25519 signature"),
    ],
)
def test_check_finds_a_primitive_that_computes_something_else(module, function, failing, monkeypatch):
    monkeypatch.setattr(module, function, flipped(getattr(module, function)))
    assert failing in [check.name for check in selftest.run() if not check.ok]


def test_check_fails_loudly(monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("illegal instruction")

    monkeypatch.setattr(prg, "keystream", lambda seed, n, dtype: np.zeros(n, dtype))
    monkeypatch.setattr(selftest, "aggregate", broken)
    result = call("check")
    assert result.exit_code == 1
    assert "7 of 9 checks passed." in result.stdout
    found = json.loads(call("check", "--json").stdout)
    assert found["ok"] is False
    assert [(check["name"], check["problem"]) for check in found["checks"] if not check["ok"]] == [
        ("AES-128-CTR mask stream", "differs"),
        ("secure sum of 5 clients, 2 lost", "RuntimeError: illegal instruction"),
    ]


def test_check_names_a_kernel_that_is_not_there(monkeypatch):
    monkeypatch.setenv("SECAGG_KERNEL", "abacus")
    checkup.mask.selected.cache_clear()
    try:
        assert "SECAGG_KERNEL='abacus'" in refused("check")
    finally:
        checkup.mask.selected.cache_clear()
