"""Becomes a command on given cores: `python pinned.py 0,1 COMMAND ...`; its children stay on them."""

import os
import sys

if __name__ == "__main__":
    os.sched_setaffinity(0, {int(core) for core in sys.argv[1].split(",")})
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - what the benchmark itself asked for
