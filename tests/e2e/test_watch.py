"""What a person sees of a run: a moving bar or plain lines, and closing tables that fit a narrow terminal."""

import io
import re

import pytest
from rich.console import Console

from secagg.cli import screen, summary, watch
from secagg.fedavg import Settings, formats, run_experiment
from secagg.fedavg.history import Metrics, RoundRecord, SumRecord
from secagg.fedavg.losses import losses
from secagg_protocols import PairwiseMasking


def a_round(number, lost, contributors, too_few=None, accused=None):
    metrics = Metrics(0.9, 0.95, 0.25, 40)
    void = too_few is not None
    return RoundRecord(
        number=number,
        sum=SumRecord(("h1", "h2", "h3"), contributors, lost, {}, accused or {}, too_few, 0, ()),
        secure=metrics,
        plain=metrics,
        local_loss=0.2,
        gap=None if void else 0.0,
        bound=None if void else 1.0,
        seconds=0.1,
    )


VOID = a_round(8, {"h1": "keys"}, (), "phase 'keys': 2 parties answered, 3 needed; no sum was opened")


def test_a_terminal_keeps_every_round_s_line_above_a_moving_bar():
    written = io.StringIO()
    out = Console(file=written, force_terminal=True, width=120, highlight=False, markup=False)
    with watch.watching(out) as listener:
        assert isinstance(listener, watch.Bar)
        listener(a_round(6, {}, ("h1", "h2", "h3")))
        listener(a_round(7, {"h3": "unmask"}, ("h1", "h2", "h3")))
        listener(VOID)
    seen = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written.getvalue()).replace("\r", "\n")
    told = [line for line in " ".join(seen.split()).split("round ") if " | " in line]
    figures = "log loss 0.2500 | accuracy 90.0 %"
    assert told[0].startswith(f"6/0 | {figures} | sum of 3 of 3")
    assert told[1].startswith(f"7/0 | {figures} | sum of 3 of 3 | h3 silent at unmask (in the sum)")
    assert told[2].startswith(f"8/0 | {figures} | skipped: {VOID.sum.too_few} | h1 silent at keys (no sum)")
    assert len(told) == 3
    assert "round 8  log loss 0.2500  accuracy 90.0 %  lost 2" in seen


def test_what_others_claim_is_told_apart_from_losses():
    record = a_round(7, {}, ("h1", "h2", "h3"), accused={"h2": "no sound share, say the holders ['h3']"})
    seen = {}
    for terminal in (True, False):
        out = Console(file=io.StringIO(), force_terminal=terminal, width=200, highlight=False, markup=False)
        with watch.watching(out) as listener:
            listener(record)
        seen[terminal] = out.file.getvalue()
    claim = "no sound share, say the holders ['h3']"
    assert f"sum of 3 of 3 | others claim of h2: {claim}" in seen[True]
    assert "accuracy 90.0 %  lost 0" in seen[True]
    assert f"sum of 3 of 3 | others claim of h2: {claim}" in seen[False]
    assert not any(word in text for text in seen.values() for word in ("silent", "left out", "misbehaved"))


def test_sixty_columns_break_no_number_and_no_name():
    run = run_experiment(Settings(clients=3, rounds=1, epochs=1, dropout=0), PairwiseMasking())
    out = Console(file=io.StringIO(), force_terminal=True, no_color=True, width=60, highlight=False, markup=False)
    summary.show(run, PairwiseMasking.facts.limits, out)
    shown = out.file.getvalue()
    assert max(map(len, re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines())) <= 60
    for site in run.sites:
        own = [row.hospitals[site.name] for row in run.comparison]
        cells = [site.name, str(site.test), *(formats.percent(metrics.accuracy) for metrics in own)]
        assert any(line.split()[: len(cells)] == cells for line in shown.splitlines())
    assert "standardisation" in shown


def test_the_closing_words_say_what_was_found_and_what_was_not_protected():
    out = Console(file=io.StringIO(), width=100, soft_wrap=True, highlight=False, markup=False)
    run = run_experiment(Settings(clients=5, rounds=2, epochs=1, dropout=0.2, seed=6, clip=0.01), PairwiseMasking())
    summary.show(run, PairwiseMasking.facts.limits, out)
    lines = out.file.getvalue().splitlines()
    assert all(line == line.rstrip() for line in lines)
    before, during = ([loss for r in records for loss in losses(r)] for records in (run.statistics, run.rounds))
    assert before
    assert during
    (lost,) = [line for line in lines if line.startswith("lost:")]
    assert lost.startswith(f"lost:   {formats.counted(len(during), 'time')} a hospital left a round of training, ")
    assert lost.endswith(f"; {formats.counted(len(before), 'time')} a sum of the standardisation")
    clipped = sum(record.sum.saturated for record in run.rounds)
    assert clipped > 1
    assert f"clipped: {clipped:,} entries, larger than --clip 0.01" in lines
    (exact,) = [line for line in lines if line.startswith("exact:")]
    assert exact.startswith("exact:  yes, up to rounding to 16 bits: ")
    assert f"at most {max(r.gap for r in run.rounds if r.gap is not None):.1e} in any parameter" in exact
    limits = " ".join(lines[lines.index(exact) :]).partition("limits: ")[2]
    assert limits.startswith("a server that follows the protocol learns only sums; one that lies (in passive mode,")
    assert limits.endswith("Not independently audited.")


def test_where_a_line_is_too_long_the_name_breaks_and_not_the_numbers():
    out = Console(file=io.StringIO(), force_terminal=True, no_color=True, width=44)
    table = screen.table(out, "Accuracy", "hospital", *["held out"] * 7)
    table.add_row("hospital-01", *["100.0"] * 7)
    out.print(table)
    assert ["100.0"] * 7 in [line.split()[-7:] for line in out.file.getvalue().splitlines()]


def test_sixty_columns_hold_the_figures_of_a_round():
    written = io.StringIO()
    with watch.watching(Console(file=written, force_terminal=True, width=60, highlight=False)) as listener:
        listener(a_round(20, {}, ("h1", "h2", "h3")))
    assert "round 20  log loss 0.2500  accuracy 90.0 %  lost 0" in re.sub(r"\x1b\[[0-9;]*m", "", written.getvalue())


@pytest.mark.parametrize("dumb", [False, True])
def test_a_pipe_and_a_dumb_terminal_see_lines(dumb, monkeypatch):
    monkeypatch.setenv("TERM", "dumb" if dumb else "xterm")
    written = io.StringIO()
    with watch.watching(Console(file=written, force_terminal=dumb, soft_wrap=True, width=100)) as listener:
        listener(a_round(7, {"h3": "unmask", "h2": "masked"}, ("h1", "h3")))
        listener(VOID)
    figures = "log loss 0.2500 | accuracy 90.0 %"
    left = "h3 silent at unmask (in the sum); h2 silent at masked (not in the sum)"
    assert written.getvalue().splitlines() == [
        f"round 7/0 | {figures} | sum of 2 of 3 | {left}",
        f"round 8/0 | {figures} | skipped: {VOID.sum.too_few} | h1 silent at keys (no sum)",
    ]
