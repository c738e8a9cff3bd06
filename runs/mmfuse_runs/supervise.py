"""Entry of the supervisor: ``python -I -S supervise.py RUN_DIR [--adopt] [--detach] [--ticket=DESCRIPTOR:NAME]``.

Runs as a plain file without site-packages, so that it starts in milliseconds and stays small. With ``--detach`` the
process forks at once and the launcher has nothing to reap; without it (under a batch system) it stays in front.
``--ticket`` is a place in the line that the launcher took for the run: a file of the queue, locked and inherited.
"""

import os
import sys

if __name__ == "__main__":
    if "--detach" in sys.argv:
        if os.fork():
            os._exit(0)
        os.setsid()
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120 - pathlib takes longer to load than the launcher waits
    from mmfuse_runs.supervisor import main

    ticket = next((word.removeprefix("--ticket=") for word in sys.argv if word.startswith("--ticket=")), "")
    sys.exit(main(sys.argv[1], adopt="--adopt" in sys.argv, ticket=ticket))
