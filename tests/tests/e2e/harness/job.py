print("begin", flush=True)  # before anything else: this line is what speed is measured to

import json
import os
import socket
import time

given = json.loads(os.environ["MINITOWER_INPUT"])
host, port = given["witness"].rsplit(":", 1)
witness = socket.create_connection((host, int(port)), timeout=30)
witness.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
answers = witness.makefile("r")


def say(word, noted=False):
    witness.sendall((word + "\n").encode())
    if noted:
        assert answers.readline() == "noted\n", "the witness is gone"


run, attempt = (int(os.environ[name]) for name in ("MINITOWER_RUN_ID", "MINITOWER_ATTEMPT"))
me = {"scene": given["scene"], "run": run, "attempt": attempt, "pod": socket.gethostname()}
say("begin " + json.dumps(me), noted=True)
print(json.dumps(me | {"at": time.time()}), flush=True)

until = time.monotonic() + given["seconds"]
while (left := until - time.monotonic()) > 0:
    time.sleep(min(left, 0.1))
    say("beat")

say("end", noted=True)
print("end", flush=True)
