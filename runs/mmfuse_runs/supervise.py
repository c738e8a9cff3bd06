"""Entry of the supervisor: ``python -I -S supervise.py RUN_DIR [--adopt] [--detach]``.

Runs as a plain file without site-packages, so that it starts in milliseconds and stays small. With ``--detach`` the
process forks at once and the launcher has nothing to reap; without it (under a batch system) it stays in front.
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

    sys.exit(main(sys.argv[1], adopt="--adopt" in sys.argv))
