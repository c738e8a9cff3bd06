"""`mmfuse runs`: the names of its commands and where they live."""

from __future__ import annotations

from mmfuse_cli.lazy import Entry, LazyGroup, plain_app


class RunsGroup(LazyGroup):
    """Everything that can be done with runs."""

    ENTRIES = {
        "ls": Entry("mmfuse_cli.runs.ls:ls", "List runs, newest first."),
        "show": Entry("mmfuse_cli.runs.show:show", "Show everything about one run."),
        "logs": Entry("mmfuse_cli.runs.logs:logs", "Print what a run wrote to its log."),
        "tail": Entry("mmfuse_cli.runs.tail:tail", "Print what a run measures, row by row."),
        "watch": Entry("mmfuse_cli.runs.watch:watch", "Follow a run until it ends; leaving does not stop it."),
        "stop": Entry("mmfuse_cli.runs.control:stop", "Ask runs to save and stop; they can be resumed."),
        "kill": Entry("mmfuse_cli.runs.control:kill", "End runs at once; what they saved stays."),
        "pause": Entry("mmfuse_cli.runs.control:pause", "Hold runs where they are."),
        "continue": Entry("mmfuse_cli.runs.control:continue_", "Let paused runs go on."),
        "move": Entry("mmfuse_cli.runs.move:move", "Move runs that wait for their slot within the line."),
        "resume": Entry("mmfuse_cli.runs.resume:resume", "Go on with a run that was stopped or has crashed."),
        "adopt": Entry("mmfuse_cli.runs.control:adopt", "Supervise runs again whose supervisor died."),
        "compare": Entry("mmfuse_cli.runs.compare:compare", "Put runs side by side, best first."),
        "diff": Entry(
            "mmfuse_cli.runs.diff:diff", "Show where the settings, results, code and packages of runs differ."
        ),
        "cmd": Entry("mmfuse_cli.runs.cmd:cmd", "Print the command that does the same again."),
        "rerun": Entry("mmfuse_cli.runs.rerun:rerun", "Start a new run with the settings of an old one."),
        "baselines": Entry("mmfuse_cli.runs.baselines:baselines", "Queue what a search must be compared with."),
        "tag": Entry("mmfuse_cli.runs.notes:tag", "Add tags to runs, or take them away."),
        "note": Entry("mmfuse_cli.runs.notes:note", "Name, star or annotate a run."),
        "rm": Entry("mmfuse_cli.runs.remove:rm", "Move runs to the trash, or remove them for good."),
        "restore": Entry("mmfuse_cli.runs.restore:restore", "Put removed runs back; without a name, list them."),
        "import": Entry("mmfuse_cli.runs.import_:import_", "Make runs of what another program measured."),
        "export": Entry("mmfuse_cli.runs.export:export", "Write runs as CSV, JSON, Markdown or LaTeX."),
        "fsck": Entry("mmfuse_cli.runs.fsck:fsck", "Find damage in the run store, and mend it."),
        "gc": Entry("mmfuse_cli.runs.remove:gc", "Remove runs by age, length and state."),
    }


app = plain_app(cls=RunsGroup, no_args_is_help=False)


@app.callback()
def runs() -> None:
    """List, look at, control and compare runs."""
