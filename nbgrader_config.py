"""nbgrader's settings, so that its own tools (formgrader, exchange, export) work on the course.

`mlcourse release` makes source/ and exercises/, `mlcourse grade` fills the gradebook.
"""

from pathlib import Path

from nbgrader.converters import GenerateAssignment
from nbgrader.preprocessors import ClearSolutions

from mlcourse.release import clear


class ClearAnswers(ClearSolutions):
    """Clears solutions as `mlcourse release` does: the two make the same exercise."""

    def preprocess_cell(self, cell, resources, cell_index):
        clear(cell)
        return cell, resources


graded = Path(__file__).resolve().parent / "graded"
graded.mkdir(exist_ok=True)  # SQLite makes the file, not its folder

c = get_config()  # noqa: F821 - nbgrader defines it

c.CourseDirectory.course_id = "mlcourse"
c.CourseDirectory.release_directory = "exercises"
c.CourseDirectory.autograded_directory = "graded/autograded"
c.CourseDirectory.feedback_directory = "graded/nbgrader_feedback"
c.CourseDirectory.db_url = f"sqlite:///{graded / 'gradebook.db'}"
c.GenerateAssignment.preprocessors = [
    ClearAnswers if step is ClearSolutions else step
    for step in GenerateAssignment.preprocessors.default_args[0]
]
