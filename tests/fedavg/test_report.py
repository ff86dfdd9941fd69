"""The report holds the whole run, in a page that stands alone and that no name from a file can break."""

import re
from dataclasses import replace
from functools import cache
from xml.etree import ElementTree as ET

import msgspec
import pytest

from secagg.errors import ConfigError
from secagg.fedavg import formats, tables
from secagg.fedavg.history import (
    ALONE,
    CENTRALIZED,
    PLAIN,
    SECURE,
    Alone,
    ComparisonRow,
    Flow,
    Metrics,
    RoundRecord,
    Run,
    SiteSummary,
    StatisticsRecord,
    SumRecord,
)
from secagg.fedavg.losses import Loss, name_of
from secagg.fedavg.page import prose
from secagg.fedavg.report import render as rendered
from secagg.fedavg.report import write_report
from secagg.fedavg.settings import Settings
from secagg_protocols import PairwiseMasking

NAMES = ("north", "south", "west")
HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(2)'>",
    "a\x1b[2Jb\u202ec & {{ 7 * 7 }} $\\frac{1}{2}$ ${x} &lt;",
)
TOO_FEW = "phase 'masked': 2 parties answered, 3 needed; no sum was opened"
FLOWS = (
    Flow("keys", "server", 30.0, 0.004),
    Flow("keys", "client", 10.0, 0.001),
    Flow("masked", "server", 300.0, 0.04),
    Flow("masked", "client", 100.0, 0.01),
)


LIMITS = PairwiseMasking.facts.limits


def render(run):
    return rendered(run, LIMITS)


def metrics(accuracy=0.975, auc=0.99, log_loss=0.1, patients=40):
    return Metrics(accuracy, auc, log_loss, patients)


def sum_of(names=NAMES, lost=None, too_few=None, out=(), **more):
    void = too_few is not None
    told = {
        "sampled": names,
        "contributors": () if void else tuple(name for name in names if name not in out),
        "lost": lost or {},
        "misbehaved": {},
        "accused": {},
        "too_few": too_few,
        "saturated": 0,
        "traffic": () if void else FLOWS,
    }
    return SumRecord(**{**told, **more})


def round_of(number, names=NAMES, gap=None, bound=2**-14, secure=None, plain=None, **of_the_sum):
    void = "too_few" in of_the_sum
    return RoundRecord(
        number=number,
        sum=sum_of(names, **of_the_sum),
        secure=secure or metrics(log_loss=0.5 / number),
        plain=plain or metrics(log_loss=0.5 / number),
        local_loss=0.4,
        gap=None if void else number / 2**20 if gap is None else gap,
        bound=None if void else bound,
        seconds=0.1,
    )


def a_run(names=NAMES, rounds=None, **more):
    first, second, third = names[:3]
    if rounds is None:
        rounds = (
            round_of(1, names),
            round_of(2, names, lost={first: "keys", second: "unmask"}, out=(first,)),
            round_of(3, names, lost={third: "masked"}, too_few=TOO_FEW),
            round_of(4, names, lost={third: "masked"}, out=(third,), misbehaved={third: "not canonical"}),
        )
    statistics = tuple(
        StatisticsRecord(name, attempt, sum_of(names, lost={first: "unmask"} if attempt == 2 else {}), 0.1)
        for name, attempt in (("ranges", 1), ("means", 2))
    )
    per = {name: metrics(patients=13) for name in names}
    alone = Alone({name: metrics(0.9) for name in names}, first, second)
    told = {
        "settings": Settings(clients=3, rounds=len(rounds), dropout=0.2),
        "protocol": "pairwise-masking",
        "phases": ("keys", "masked"),
        "classes": ("benign", "malignant"),
        "sites": tuple(SiteSummary(name, 30, 13, 12, 5, 1, 2) for name in names),
        "features": ("age", "size"),
        "constant": (),
        "statistics": statistics,
        "rounds": tuple(rounds),
        "comparison": (
            ComparisonRow(ALONE, metrics(0.9), per, alone),
            ComparisonRow(CENTRALIZED, metrics(0.9825), per),
            ComparisonRow(PLAIN, metrics(), per),
            ComparisonRow(SECURE, metrics(), per),
        ),
        "seconds": 3.21,
    }
    return Run(**{**told, **more})


def parsed(page):
    """The page as XML: whoever writes markup by accident breaks this."""
    doctype, body = page.split("\n", 1)
    assert doctype == "<!doctype html>"
    return ET.fromstring(body)


@cache
def page_of_a_run():
    return render(a_run())


def text_of(element):
    return " ".join("".join(element.itertext()).split())


def rows_of(page, css_class):
    tables_found = [t for t in parsed(page).iter("table") if css_class in t.get("class", "").split()]
    assert len(tables_found) == 1
    return [[text_of(cell) for cell in row] for row in tables_found[0].iter("tr")]


def test_page_and_record_are_written_and_the_record_is_the_run(tmp_path):
    run = a_run()
    page = write_report(run, LIMITS, tmp_path / "new" / "report")
    assert page == tmp_path / "new" / "report" / "index.html"
    assert page.read_text(encoding="utf-8") == render(run)
    assert msgspec.json.decode((page.parent / "run.json").read_bytes(), type=Run) == run


def test_same_run_gives_the_same_page():
    assert render(a_run()) == render(a_run())


def test_page_is_well_formed_and_its_ids_are_unique():
    ids = [element.get("id") for element in parsed(page_of_a_run()).iter() if element.get("id")]
    assert len(ids) == len(set(ids))


def test_page_refers_to_nothing_outside():
    page = page_of_a_run()
    root = parsed(page)
    for element in root.iter():
        assert element.tag not in {"script", "link", "img", "iframe", "object", "embed", "base", "metadata"}
        for name, value in element.attrib.items():
            if name.rpartition("}")[2] in {"href", "src"}:
                assert value == "run.json" or value.startswith("#")
    assert "http://" not in page
    assert "https://" not in page
    assert "@import" not in page
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", page))
    policy = next(m.get("content") for m in root.iter("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'")


def test_colours_are_the_page_s_own_so_that_dark_mode_works():
    page = page_of_a_run()
    assert "#0101" not in page
    declared = set(re.findall(r"(--[a-z]+):", page))
    assert set(re.findall(r"var\((--[a-z]+)\)", page)) <= declared


def test_hostile_names_stay_text():
    page = render(a_run(HOSTILE, features=HOSTILE, constant=(HOSTILE[0],), classes=HOSTILE[:2]))
    root = parsed(page)
    assert not list(root.iter("script"))
    assert not list(root.iter("img"))
    assert not [name for element in root.iter() for name in element.attrib if name.startswith("on")]
    names = [row[0] for row in rows_of(page, "presence")[1:]]
    assert names == [HOSTILE[0], HOSTILE[1], "a\ufffd[2Jb\ufffdc & {{ 7 * 7 }} $\\frac{1}{2}$ ${x} &lt;"]
    assert "\x1b" not in page
    assert "\u202e" not in page


def test_every_round_of_every_hospital_is_shown():
    head, *rows = rows_of(page_of_a_run(), "presence")
    assert head == ["round", "1", "2", "3", "4"]
    assert rows == [
        ["north", "●", "○", "\N{MULTIPLICATION SIGN}", "●"],
        ["south", "●", "◐", "\N{MULTIPLICATION SIGN}", "●"],
        ["west", "●", "●", "○", "○"],
    ]


def test_a_hospital_that_was_not_asked_is_shown_so():
    record = round_of(1, NAMES[:2])
    assert rows_of(render(a_run(rounds=(record,))), "presence")[3] == ["west", "·"]


def test_every_loss_is_told_with_its_round_phase_and_outcome():
    assert rows_of(page_of_a_run(), "departures")[1:] == [
        ["standardisation (means, attempt 2)", formats.DASH, "north at unmask", "sum of 3 of 3"],
        ["round 2", "north at keys", "south at unmask", "sum of 2 of 3"],
        ["round 3", "west at masked", formats.DASH, f"no sum: {TOO_FEW}"],
        ["round 4", "west at masked, left out: not canonical", formats.DASH, "sum of 2 of 3"],
    ]
    assert [str(loss) for loss in tables.all_losses(a_run())] == [
        "standardisation (means, attempt 2): north went silent at unmask (its update is in the sum)",
        "round 2: north went silent at keys (its update is not in the sum)",
        "round 2: south went silent at unmask (its update is in the sum)",
        "round 3: west went silent at masked (the round has no sum)",
        "round 4: west was left out at masked: not canonical (its update is not in the sum)",
    ]


def test_a_hospital_that_misbehaved_and_stayed_was_not_left_out():
    record = round_of(1, misbehaved={"west": "a second, different reply"})
    (loss,) = tables.all_losses(a_run(rounds=(record,), statistics=()))
    assert loss == Loss("round 1", "west", "", "in the sum", "a second, different reply")
    assert str(loss) == "round 1: west misbehaved: a second, different reply (its update is in the sum)"


def test_claims_stand_apart_from_losses_and_are_worded_as_claims():
    hostile = {"west": "no sound share, say <b>north</b>\u202e"}
    run = a_run(rounds=(round_of(1), round_of(2, accused=hostile)), statistics=())
    assert tables.all_losses(run) == []
    assert list(tables.departures(run)) == []
    assert {state for row in tables.attendance(run) for state in row.states} == {"summed"}
    assert [str(claim) for claim in tables.all_claims(run)] == [
        "round 2: others claim of west, which stays in the round: no sound share, say <b>north</b>\ufffd"
    ]
    page = render(run)
    assert rows_of(page, "claims") == [
        ["sum", "said of", "by others"],
        ["round 2", "west", "no sound share, say <b>north</b>\ufffd"],
    ]
    assert "Nobody did." in text_of(parsed(page))
    assert "Claims, not findings" in text_of(parsed(page))


def test_statistics_and_rounds_have_names():
    assert name_of(round_of(7)) == "round 7"
    assert [name_of(record) for record in a_run().statistics] == [
        "standardisation (ranges)",
        "standardisation (means, attempt 2)",
    ]


def test_costs_are_medians_of_rounds_and_sums_of_all():
    dear = tuple(replace(flow, bytes=flow.bytes * 9) for flow in FLOWS)
    run = a_run(rounds=(round_of(1), round_of(2, traffic=dear), round_of(3), round_of(4, too_few=TOO_FEW)))
    costs = tables.typical_costs(run)
    assert [cost.phase for cost in costs] == ["keys", "masked"]
    assert costs[0].roles == {"client": tables.Amount(10, 0.001), "server": tables.Amount(30, 0.004)}
    whole, rounds, statistics = tables.sums_of_costs(run, costs)
    assert whole.roles["client"].bytes == 110
    assert (rounds.phase, rounds.roles["client"].bytes) == ("all 4 rounds", 110 * 11)
    assert (statistics.phase, statistics.roles["server"].bytes) == ("standardisation (2 sums)", 660)


def test_exactness_is_the_worst_of_all_rounds():
    assert tables.exactness(a_run()) == tables.Exactness(3, 2**-18, 2**-14)


def test_headline_says_what_happened():
    worth, way = prose.headline(a_run())
    assert "records of 90 training patients" in worth
    assert "right for 97.5 % of 40 held-out patients" in worth
    assert "as good as the same training without protection and 0.8 points below one model" in worth
    assert "A hospital alone is right for 90.0 % on average." in worth
    assert "fell silent 4 times in training (west twice, north once, south once)" in way
    assert "In 1 of these cases the update was already given" in way
    assert "Before training, in the sums of the standardisation, hospitals fell silent once." in way
    assert "1 of 4 rounds ended without a sum, because too few stayed, and was skipped." in way


def test_losses_before_training_are_counted_apart():
    (silent,) = [div for div in parsed(page_of_a_run()).iter("div") if "Hospitals fell silent" in {e.text for e in div}]
    assert text_of(silent.find("dd")) == "4 times in training"
    assert text_of(silent.find("p")) == "1 of 4 rounds ended without a sum; in the standardisation, 1 time"


def test_whether_the_sums_were_exact_is_answered_first():
    assert prose.exact_answer(a_run()).startswith(
        "Yes, up to the rounding of each parameter to 16 bits. In each of the 3"
    )
    nothing = a_run(rounds=(round_of(1, too_few=TOO_FEW),))
    assert prose.exact_answer(nothing) == "No round has a sum, so there is nothing to compare."


@pytest.mark.parametrize(
    "said",
    [
        "A server that follows the protocol learns the sum of the updates",
        "in the passive mode, the default, such a server can get single updates",
        "a server together with t of the holders of a hospital",
        "two histograms of powers of two",
        "not been independently audited",
    ],
)
def test_what_is_not_protected_is_said(said):
    assert said in text_of(parsed(page_of_a_run()))


def test_a_run_without_losses_says_so():
    run = a_run(rounds=(round_of(1),), statistics=())
    assert "No hospital was lost in training." in prose.headline(run)[1]
    assert "standardisation" not in prose.headline(run)[1]
    assert "Nobody did." in text_of(parsed(render(run)))


@pytest.mark.parametrize(
    "rounds",
    [
        (round_of(1, too_few=TOO_FEW), round_of(2, too_few=TOO_FEW)),
        (round_of(1, gap=0.0), round_of(2, gap=0.0)),
        (round_of(1, gap=0.0, bound=0.0),),
        (round_of(1, secure=metrics(auc=None), plain=metrics(auc=None)),),
    ],
    ids=["no sum at all", "no gap", "no bound", "one class"],
)
def test_extreme_runs_make_a_page_too(rounds):
    parsed(render(a_run(rounds=rounds)))


def test_a_class_that_nobody_has_leaves_a_dash():
    run = a_run()
    row = replace(run.comparison[3], overall=metrics(auc=None))
    page = parsed(render(replace(run, comparison=(*run.comparison[:3], row))))
    shown = next(row for row in page.iter("tr") if row.get("class") == "chosen")
    assert [text_of(cell) for cell in shown] == ["secure FedAvg", "97.5", formats.DASH, "0.100"]


def test_a_folder_that_cannot_be_one_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"report folder '.*file': File exists, expected a folder"):
        write_report(a_run(), LIMITS, tmp_path / "file")
    (tmp_path / "index.html").mkdir()
    with pytest.raises(ConfigError, match="Is a directory"):
        write_report(a_run(), LIMITS, tmp_path)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (formats.bytes_text(0), "0 B"),
        (formats.bytes_text(999), "999 B"),
        (formats.bytes_text(999.6), "1.00 kB"),
        (formats.bytes_text(12_345), "12.3 kB"),
        (formats.bytes_text(123_456_789), "123 MB"),
        (formats.bytes_text(2e15), "2000 TB"),
        (formats.seconds_text(0), "0 s"),
        (formats.seconds_text(8.5e-5), "85.0 µs"),
        (formats.seconds_text(9.996e-4), "1.00 ms"),
        (formats.seconds_text(0.0123), "12.3 ms"),
        (formats.seconds_text(3.4), "3.40 s"),
        (formats.seconds_text(125.4), "2 min 05 s"),
        (formats.power(2.14e-6), f"2.1{formats.TIMES}10⁻⁶"),
        (formats.power(3e4), f"3.0{formats.TIMES}10⁴"),
        (formats.power(0.0), "0"),
        (formats.power(None), formats.DASH),
        (formats.percent(0.9721), "97.2"),
        (formats.decimals(None, 3), formats.DASH),
        (formats.counted(1, "round"), "1 round"),
        (formats.counted(1200, "round"), "1,200 rounds"),
        (formats.printable("a\x00b\u2028c\u00a0d\u200be"), "a\ufffdb\ufffdc\u00a0d\ufffde"),
    ],
)
def test_numbers_and_names_as_people_read_them(written, expected):
    assert written == expected
