"""The report of runs that happened, one of them against an active server: strict XML, and every figure is the run's."""

from xml.etree import ElementTree as ET

import pytest

from secagg.fedavg import Settings, formats, run_experiment, tables
from secagg.fedavg.report import write_report
from secagg_protocols import PairwiseMasking


@pytest.fixture(scope="module", params=["passive", "active"])
def reported(request, tmp_path_factory):
    """A run of five hospitals that loses some in every part, and its page."""
    settings = Settings(clients=5, rounds=2, epochs=1, dropout=0.2, seed=6)
    run = run_experiment(settings, PairwiseMasking(adversary=request.param))
    page = write_report(run, PairwiseMasking.facts.limits, tmp_path_factory.mktemp("report"))
    doctype, body = page.read_text(encoding="utf-8").split("\n", 1)
    assert doctype == "<!doctype html>"
    return run, ET.fromstring(body)


def text_of(element):
    return " ".join("".join(element.itertext()).split())


def below(page, heading):
    """The cells of the first table after a heading of this text."""
    elements = list(page.iter())
    start = next(i for i, e in enumerate(elements) if e.tag in {"h2", "h3"} and text_of(e) == heading)
    table = next(element for element in elements[start:] if element.tag == "table")
    return [[text_of(cell) for cell in row] for row in table.iter("tr")]


def figures(metrics):
    return [
        formats.percent(metrics.accuracy),
        formats.decimals(metrics.auc, 3),
        formats.decimals(metrics.log_loss, 3),
    ]


def test_ids_are_unique_and_every_reference_has_its_target(reported):
    _, page = reported
    ids = [element.get("id") for element in page.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    targets = {element.get("href") for element in page.iter() if element.get("href")} - {"run.json"}
    assert targets
    assert targets <= {f"#{name}" for name in ids}
    assert len(list(page.iter("svg"))) == 6


def test_the_models_and_hospitals_are_those_of_the_run(reported):
    run, page = reported
    models = below(page, "Four models, the same held-out patients")
    assert [row[1:] for row in models if row[0] in {row.model for row in run.comparison}] == [
        figures(row.overall) for row in run.comparison[1:]
    ]
    assert models[1] == ["alone (mean of 5)", *figures(run.comparison[0].overall)]
    alike = below(page, "Hospital by hospital")[2:]
    for site, shown in zip(run.sites, alike, strict=True):
        own = [row.hospitals[site.name] for row in run.comparison]
        assert shown[:6] == [site.name, str(site.test), *(formats.percent(each.accuracy) for each in own)]
    counts = below(page, "The hospitals")[2:-1]
    assert [row[:3] for row in counts] == [[s.name, str(s.train), str(s.positives_train)] for s in run.sites]


def test_every_departure_and_every_phase_is_on_the_page(reported):
    run, page = reported
    lost = [f"{name} at {phase}" for told in tables.records(run) for name, phase in told.sum.lost.items()]
    departures = next(table for table in page.iter("table") if table.get("class") == "full departures")
    shown = [text_of(div) for cell in departures.iter("td") for div in cell.iter("div")]
    assert lost
    assert sorted(shown) == sorted(lost)
    costs = below(page, "What protection costs")
    assert [row[0] for row in costs[2 : 2 + len(run.phases)]] == list(run.phases)
    assert ("consistency" in run.phases) is ("active" in run.protocol)
    assert "What hospitals claim of each other" not in [text_of(heading) for heading in page.iter("h3")]
