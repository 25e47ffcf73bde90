#!/usr/bin/env python3
"""kernelcheck finds kernels with one mistake each, and refuses what it does not know.

usage: test_kernelcheck.py KERNELCHECK KERNELCHECK_WITH_BROKEN_KERNELS
"""

import os
import subprocess
import sys
import unittest

CHECK = BROKEN = ""


def run(program, *arguments, **environment):
    return subprocess.run(
        [program, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )


class Mistakes(unittest.TestCase):
    def found(self, kernel, text):
        result = run(BROKEN, kernel)
        self.assertEqual(result.returncode, 1, result)
        self.assertIn(text, result.stdout + result.stderr)
        self.assertIn("of seed 1", result.stdout + result.stderr)
        self.assertIn(kernel, result.stdout + result.stderr)

    def test_other_bytes(self):
        for kernel in (
            "broken_widen_tail",
            "broken_max_q8_forgets_column",
            "broken_quantize_rounds_up",
            "broken_dequantize_last_bit",
            "broken_conv_dot_saturates",
        ):
            with self.subTest(kernel=kernel):
                self.found(kernel, "DIFFERS")

    def test_beyond_the_buffer(self):
        self.found("broken_widen_writes_behind", "touched a guard page")
        self.found("broken_widen_reads_before", "touched a guard page")

    def test_missing_instruction(self):
        self.found("broken_lookup_illegal", "illegal instruction")

    def test_the_others_are_not_blamed(self):
        result = run(BROKEN, "cpu_widen", "--rounds", "5", "cpu_max")
        self.assertEqual(result.returncode, 0, result)
        self.assertIn("seed 1, 5 rounds", result.stdout)
        self.assertIn("cpu_max_q8_c", result.stdout)


class CommandLine(unittest.TestCase):
    def test_refused(self):
        for arguments in (
            ["--frobnicate"],
            ["--isa"],
            ["--isa", "mmx"],
            ["--seed", "one"],
            ["--seed", "-1"],
            ["--rounds", "0"],
            ["--rounds", "5x"],
            ["--best", ""],
        ):
            with self.subTest(arguments=arguments):
                result = run(CHECK, *arguments)
                self.assertEqual(result.returncode, 2)
                self.assertIn("--help", result.stderr)

    def test_nothing_to_check_is_a_failure(self):
        result = run(CHECK, "no_such_kernel")
        self.assertEqual(result.returncode, 1)
        self.assertIn("nothing was checked", result.stderr)

    def test_help_and_list(self):
        self.assertIn("--seed", run(CHECK, "--help").stdout)
        lines = run(CHECK, "--list", "conv_").stdout.splitlines()
        self.assertTrue(lines and all("conv_" in line for line in lines), lines)

    def test_cap(self):
        result = run(CHECK, "--rounds", "2", SIGHTLINE_CPU="c")
        self.assertEqual(result.returncode, 0, result)
        self.assertIn("0 variants compared", result.stdout)
        for line in result.stdout.splitlines():
            self.assertNotRegex(line, r"\bsame\b")

    def test_seed_is_printed_and_repeats(self):
        first, second = (run(CHECK, "--seed", "77", "--rounds", "3") for _ in range(2))
        self.assertTrue(first.stdout.startswith("seed 77, 3 rounds"))
        self.assertEqual(first.stdout, second.stdout)

    def test_times(self):
        result = run(CHECK, "--bench", "--rounds", "1", "max_q8")
        for line in result.stdout.splitlines()[1:-1]:
            self.assertRegex(line, r"not run: needs|\d ns +\d+\.\d\d x C$")


if __name__ == "__main__":
    BROKEN = sys.argv.pop()
    CHECK = sys.argv.pop()
    unittest.main(verbosity=2)
