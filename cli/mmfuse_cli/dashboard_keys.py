"""``mmfuse tui --keys``: every action of the dashboard with its keys, the user's own among them."""

from __future__ import annotations

from dataclasses import asdict

from mmfuse_cli import render
from mmfuse_cli.table import Column, draw

KEY_COLUMNS = (
    Column("id", "action"),
    Column("keys", "keys"),
    Column("yours", "", leaves=1, colours={"yours": "green"}),
    Column("what", "does", leaves=2),
    Column("where", "on", leaves=3),
)


def list_keys(*, json: bool) -> None:
    """Actions and keys are the answer; mistakes of the user's file are told beside it."""
    from mmfuse_tui.key_map import key_file, listed, load_key_map
    from mmfuse_tui.places import places

    path = key_file()
    key_map = load_key_map(path)
    actions = listed(key_map, places())
    if json:
        own = [asdict(action) | {"yours": action.id in key_map.own} for action in actions]
        render.out_json({"file": str(path), "problems": list(key_map.problems), "actions": own})
        return
    rows = [
        {
            "id": action.id,
            "keys": " ".join(action.keys),
            "what": action.what,
            "where": ", ".join(action.screens),
            "yours": "yours" if action.id in key_map.own else "",
        }
        for action in actions
    ]
    render.out_painted(draw(KEY_COLUMNS, rows, width=render.width()))
    render.say(f'keys of your own go into {path}, such as: run.stop = "f8"')
    for problem in key_map.problems:
        render.warn(problem)
