"""``python write_latents.py FILE SECONDS``: write the world's image latents slowly, so that somebody can kill it."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import latent_world as world

from mmfuse.data.latents_writer import LatentWriter

path, pause = Path(sys.argv[1]), float(sys.argv[2])
with LatentWriter(path, world.table(), world.column()) as writer:
    for batch in writer.pending():
        writer.write(batch.start, world.vectors(batch))
        print(batch.start, flush=True)
        time.sleep(pause)
    writer.publish()
