"""What every notebook of the course says about its language; its Python's version is left out.

With the version, a notebook would change whenever somebody else's Python ran it.
"""

LANGUAGE_INFO = {
    "codemirror_mode": {"name": "ipython", "version": 3},
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
}
