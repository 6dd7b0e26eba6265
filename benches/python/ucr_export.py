"""Writes data sets of the UCR archive that the aeon wheel carries into a folder, for ucr.mjs.

    python ucr_export.py FOLDER NAME...

For each data set: <NAME>_TRAIN.f64 and <NAME>_TEST.f64, raw little-endian doubles, series after series as they are
shipped, and <NAME>.json with the length of a series and the class of each.
"""

import json
import sys
from pathlib import Path

import aeon.datasets
import numpy

SHIPPED = Path(aeon.datasets.__file__).parent / "data"


def export(folder, name):
    description = {}
    for split in ["TRAIN", "TEST"]:
        series, classes = aeon.datasets.load_from_ts_file(SHIPPED / name / f"{name}_{split}.ts")
        count, channels, length = series.shape
        assert channels == 1 and numpy.isfinite(series).all(), name
        series.astype("<f8").tofile(folder / f"{name}_{split}.f64")
        description[split] = {"count": count, "length": length, "classes": [str(label) for label in classes]}
    (folder / f"{name}.json").write_text(json.dumps(description))


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for wanted in sys.argv[2:]:
        export(target, wanted)
