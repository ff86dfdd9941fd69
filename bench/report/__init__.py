"""docs/benchmarks.md and its figures, drawn from the suites' JSON and from nothing else."""

from collections.abc import Mapping
from pathlib import Path

from bench.report import figures, page
from bench.results import Results
from secagg.errors import ConfigError


def draw(found: Mapping[str, Results], docs: Path) -> list[Path]:
    """Write the page and the figures under `docs`; the same results give the same page.

    Args:
        found: {suite: results}; a suite that is missing is said to be.
        docs: folder; figures go to its folder "images".

    Returns:
        The files written.

    Raises:
        ConfigError: no results at all.
    """
    if not found:
        raise ConfigError("no results to draw: run `make bench`, which writes them to bench/results")
    images = docs / "images"
    images.mkdir(parents=True, exist_ok=True)
    written = []
    for name, svg in figures.all_of(found).items():
        path = images / f"bench-{name}.svg"
        path.write_text(svg, "utf-8")
        written.append(path)
    text = docs / "benchmarks.md"
    text.write_text(page.text(found), "utf-8")
    return [text, *written]
