"""What every test needs, in whatever folder it stands."""

import os
import signal

from hypothesis import HealthCheck, settings

# Fixtures of runs name the test process as a live run's supervisor, and a request nudges a supervisor with SIGUSR1,
# whose default is to end the process. A handler, unlike SIG_IGN, is not passed on to the programs that tests start.
signal.signal(signal.SIGUSR1, lambda number, frame: None)

# Keys of the dashboard are the usual ones, whatever the developer has in their own file.
os.environ["MMFUSE_KEYS"] = os.devnull

# Laws are laws on a busy machine too: no example fails for being slow, the first of which may import a library.
# Examples are the same each time, so that a change is judged by what it changed; MMFUSE_EXPLORE=1 looks for others.
settings.register_profile(
    "mmfuse",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="MMFUSE_EXPLORE" not in os.environ,
)
settings.load_profile("mmfuse")
