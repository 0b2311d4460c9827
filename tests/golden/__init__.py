"""Trajectories of other libraries, generated once and kept; the libraries are no dependency of the tests.

    problem.py      the problem that all of them step on
    record.py       what the scripts of this folder share
    make_*.py       the scripts: each writes the files of its libraries, and they say how it was called
    *.json          the points of each run after some steps, with library, version and options
    loader.py       reads the files
    ours.py         what each run is called here
    different.py    the runs that are not ours, and why
    theirs.py       those reasons as rules
    test_golden.py

To generate a file again, install the library somewhere else, put that folder on PYTHONPATH too, and call
the script as it says; what changes in the file is what changed in the library.
"""
