#!/usr/bin/env python3
"""OpenBLAS is loaded by `sightline-model` and by no program that a camera runs.

Usage: test_no_algebra.py SIGHTLINE_MODEL PROGRAM..."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile


def libraries(program):
    done = subprocess.run(["ldd", program], capture_output=True, text=True)
    assert done.returncode == 0, done
    return done.stdout


def says_what_is_missing(sightline):
    with tempfile.TemporaryDirectory() as folder:
        alone = pathlib.Path(folder) / "sightline"
        shutil.copy(sightline, alone)
        done = subprocess.run([alone, "model", "info", "x"], capture_output=True, text=True)
        if done.returncode == 1 and "x: " in done.stderr:
            return  # another one is installed where this one was configured for
        assert done.returncode == 1, done
        assert "the program sightline-model is not installed" in done.stderr, done


def main():
    if not shutil.which("ldd"):
        print("skipped: ldd is not installed")
        return 77
    for program in sys.argv[2:]:
        found = [line for line in libraries(program).splitlines() if "blas" in line or "lapack" in line]
        assert not found, (os.path.basename(program), found)
    says_what_is_missing(sys.argv[2])
    if "blas" not in libraries(sys.argv[1]):
        print("sightline-model was built without linear algebra")
    return 0


sys.exit(main())
