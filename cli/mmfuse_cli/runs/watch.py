"""`mmfuse runs watch`: follow a run without being able to harm it."""

from __future__ import annotations

import typer

from mmfuse_cli.access import open_store
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Home, Json, Run


@examples("mmfuse runs watch latest")
def watch(run: Run, json: Json = False, home: Home = None) -> None:
    """Follow a run until it ends; leaving does not stop it.

    The exit code is the run's: 0 finished, 1 failed, 75 stopped.
    """
    from mmfuse_cli.follow import follow
    from mmfuse_cli.outcome import exit_code, tell

    store = open_store(home, read_only=True)
    run_id = store.find(run)
    ending = follow(store, run_id, ours=False)
    tell(store, run_id, ending, json=json)
    code = exit_code(store, run_id, ending)
    if code:
        raise typer.Exit(code)
