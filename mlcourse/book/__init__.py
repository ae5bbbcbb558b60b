"""What the pages of the book are made of: mistake boxes, quizzes, interactive figures, reference
lists, and the tools that execute the chapters (`twins`), measure them (`measure`) and generate
pages (`pages`)."""

from mlcourse.book.bibliography import references
from mlcourse.book.curve_quiz import curve_quiz
from mlcourse.book.errata import mistake
from mlcourse.book.interactive import interactive
from mlcourse.book.quizzes import quiz

__all__ = ["curve_quiz", "interactive", "mistake", "quiz", "references"]
