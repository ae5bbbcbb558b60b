"""Write the sample class into the folder that the command line names."""

import sys
from pathlib import Path

from mlcourse.sample_class import write

if len(sys.argv) != 2:
    sys.exit("usage: python -m mlcourse.sample_class FOLDER")
try:
    submitted = write(Path(sys.argv[1]))
except (OSError, ValueError) as error:
    sys.exit(str(error))
print(f"{len(list(submitted.iterdir()))} invented students in {submitted}")
