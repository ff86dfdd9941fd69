"""A node's own limits, from its own configuration (`flower-supernode --node-config`): they only narrow the mod's."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from flwr.app import Context

from secagg.arguments import checked
from secagg.errors import ConfigError
from secagg.federation.client import Share, Unusable
from secagg.scheme import Policy
from secagg.scheme.policy import CLIPS, DEFAULT

MIN_COHORT, MIN_THRESHOLD = "secagg-min-cohort", "secagg-min-threshold"
"""Integers, of which larger ones count."""
BITS, CLIP = "secagg-bits", "secagg-clip"
"""Ranges such as "8,16", of which the part that the mod allows too counts."""
WEIGHTS = "secagg-weights"
"""The node's declared range of weights, such as "10,1000"."""
UNUSABLE = "secagg-unusable"
"""What becomes of an update that cannot be summed: see `Limits.unusable`."""
SATURATION = "secagg-saturation"
"""The share of an update that may lie beyond the clip, such as 0.25: see `Limits.saturation`."""
STORE = "secagg-store"
"""The absolute path of the node's journal."""

N = TypeVar("N", int, float)


def policy_of(context: Context, policy: Policy) -> Policy:
    """The mod's policy, narrowed by the node's configuration. Raises ConfigError or OutOfRange for what is no limit."""
    return replace(
        policy,
        min_cohort=_raised(context, MIN_COHORT, policy.min_cohort),
        min_threshold=_raised(context, MIN_THRESHOLD, policy.min_threshold),
        bits=_narrowed(policy.bits, _range(context, BITS, int)),
        clip=_narrowed_clip(policy.clip, _range(context, CLIP, float)),
        weights=_range(context, WEIGHTS, int) or policy.weights,
    )


def unusable_of(context: Context) -> dict[str, Any]:
    """What an update is that cannot be summed, and what becomes of it, as `Limits` has them.

    Raises ConfigError or OutOfRange for what is neither.
    """
    asked = {"unusable": (UNUSABLE, Unusable), "saturation": (SATURATION, Share)}
    return {
        name: checked(f"node configuration {key}", context.node_config[key], kind)
        for name, (key, kind) in asked.items()
        if key in context.node_config
    }


def _raised(context: Context, key: str, least: int) -> int:
    return max(checked(f"node configuration {key}", context.node_config.get(key, least), int), least)


def _range(context: Context, key: str, of: Callable[[str], N]) -> tuple[N, N] | None:
    """The two numbers of a text such as "10,1000", None where there is none."""
    text = context.node_config.get(key)
    if text is None:
        return None
    try:
        least, most = map(of, str(text).split(","))
    except ValueError:
        raise ConfigError(
            f"node configuration {key} is {text!r}: expected the least and the most, as in '10,1000'"
        ) from None
    return least, most


def _narrowed(allowed: tuple[N, N], own: tuple[N, N] | None) -> tuple[N, N]:
    return allowed if own is None else (max(allowed[0], own[0]), min(allowed[1], own[1]))


def _narrowed_clip(
    allowed: tuple[float, float] | Mapping[str, tuple[float, float]], own: tuple[float, float] | None
) -> tuple[float, float] | Mapping[str, tuple[float, float]]:
    if isinstance(allowed, tuple):
        return _narrowed(allowed, own)
    return {name: _narrowed(found, own) for name, found in {DEFAULT: CLIPS, **allowed}.items()}
