"""Becomes another program, having first tied its life to the runner's and, if asked, stopped being root.

Run by path with a bare interpreter (`python -I -S launch.py ...`), it replaces itself, so that the
program keeps the process id and nothing of this stays in memory. It is a program of its own, not code
between fork and exec, because only a fresh process may safely run Python there.

PostgreSQL refuses to run with effective user id 0. Two ways around that leave the machine's accounts
alone and work under directories that other accounts cannot enter:

* `namespace`: in a user namespace of its own the process sees itself as an ordinary account, while for
  files it stays who it was, without any privilege. Needs a kernel that permits user namespaces.
* `account`: the process becomes an unprivileged account and keeps one capability, to pass permission
  checks on files. Needs that capability, as root has it in most containers.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
from pathlib import Path

# Numbers from linux/prctl.h, linux/sched.h and linux/capability.h.
PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CLONE_NEWUSER = 0x10000000
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilityData(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def main() -> None:
    """Parse the arguments, prepare this process and become the program."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--death-signal", type=int, required=True)
    parser.add_argument("--namespace", type=int)
    parser.add_argument("--account", type=int)
    parser.add_argument("argv", nargs="+")
    arguments = parser.parse_args()
    if arguments.namespace is not None:
        enter_user_namespace(arguments.namespace)
    if arguments.account is not None:
        become_account(arguments.account)
    if sys.platform == "linux":
        tie_life_to(arguments.parent, arguments.death_signal)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    os.execvp(arguments.argv[0], arguments.argv)  # noqa: S606 - replacing this process is its purpose


def enter_user_namespace(inner_id: int) -> None:
    """Appear as `inner_id`, outside still being who we are; the coming exec drops every privilege."""
    user_id, group_id = os.geteuid(), os.getegid()
    _call("unshare", CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{inner_id} {group_id} 1", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{inner_id} {user_id} 1", encoding="ascii")


def become_account(account_id: int) -> None:
    """Become an account for good, keeping only the capability to pass permission checks on files."""
    _call("prctl", PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(account_id, account_id, account_id)
    os.setresuid(account_id, account_id, account_id)
    header = _CapabilityHeader(CAPABILITY_VERSION_3, 0)
    bit = 1 << CAP_DAC_OVERRIDE
    data = (_CapabilityData * 2)(_CapabilityData(bit, bit, bit), _CapabilityData(0, 0, 0))
    _call("capset", ctypes.byref(header), ctypes.byref(data))
    _call("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)


def tie_life_to(parent: int, death_signal: int) -> None:
    """Be sent `death_signal` when the runner dies, however it dies.

    Done last, since a change of identity forgets it.
    """
    _call("prctl", PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("The runner died before its child had started.")


def _call(name: str, *values: object) -> None:
    """Call a function of the C library, raising OSError if it fails."""
    library = ctypes.CDLL(None, use_errno=True)
    arguments = [ctypes.c_ulong(value) if isinstance(value, int) else value for value in values]
    if getattr(library, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


if __name__ == "__main__":
    main()
