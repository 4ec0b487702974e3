"""Peak main memory of a call, beyond what was there before it; and how much there is.

A case runs once in a process of its own, where Linux remembers the peak of resident memory: the pages that were
touched, exact to the few MB that libraries take for themselves. On other systems it is unknown. CUDA counts for itself,
in `measure`.
"""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import torch

from .cases import Case
from .operations import Operations

logger = logging.getLogger("gvr")
STATUS = Path("/proc/self/status")
MEMINFO = Path("/proc/meminfo")
CLEAR = Path("/proc/self/clear_refs")
CLEAR_PEAK = "5"
"""Sets the remembered peak of resident memory to its present value, see proc(5)."""
M_MMAP_THRESHOLD, MMAP_BYTES = -3, 2**16
"""Of mallopt(3): larger allocations go back to the system when they are freed, none is kept for the next call."""


def is_out_of_memory(error: BaseException) -> bool:
    """True for what PyTorch and Python raise without memory; the errors of PyTorch's CPU part have no own type."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return any(part in str(error) for part in ("out of memory", "not enough memory", "t allocate memory"))


def resident_peaks(cases: Sequence[Case], dtype: torch.dtype) -> list[int | None]:
    """Peak bytes of one call of each case on the CPU beyond its inputs and weights, its result included.

    None where Linux does not tell, and for a case that does not fit into memory.
    """
    if not CLEAR.exists():
        return [None] * len(cases)
    threads = torch.get_num_threads()
    peaks: list[int | None] = []
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            peaks.extend(pool.submit(_resident_peak, case, dtype, threads).result() for case in cases)
        except BrokenProcessPool:  # Linux ends a process that takes too much
            case = cases[len(peaks)]
            logger.warning("memory from the %s at %s on is unknown: it took too much", case.operation, case.size)
    return peaks + [None] * (len(cases) - len(peaks))


def available_bytes() -> int | None:
    """Free main memory; None where unknown."""
    if not MEMINFO.exists():
        return None
    lines = MEMINFO.read_text(encoding="ascii").splitlines()
    return next((_kibibytes(line) for line in lines if line.startswith("MemAvailable")), None)


def _resident_peak(case: Case, dtype: torch.dtype, threads: int) -> int | None:
    torch.set_num_threads(threads)
    try:
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, MMAP_BYTES)
    except AttributeError:  # another C library than GNU's
        logger.debug("freed memory may be kept and used again: peaks can be too small")
    try:
        call = Operations(torch.device("cpu"), dtype).build(case)
        square = torch.ones(512, 512, dtype=dtype)
        square @ square  # the threads' and the library's own memory is not the operation's
        CLEAR.write_text(CLEAR_PEAK, encoding="ascii")
        before = _resident("VmRSS")
        with torch.inference_mode():
            call()
        return max(0, _resident("VmHWM") - before)
    except OSError:  # not every container lets its processes do this
        return None
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            return None
        raise


def _resident(name: str) -> int:
    lines = STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    return next(_kibibytes(line) for line in lines if line.startswith(name))


def _kibibytes(line: str) -> int:
    """Bytes of a line like `VmRSS:  1234 kB`."""
    return int(line.split()[1]) * 1024
