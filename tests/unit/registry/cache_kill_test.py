#!/usr/bin/env python3
"""The extent cache and a process that is killed while it fills it: whatever is found after a restart is right, and what was
in the cache is served while the registry is down.

    cache_kill_test.py CACHE_READER [KILLS]
"""
import os
import random
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
from tiny_registry import tiny_registry  # noqa: E402

READER = sys.argv.pop(1)
KILLS = int(sys.argv.pop(1)) if len(sys.argv) > 1 else 20
SEED = int(os.environ.get("OBD_SEED", random.randrange(1 << 32)))
SIZE = 6 << 20


def blob_bytes():
    return b"".join(((word + 1) * 0x9e3779b97f4a7c15 & (1 << 64) - 1).to_bytes(8, "little") for word in range(SIZE // 8))


class cache_kill(unittest.TestCase):
    def test_killed_while_filling(self):
        print("seed", SEED)
        chance = random.Random(SEED)
        registry = tiny_registry()
        digest = registry.add(blob_bytes())
        with tempfile.TemporaryDirectory() as cache:
            common = [READER, cache, f"http://{registry.host}/v2/a/blobs", digest, str(SIZE)]
            for _ in range(KILLS):
                reader = subprocess.Popen([*common, str(chance.randrange(1 << 32)), "0"], stdout=subprocess.PIPE)
                for _ in range(chance.randint(1, 12)):
                    if not reader.stdout.readline():
                        break
                reader.kill()
                self.assertIn(reader.wait(), (-9,))
                reader.stdout.close()
            # The survivor reads all over it, and fetches what is missing.
            done = subprocess.run([*common, "1", "400"], capture_output=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            fetched = registry.methods().count("GET")
            done = subprocess.run([*common, "1", "400"], capture_output=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertLess(registry.methods().count("GET") - fetched, 10)  # it was all there
            registry.stop()
            done = subprocess.run([*common, "1", "400"], capture_output=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=0)
