"""mmfuse: multimodal fusion architectures, the searches that find them, and honest measurements of both.

The library half of the project. It knows nothing of runs, terminals or storage and can be used from a notebook;
importing this package imports no torch (see ``mmfuse.registry`` for how that is kept true).
"""

__version__ = "0.1.0"
