"""`mmfuse runs resume`: the next attempt of a run."""

from __future__ import annotations

from mmfuse_cli.access import open_store
from mmfuse_cli.kept_code import Code, CodeChoice, tell_code, wanted_code
from mmfuse_cli.lazy import examples
from mmfuse_cli.parameters import DataRoot, Detach, Home, Json, NextDevice, Notify, Run
from mmfuse_cli.render import out, out_json, say


@examples("mmfuse runs resume latest", "mmfuse runs resume 7f3a --detach", "mmfuse runs resume latest --code current")
def resume(
    run: Run,
    device: NextDevice = None,
    code: CodeChoice = Code.KEPT,
    detach: Detach = False,
    notify: Notify = None,
    json: Json = False,
    home: Home = None,
    data_root: DataRoot = None,
) -> None:
    """Go on with a run that was stopped or has crashed.

    It goes on from what it saved, as the next attempt of the same run, and ends with the numbers of a run that was
    never interrupted. So it works with the code it was asked for with, whatever was edited since; after mending a
    mistake, take --code current.
    """
    from mmfuse_cli.starting import follow_and_leave, notify_with
    from mmfuse_runs import control

    store = open_store(home)
    run_id = store.find(run)
    notify_with(notify)
    control.resume(store, run_id, device=device, data_root=data_root, code=wanted_code(code, None))
    tell_code(store, run_id)
    if detach:
        out_json({"run": run_id}) if json else out(run_id)
        return
    say(f"run {run_id} goes on")
    follow_and_leave(store, run_id, json=json)
