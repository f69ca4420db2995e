"""Become a service: drop rights, ask the kernel to end us with our parent, then run the program.

A file of its own, run as `python -I -S launch.py UID GID SIGNAL PARENT program args...`, so that
no Python code runs between fork and exec of the (threaded) main program. Order matters: a change
of user clears the parent-death signal, so it is set last.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    uid, gid, death_signal, parent = (int(word) for word in sys.argv[1:5])
    if os.geteuid() == 0 and uid != 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    os.umask(0o077)
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        raise SystemExit("the parent ended before the service began")
    os.execv(sys.argv[5], sys.argv[5:])


if __name__ == "__main__":
    main()
