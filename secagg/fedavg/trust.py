"""Against whom a protocol protects nothing, in the words of the terminal and the page."""

from dataclasses import asdict

from secagg.scheme.facts import Limits


def among_hospitals(text: str) -> str:
    """What is said of a protocol's clients, said of hospitals."""
    return text.replace("client", "hospital")


def at_hospitals(limits: Limits) -> Limits:
    """The same limits, said of hospitals."""
    return Limits(**{name: among_hospitals(text) for name, text in asdict(limits).items()})
