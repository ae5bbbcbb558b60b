"""`complexity` through the real grader: tensors, masks, answers that call others."""

from __future__ import annotations

import pytest
from real_exercises import graded, misjudged, not_passed

from mlcourse import checks

EXERCISE = checks.load("complexity")

NLL = """
def gaussian_nll(y, f, noise):
    squares = (y - f) ** 2 / (2 * noise ** 2)
    constant = 0.5 * math.log(2 * math.pi)
    return (squares + math.log(noise) + constant).sum()
"""

CLASSES = """
def class_nll(logits, labels):
    shifted = logits - logits.max(1, keepdim=True).values
    log_sum = shifted.exp().sum(1).log()
    right = shifted.gather(1, labels[:, None])[:, 0]
    return (log_sum - right).sum()
"""

CODES = """
def code_lengths(x, y, noise, most):
    found = []
    for d in range(most + 1):
        c = np.polyfit(x, y, d)
        f = torch.tensor(np.polyval(c, x))
        k = d + 1
        nats = gaussian_nll(y, f, noise) + k / 2 * math.log(len(x))
        found.append(nats / math.log(2))
    return found
"""

EVIDENCE = """
def log_evidence(X, y, noise, precision):
    N = len(y)
    C = noise ** 2 * torch.eye(N) + X @ X.T / precision
    fit = y @ torch.linalg.inv(C) @ y
    volume = torch.linalg.slogdet(C)[1]
    return -0.5 * fit - 0.5 * volume - N / 2 * math.log(2 * math.pi)
"""

PAIR = """
def gaussian_kl(m1, s1, m2, s2):
    v1, v2 = s1 ** 2, s2 ** 2
    return 0.5 * (torch.log(v2 / v1) + (v1 + (m1 - m2) ** 2) / v2 - 1)
"""

LAYER = """
def weights_kl(mean, log_sigma, log_precision):
    a = torch.exp(log_precision)
    s2 = torch.exp(2 * log_sigma)
    kl = 0.5 * (a * (mean ** 2 + s2) - 1 - torch.log(a * s2))
    return kl.sum()
"""

ENERGY = """
def batch_free_energy(errors, kl, N):
    B = len(errors)
    return N / B * errors.sum() + kl
"""

GRADIENTS = """
def kl_gradients(mean, log_sigma, log_precision):
    a = torch.exp(log_precision)
    s2 = torch.exp(2 * log_sigma)
    each = 0.5 * (a * (mean ** 2 + s2) - 1)
    return a * mean, a * s2 - 1, each.sum(0, keepdim=True)
"""

PRECISION = """
def best_precision(mean, log_sigma):
    squares = mean ** 2 + torch.exp(2 * log_sigma)
    return len(mean) / squares.sum(0, keepdim=True)
"""

DRAW = """
def draw_weights(mean, log_sigma, noise):
    sigma = torch.exp(log_sigma)
    return mean + sigma * noise
"""

OUTPUTS = """
def local_outputs(X, mean, log_sigma, noise):
    m = X @ mean.T
    v = X ** 2 @ torch.exp(2 * log_sigma).T
    return m, v, m + torch.sqrt(v) * noise
"""

RATIO = """
def signal_to_noise(mean, log_sigma):
    ratio = mean / torch.exp(log_sigma)
    return torch.sqrt((ratio ** 2).mean(1))
"""

UNITS = """
def needed_units(kl_in, kl_out, threshold):
    hears = kl_in.sum(1) >= threshold
    speaks = kl_out[:, :-1].sum(0) >= threshold
    return hears & speaks
"""

RIGHT = {
    "gaussian_nll": NLL,
    "class_nll": CLASSES,
    "code_lengths": CODES,
    "log_evidence": EVIDENCE,
    "gaussian_kl": PAIR,
    "weights_kl": LAYER,
    "batch_free_energy": ENERGY,
    "kl_gradients": GRADIENTS,
    "best_precision": PRECISION,
    "draw_weights": DRAW,
    "local_outputs": OUTPUTS,
    "signal_to_noise": RATIO,
    "needed_units": UNITS,
}

#: What a student changes in a right answer, and the mistake that it should be taken for.
EDITS = [
    ("gaussian_nll", ".sum()", ".mean()", "mean"),
    ("gaussian_nll", "return (", "return -(", "likelihood"),
    ("gaussian_nll", "noise ** 2", "noise", "noise_not_squared"),
    ("gaussian_nll", " + constant", "", "no_constant"),
    ("class_nll", "(log_sum - right).sum()", "(log_sum - right).mean()", "mean"),
    ("class_nll", "logits - logits.max(1, keepdim=True).values", "logits", "log_sum_overflows"),
    ("code_lengths", " / math.log(2)", "", "nats"),
    ("code_lengths", "k = d + 1", "k = d", "degree_for_k"),
    ("code_lengths", "k / 2", "k", "not_halved"),
    ("code_lengths", ") + k", ") - k", "subtracted"),
    ("log_evidence", "X.T / precision", "X.T * precision", "precision_for_variance"),
    ("log_evidence", " * torch.eye(N)", "", "noise_everywhere"),
    ("log_evidence", "- 0.5 * volume", "- volume", "volume_not_halved"),
    ("gaussian_kl", "gaussian_kl(m1, s1, m2, s2)", "gaussian_kl(m2, s2, m1, s1)", "exchanged"),
    ("gaussian_kl", "s1 ** 2, s2 ** 2", "s1, s2", "variances"),
    ("gaussian_kl", " - 1)", ")", "no_minus_half"),
    ("gaussian_kl", "torch.log(v2 / v1)", "torch.log(v1 / v2)", "log_upside_down"),
    ("gaussian_kl", "return 0.5 *", "return -0.5 *", "negative"),
    ("weights_kl", "kl.sum()", "kl.mean()", "mean"),
    ("weights_kl", "kl.sum()", "-kl.sum()", "negative"),
    ("weights_kl", "torch.exp(2 * log_sigma)", "torch.exp(log_sigma)", "log_variance"),
    ("weights_kl", "torch.exp(log_precision)", "1 / torch.exp(log_precision)",
     "precision_for_variance"),
    ("batch_free_energy", "+ kl", "- kl", "minus_kl"),
    ("batch_free_energy", "errors.sum() + kl", "(errors.sum() + kl)", "kl_scaled"),
    ("batch_free_energy", "N / B * ", "", "batch_alone"),
    ("kl_gradients", ".sum(0, keepdim=True)", "", "precision_not_summed"),
    ("kl_gradients", "a * s2 - 1, each", "a * torch.sqrt(s2) - 1 / torch.sqrt(s2), each",
     "in_sigma"),
    ("kl_gradients", "return a * mean", "return mean", "mean_without_precision"),
    ("best_precision", " + torch.exp(2 * log_sigma)", "", "no_variance"),
    ("best_precision", "len(mean) / squares.sum(0, keepdim=True)",
     "squares.mean(0, keepdim=True)", "upside_down"),
    ("best_precision", "len(mean) /", "1 /", "sum"),
    ("draw_weights", "torch.exp(log_sigma)", "torch.exp(2 * log_sigma)", "variance"),
    ("draw_weights", "torch.exp(log_sigma)", "log_sigma", "log_sigma"),
    ("local_outputs", "torch.exp(2 * log_sigma).T", "(mean ** 2).T", "squared_means"),
    ("local_outputs", "X ** 2", "X", "x_not_squared"),
    ("local_outputs", "2 * log_sigma", "log_sigma", "sigma_not_squared"),
    ("local_outputs", "torch.sqrt(v)", "v", "no_root"),
    ("signal_to_noise", ".mean(1)", ".mean(0)", "columns"),
    ("signal_to_noise", "torch.exp(log_sigma)", "torch.exp(2 * log_sigma)", "variance"),
    ("needed_units", "hears & speaks", "hears", "incoming_alone"),
    ("needed_units", "hears & speaks", "hears | speaks", "either"),
    ("needed_units", "return hears & speaks", "return ~(hears & speaks)", "upside_down"),
    ("needed_units", ":-1]", "1:]", "first_column_dropped"),
]  # fmt: skip


def test_the_solution_gets_everything(engine, solved):
    for answers in ({}, RIGHT):
        assert not_passed(graded(engine, solved, answers)) == {"explain_waves": "manual"}


def test_the_untouched_exercise_is_not_attempted(engine, untouched):
    rows = graded(engine, untouched, {})
    assert {row.status for row in rows.values()} == {"not attempted"}


def test_mistakes_are_recognised_in_the_worker(engine, untouched):
    assert misjudged(engine, untouched, RIGHT, EDITS) == []


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("weights_kl", "def weights_kl(*args):\n    return 'dear'", "one number"),
        ("needed_units", "def needed_units(*args):\n    pass", "is a `return` missing"),
        (
            "draw_weights",
            DRAW.replace("* noise", "* torch.randn(mean.shape)"),
            "draw none of your own",
        ),
        (
            "weights_kl",
            "from mlcourse.gaussian_weights import gaussian_kl\n",
            "only mlcourse.data and mlcourse.plotting",
        ),
    ],
)
def test_what_is_no_answer_is_told_so(engine, untouched, name, text, says):
    row = graded(engine, untouched, {name: text})[name]
    assert row.points == 0
    assert says in row.message
