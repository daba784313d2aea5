"""Makes the modules of ``backends`` beside this file backends, in any Python started with this folder on its path.

Python loads one such file only, the first on its path: the next one is loaded here.
"""

import runpy
import sys
from pathlib import Path

import tuner.backends

tuner.backends.__path__.append(str(Path(__file__).parent / "backends"))

for folder in sys.path[sys.path.index(str(Path(__file__).parent)) + 1 :]:
    if (Path(folder) / "sitecustomize.py").is_file():
        runpy.run_path(str(Path(folder) / "sitecustomize.py"))
        break
