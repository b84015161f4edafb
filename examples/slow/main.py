"""Takes its time, and cleans up when it is told to stop."""

import os
import signal
import sys
import time


def stop(_signal, _frame):
    print("told to stop: cleaning up")
    time.sleep(0.5)
    print("cleaned up, bye")
    sys.exit(0)


# A cancelled or timed-out run gets SIGTERM, and some seconds later SIGKILL.
signal.signal(signal.SIGTERM, stop)

seconds = int(os.environ.get("seconds", "600"))
for second in range(1, seconds + 1):
    time.sleep(1)
    print(f"second {second} of {seconds}")
print("done")
