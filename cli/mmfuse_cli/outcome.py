"""How a run ended, told to people (a table, or one sentence), to programs (JSON) and to the shell (exit code)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmfuse_cli.follow import Ending
from mmfuse_cli.render import error, out_json, out_painted, say
from mmfuse_cli.standings import show_standings
from mmfuse_cli.table import Column, draw
from mmfuse_runs.records import architecture_label, encoders_label
from mmfuse_tui.wording import count, number, span

if TYPE_CHECKING:
    from mmfuse_runs.folder import RunFolder
    from mmfuse_runs.store import RunStore

DONE, FAILED, USAGE, STOPPED, INTERRUPTED = 0, 1, 2, 75, 130


def exit_code(store: RunStore, run_id: str, ending: Ending) -> int:
    """0 finished, 75 stopped, 130 interrupted by Ctrl-C; 1 for every other end, 2 where the spec or data were wrong."""
    if ending.left or (ending.asked_to_stop and ending.state != "finished"):
        return INTERRUPTED
    if ending.state in ("finished", "stopped"):
        return DONE if ending.state == "finished" else STOPPED
    outcome = store.folder(run_id).exit() or {}
    return USAGE if ending.state == "crashed" and outcome.get("exit_code") == USAGE else FAILED


def tell(store: RunStore, run_id: str, ending: Ending, *, json: bool) -> None:
    """Print the result on stdout, and on stderr what to do next if the run did not finish."""
    folder = store.folder(run_id)
    outcome = folder.exit() or {}
    result = outcome.get("result") or {}
    if json:
        out_json({"run": run_id, "state": ending.state, "result": result or None, "error": outcome.get("error")})
    elif result and ending.state == "finished":
        out_painted(draw(RESULT_COLUMNS, result_rows(folder, result)))
        show_standings(folder)
    tell_next(folder, ending, outcome)


RESULT_COLUMNS = (Column("what", "result"), Column("value", ""))


def result_rows(folder: RunFolder, result: Mapping[str, Any]) -> list[dict[str, str]]:
    """Metrics and cost of a finished run, a row each; the dataset's label says when it is a stand-in."""
    rows: dict[str, str] = {"dataset": str(result.get("dataset_label") or "")}
    rows["architecture"] = architecture_label(result.get("architecture"))
    rows["encoders"] = encoders_label(result.get("architecture"))
    rows |= {name: number(_number(value)) for name, value in sorted((result.get("metrics") or {}).items())}
    rows |= {name: f"{rows[name]}  [{_range(*ends)}]" for name, ends in (result.get("intervals") or {}).items()}
    rows |= {
        f"{name}, difference": f"{number(gap['mean'])}  [{_range(gap['low'], gap['high'])}]  p {number(gap['p_value'])}"
        for name, gap in (result.get("differences") or {}).items()
    }
    if result.get("metric") and result.get("score") is not None:
        rows[str(result["metric"])] = number(_number(result["score"]))
    counts = {"parameters": "parameters", "macs": "MACs", "trials": "trials", "epochs": "epochs"}
    rows |= {title: count(result[key]) for key, title in counts.items() if result.get(key)}
    counts = {"items": "items", "dim": "values each", "skipped": "items skipped"}
    rows |= {title: count(result[key]) for key, title in counts.items() if result.get(key)}
    rows |= {name: str(result[name]) for name in ("encoder", "file") if result.get(name)}
    rows["time"] = span(result.get("seconds"))
    if result.get("checkpoint"):
        rows["checkpoint"] = str(folder.path / str(result["checkpoint"]))
    return [{"what": what, "value": value} for what, value in rows.items() if value]


def tell_next(folder: RunFolder, ending: Ending, outcome: Mapping[str, Any]) -> None:
    """On stderr: why the run did not finish, and the command that goes on from here."""
    if ending.left:
        say(f"the run goes on; follow it with: mmfuse runs watch {folder.id}")
    elif ending.state == "stopped":
        say(f"stopped and saved; go on with: mmfuse runs resume {folder.id}")
    elif ending.state == "cancelled":
        say(f"cancelled before it started; start it anew with: mmfuse runs rerun {folder.id}")
    elif ending.state != "finished":
        error(*_failure(folder, ending, outcome))


def _failure(folder: RunFolder, ending: Ending, outcome: Mapping[str, Any]) -> tuple[str, str]:
    problem = outcome.get("error") if ending.state == "crashed" else None
    reason = folder.state().get("reason") or ""
    sentence = (problem or {}).get("message") or f"run {folder.id} {_was(ending.state)}" + (
        f": {reason}" if reason else ""
    )
    logs = folder.log_paths()
    hints = [(problem or {}).get("hint") or "", f"log: {logs[-1]}" if logs else ""]
    if not problem or outcome.get("exit_code") != USAGE:
        hints.append(f"go on with: mmfuse runs resume {folder.id}")
    return sentence, "; ".join(hint for hint in hints if hint)


def _was(state: str) -> str:
    return f"was {state}" if state in ("killed", "lost") else state


def _range(low: Any, high: Any) -> str:
    return f"{number(_number(low))}, {number(_number(high))}"


def _number(value: Any) -> float:
    """A number from JSON; those it has no spelling for arrive as strings (``NaN``, ``Infinity``)."""
    return float(value)
