"""One attempt at a small contrastive training, in a process that may be killed: ``FOLDER POLLS-UNTIL-DEATH``.

Rows reach ``FOLDER/rows.jsonl`` when they are flushed, and are lost with the process otherwise.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import torch
from latent_pairs import FIT, SMALL, Listener, world

from mmfuse.architecture import Architecture
from mmfuse.spec import FitOptions
from mmfuse.training.contrastive import fit_contrastive

folder, deadline = Path(sys.argv[1]), int(sys.argv[2])
polls = 0


class Writer(Listener):
    def resumed(self, step):
        self.rows.append((step, {"resumed": 1.0}))

    def flush(self):
        with (folder / "rows.jsonl").open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in self.rows)
        self.rows = []


def poll():
    global polls
    polls += 1
    if polls == deadline:
        os.kill(os.getpid(), signal.SIGKILL)
    return False


folder.mkdir(parents=True, exist_ok=True)
torch.rand(deadline)  # what was drawn before must not matter
fit_contrastive(
    Architecture("fusemix", SMALL | {"noise": 0.1}),
    world(captions=2),
    FitOptions(**FIT | {"checkpoint_every": 4, "checkpoint_seconds": 3600.0}),
    seed=3,
    device=torch.device("cpu"),
    folder=folder,
    reporter=(writer := Writer()),
    should_stop=poll,
    provenance={},
)
writer.flush()
