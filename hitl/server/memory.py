"""What many threads have used and freed goes back to the system. glibc keeps it otherwise, in the arenas of threads that are gone."""
import ctypes


def give_back() -> None:
    """Takes some milliseconds. Does nothing under another C library."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
