#!/usr/bin/env python3
"""Tells the story of the shop mesh on real programs: every step is a check. See --help."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

from story import tell  # noqa: E402

sys.exit(tell.main())
