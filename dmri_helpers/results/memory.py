"""How much memory a step takes at its peak."""

import os
from collections.abc import Callable

import torch


def peak_memory(step: Callable[[], object]) -> int:
    """Call ``step`` and follow what torch allocates on the CPU meanwhile.

    Parameters
    ----------
    step
        what is measured, called once

    Returns
    -------
        the largest sum of allocations that were alive at one time, in bytes, without what was there before
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler would write to stderr
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        step()
    events = (event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]")
    level = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        level += event.nbytes()
        peak = max(peak, level)
    return peak
