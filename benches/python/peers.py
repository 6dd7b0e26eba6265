"""Runs the Python peers for run.mjs: one JSON request a line in, one JSON answer a line out.

A request is {"contender": name, "inputs": {name: file}, "repetitions": n}; files hold raw doubles or 32-bit integers
and are read once. The answer is {"ms": time of all repetitions, "value": result of the last}. Only this
process or the Node.js one works at any moment.
"""

import gc
import json
import sys
import time
import warnings
from functools import lru_cache
from importlib.metadata import version

import numpy
from aeon.distances import dtw_distance as aeon_dtw
from aeon.distances import dtw_pairwise_distance as aeon_pairwise
from dtaidistance import dtw as dtaidistance_dtw
from dtaidistance.subsequence.subsequencesearch import SubsequenceSearch
from numba.core.errors import NumbaTypeSafetyWarning
from rapidfuzz.distance import LCSseq
from tsdistances import dtw_distance as tsdistances_dtw
from tslearn.metrics import dtw as tslearn_dtw

# About the integers inside aeon, when it compiles.
warnings.filterwarnings("ignore", category=NumbaTypeSafetyWarning)


@lru_cache(maxsize=None)
def doubles(path):
    return numpy.fromfile(path, dtype=numpy.float64)


@lru_cache(maxsize=None)
def integers(path):
    return numpy.fromfile(path, dtype=numpy.int32).tolist()


@lru_cache(maxsize=None)
def text(path):
    return "".join(chr(0x4E00 + code) for code in integers(path))


@lru_cache(maxsize=None)
def patterns(path):
    """Series of 128 values."""
    return numpy.ascontiguousarray(doubles(path).reshape(-1, 128))


def nearest_by_loop(queries, candidates, window):
    """The best distance so far bounds the next one. dtaidistance's own pruning is off: it costs more than it saves here."""
    total = 0.0
    for query in queries:
        best = numpy.inf
        for candidate in candidates:
            bound = None if best == numpy.inf else best
            best = min(best, dtaidistance_dtw.distance_fast(query, candidate, window=window, max_dist=bound))
        total += best * best
    return total


def nearest_by_search(queries, candidates, window):
    """What dtaidistance offers for the purpose: LB_Keogh and a bound."""
    options = {"use_c": True} if window is None else {"use_c": True, "window": window}
    best = (SubsequenceSearch(query, candidates, dict(options)).kbest_matches_fast(k=1)[0] for query in queries)
    return sum(match.distance**2 for match in best)


def nearest_of_all(queries, candidates, window):
    return aeon_pairwise(queries, candidates, window=window).min(axis=1).sum()


# The result of each is brought to ours by run.mjs: dtaidistance and tslearn take the root of the squared sum. The sums
# over queries are squared here.
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
    "dtaidistance, max_dist": (patterns, lambda a, b: nearest_by_loop(a, b, None)),
    "dtaidistance, max_dist, band": (patterns, lambda a, b: nearest_by_loop(a, b, 13)),
    "dtaidistance, SubsequenceSearch": (patterns, lambda a, b: nearest_by_search(a, b, None)),
    "dtaidistance, SubsequenceSearch, band": (patterns, lambda a, b: nearest_by_search(a, b, 13)),
    "aeon, all distances": (patterns, lambda a, b: nearest_of_all(a, b, None)),
    "aeon, all distances, band": (patterns, lambda a, b: nearest_of_all(a, b, 0.1)),
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
