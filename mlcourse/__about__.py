"""Facts about the course that more than one place needs."""

#: The public repository: Colab, download links and the install line of the exercises use it.
REPOSITORY = "https://github.com/mlcourse/mlcourse"
