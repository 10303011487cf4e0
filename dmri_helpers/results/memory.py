"""How much memory there is, and how much a step takes at its peak. Importing it loads neither torch nor numpy."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

_CONTAINER = (  # what a container may have at most and what it has, of both versions of Linux's control groups
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def free_memory() -> int:
    """Bytes that a process can still have: of the machine, its container and its own limit the least."""
    free = [psutil.virtual_memory().available]
    for most, taken in _CONTAINER:
        with suppress(OSError, ValueError):  # not this version, or without a limit ("max")
            free.append(int(Path(most).read_text()) - int(Path(taken).read_text()))
    with suppress(ImportError):  # Windows has no such limits
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            free.append(limit - psutil.Process().memory_info().vms)
    return max(min(free), 0)


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
    import torch

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
