"""Run every chapter on a GPU and record the result: `make test-gpu`."""

import sys

import torch

from mlcourse.book import runs


def main() -> int:
    """Run the chapters where CUDA is, or say in one sentence that it is not; the exit code."""
    if not torch.cuda.is_available():
        print("No GPU that torch can use is here: run this on a machine with one.", file=sys.stderr)
        return 1
    device = torch.cuda.get_device_name()
    return runs.record("gpu", "make test-gpu", {"device": device, **runs.machine()})


if __name__ == "__main__":
    sys.exit(main())
