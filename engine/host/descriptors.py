"""How many descriptors this process may have open. Runs keep the limit that it began with: programs that use select() break above 1,024."""
import resource

MOST = 65536
_began_with: tuple[int, int] | None = None


def raise_limit() -> int:
    """Raises the soft limit to the hard one, at most to MOST -> the limit that holds now."""
    global _began_with
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        _began_with = _began_with or (soft, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return MOST if soft == resource.RLIM_INFINITY else soft


def restore_limit(pid: int) -> None:
    """Gives a child the limit that this process began with."""
    if _began_with is None:
        return
    try:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, _began_with)
    except ProcessLookupError:
        return  # it has ended already
