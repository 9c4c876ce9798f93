"""How long the property tests search: a short while in every run of the suite, longer when asked to."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

#: `make properties` sets it: how many times as many examples as usual.
SEARCH = "NEEDLECAP_PROPERTY_SEARCH"

_TIMES = int(os.environ.get(SEARCH, "1"))
#: Finding which parts of a failing example do not matter takes longer than all the rest.
_PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)


def thoroughly() -> bool:
    """Whether the long run was asked for."""
    return _TIMES > 1


def searching(examples: int) -> settings:
    """Settings for a test that tries so many examples in an everyday run."""
    return settings(
        max_examples=examples * _TIMES,
        deadline=None,
        phases=_PHASES,
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.large_base_example,
        ],
    )
