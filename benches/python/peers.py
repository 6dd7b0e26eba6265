"""Runs the Python peers for run.mjs: one JSON request a line in, one JSON answer a line out.

A request is {"contender": name, "inputs": {name: file}, "repetitions": n}; files hold raw doubles or 32-bit integers
and are read once. The answer is {"ms": time of all repetitions, "value": result of the last}. Only this
process or the Node.js one works at any moment.
"""

import gc
import json
import sys
import time
from functools import lru_cache
from importlib.metadata import version

import numpy
from aeon.distances import dtw_distance as aeon_dtw
from dtaidistance import dtw as dtaidistance_dtw
from rapidfuzz.distance import LCSseq
from tsdistances import dtw_distance as tsdistances_dtw
from tslearn.metrics import dtw as tslearn_dtw


@lru_cache(maxsize=None)
def doubles(path):
    return numpy.fromfile(path, dtype=numpy.float64)


@lru_cache(maxsize=None)
def integers(path):
    return numpy.fromfile(path, dtype=numpy.int32).tolist()


@lru_cache(maxsize=None)
def text(path):
    return "".join(chr(0x4E00 + code) for code in integers(path))


# The result of each is brought to ours by run.mjs: dtaidistance and tslearn take the root of the squared sum.
CONTENDERS = {
    "aeon": (doubles, lambda a, b: aeon_dtw(a, b)),
    "aeon, band": (doubles, lambda a, b: aeon_dtw(a, b, window=0.1)),
    "dtaidistance": (doubles, lambda a, b: dtaidistance_dtw.distance_fast(a, b, use_pruning=False)),
    "dtaidistance, pruning": (doubles, lambda a, b: dtaidistance_dtw.distance_fast(a, b, use_pruning=True)),
    "dtaidistance, band": (doubles, lambda a, b: dtaidistance_dtw.distance_fast(a, b, window=len(a) // 10 + 1)),
    "dtaidistance, absolute": (doubles, lambda a, b: dtaidistance_dtw.distance_fast(a, b, inner_dist="euclidean")),
    "tslearn": (doubles, lambda a, b: tslearn_dtw(a, b)),
    "tsdistances": (doubles, lambda a, b: tsdistances_dtw(a, b, par=False)),
    "tsdistances, band": (doubles, lambda a, b: tsdistances_dtw(a, b, band=0.1, par=False)),
    "rapidfuzz, list": (integers, lambda a, b: LCSseq.similarity(a, b)),
    "rapidfuzz, str": (text, lambda a, b: LCSseq.similarity(a, b)),
}

PACKAGES = ["aeon", "dtaidistance", "tslearn", "tsdistances", "rapidfuzz", "numpy", "numba"]


def answer(request):
    if request.get("contender") is None:
        return {"versions": {name: version(name) for name in PACKAGES}, "python": sys.version.split()[0]}
    read, call = CONTENDERS[request["contender"]]
    a, b = read(request["inputs"]["a"]), read(request["inputs"]["b"])
    repetitions = request["repetitions"]
    gc.collect()
    started = time.perf_counter_ns()
    for _ in range(repetitions):
        value = call(a, b)
    return {"ms": (time.perf_counter_ns() - started) / 1e6, "value": float(value)}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
