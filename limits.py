"""What a worker asks of the system: how many files it may open, and how little free memory the C library keeps."""

import ctypes
import resource

# Each connection may need a second descriptor, for the file that holds a long body.
_DESCRIPTORS = 4096

# What is at least so large goes back to the system as soon as it is not needed, above all the 19 MiB in which a
# password is hashed. Left alone, glibc would come to keep such a block for every thread (mallopt(3)).
_M_MMAP_THRESHOLD = -3
_LARGE_BLOCK_BYTES = 4 * 1024 * 1024

# Threads share their memory (an arena): each with one of its own, they would keep more and more that is free, and that
# the others cannot use.
_M_ARENA_MAX = -8


def allow_descriptors() -> int:
    """How many files may be open from now on: what is enough, or what the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def spare_memory() -> None:
    """Have the C library keep little of what is free. To be called before there are threads."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none, and need none
    if mallopt:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK_BYTES)
        mallopt(_M_ARENA_MAX, 1)
