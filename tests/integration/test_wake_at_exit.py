"""What a short command has to say to the dispatcher before it ends."""

import subprocess
import sys

import pytest

#: Redis is slow to answer, and a lock is held for so long: a thread that Python stops
#: meanwhile keeps it, and Python may wait for it in vain.
COMMAND = """
import threading, time
import django
django.setup()
from jobs import wake

lock = threading.RLock()

def slowly(*names):
    with lock:
        time.sleep(0.3)
        print(*sorted(names), flush=True)

wake.wake_dispatcher = slowly
for names in {names}:
    wake.wake_dispatcher_soon(*names)
    time.sleep(0.1)
"""


@pytest.mark.parametrize(
    "names", [[], [["t1"]], [["t1"], ["t2"]], [["t1"], ["t2"], ["t3"]]]
)
def test_a_command_ends_behind_its_last_wake(names: list[list[str]]):
    done = subprocess.run(
        [sys.executable, "-c", COMMAND.format(names=names)],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.split() == [name for each in names for name in each]
