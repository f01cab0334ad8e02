"""`hangtag` commands in processes of their own, forked from one that has imported the command line.

Importing it takes longer than most of what tests ask of it. Where there is no fork, each command is
started from the beginning.
"""

import atexit
import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

# Forks for every line of its standard input, and answers with the exit code of the fork.
_SERVER = """
import json, os, sys
from hangtag.cli.app import main

answers = os.fdopen(os.dup(1), "w")
for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if not child:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=answers, flush=True)
else:
    sys.exit()
os.chdir(asked["folder"])
os.environ.clear()
os.environ.update(asked["environment"])
for number, name in enumerate((os.devnull, asked["out"], asked["err"])):
    os.dup2(os.open(name, os.O_RDWR), number)
sys.argv = ["hangtag", *asked["arguments"]]
main()
"""


@cache
def _server() -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    atexit.register(server.communicate)  # its input ends, and so does it
    return server


def hangtag(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command in this folder and environment."""
    words = list(map(str, arguments))
    if not hasattr(os, "fork"):
        command = [sys.executable, "-m", "hangtag", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        out.touch()
        err.touch()
        asked = {"arguments": words, "folder": str(Path.cwd()), "environment": dict(os.environ),
                 "out": str(out), "err": str(err)}  # fmt: skip
        server = _server()
        assert server.stdin is not None
        assert server.stdout is not None
        print(json.dumps(asked), file=server.stdin, flush=True)
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess(words, code, out.read_text(), err.read_text())
