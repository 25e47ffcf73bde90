#!/usr/bin/env python3
"""Nothing that decides about a bundle can ask for the time of day: no_clock.py NM LIBRARY...

So no expiry, and no clock of 1970 or 2100, can block a camera. The libraries of the verifier, the state,
the slots, the agent's decisions and the broker's protocol must need none of the C library's clocks."""

import subprocess
import sys

CLOCKS = {"time", "gettimeofday", "clock_gettime", "ftime", "timespec_get", "localtime", "localtime_r", "gmtime", "gmtime_r",
          "mktime", "timegm", "strptime", "difftime", "ctime", "asctime", "strftime", "__clock_gettime64", "__time64"}


def needed(nm, library):
    told = subprocess.run([nm, "--undefined-only", "--format=posix", library], check=True, capture_output=True, text=True)
    return {line.split()[0].split("@")[0] for line in told.stdout.splitlines() if line and not line.endswith(":")}


def main():
    nm, libraries = sys.argv[1], sys.argv[2:]
    wrong = 0
    for library in libraries:
        found = needed(nm, library)
        assert found, f"{library}: nm says nothing"  # the check must be able to fail
        for clock in sorted(found & CLOCKS):
            print(f"{library}: asks for {clock}")
            wrong += 1
    print(f"{len(libraries)} libraries, {wrong} clocks")
    return 1 if wrong or not libraries else 0


if __name__ == "__main__":
    sys.exit(main())
