"""`mmfuse runs watch`: follow a run without being able to harm it."""

from __future__ import annotations

import typer

from mmfuse_cli.access import open_store
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import Home, Json, Picture, Plots, Run


@examples("mmfuse runs watch latest", "mmfuse runs watch 7f3a --plot val/loss --plot score")
def watch(run: Run, plot: Plots = None, save: Picture = None, json: Json = False, home: Home = None) -> None:
    """Follow a run until it ends; leaving does not stop it.

    With --plot the curves grow below, and are printed (or saved) when the run has ended or you leave. The exit code is
    the run's: 0 finished, 1 failed, 75 stopped.
    """
    from mmfuse_cli.follow import follow
    from mmfuse_cli.outcome import exit_code, tell

    store = open_store(home, read_only=True)
    run_id = store.find(run)
    ending = follow(store, run_id, ours=False, drawn=plot or ())
    tell(store, run_id, ending, json=json)
    if (plot or save) and not json:
        from mmfuse_cli.plots import show_plots

        show_plots(store, [store.record(run_id)], plot, save)
    code = exit_code(store, run_id, ending)
    if code:
        raise typer.Exit(code)
