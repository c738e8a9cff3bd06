"""``python write_extraction.py FILE SECONDS``: a slow extraction that somebody can kill."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import counted_encoder as counted

from mmfuse.extraction.extract import extract

pause = float(sys.argv[2])


def show(done: float, total: float, *, what: str) -> None:
    print(done, flush=True)
    time.sleep(pause)


extract(counted.collection(), "image", counted.encoder(), Path(sys.argv[1]), batch_size=8, progress=show)
