"""Hypergradients against closed forms, central differences and each other, in float64."""

import math
import re
import subprocess
import sys
import warnings

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from mlcourse import unrolled
from mlcourse.hypergrad import METHODS, hypergradient, inner_gradient_norm
from mlcourse.second_order import newton

#: Options with which every method runs.
OPTIONS = {
    "reverse": {"steps": 5, "lr": 0.1},
    "forward": {"steps": 5, "lr": 0.1},
    "truncated": {"steps": 5, "lr": 0.1, "keep": 2},
    "first_order": {},
    "unrolled_step": {"lr": 0.1},
    "finite_difference": {"lr": 0.1},
    "neumann": {"terms": 5, "lr": 0.1},
    "cg": {"steps": 50},
    "fixed_point": {"steps": 5, "lr": 0.1},
    "exact": {},
}


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def error(got: torch.Tensor, expected: torch.Tensor) -> float:
    return float((got - expected).norm() / expected.norm())


def flat(tensors) -> torch.Tensor:
    if isinstance(tensors, torch.Tensor):
        return tensors.flatten()
    values = tensors.values() if isinstance(tensors, dict) else tensors
    return torch.cat([t.flatten() for t in values])


def with_values(vector: torch.Tensor, like: dict) -> dict:
    """The vector's numbers in the structure of a dict of tensors."""
    pieces = vector.split([t.numel() for t in like.values()])
    return {name: p.view(t.shape) for (name, t), p in zip(like.items(), pieces, strict=True)}


def central_differences(f, hyper: torch.Tensor, step: float = 1e-5) -> torch.Tensor:
    """The gradient of f at hyper (m,), from two values for each of its numbers."""
    moves = step * torch.eye(len(hyper), dtype=hyper.dtype)
    return torch.stack([(f(hyper + move) - f(hyper - move)) / (2 * step) for move in moves])


class Ridge:
    """Ridge regression with 20 weights, each with its own penalty, or all with the same."""

    def __init__(self, penalties: int = 20, seed: int = 0) -> None:
        self.X, self.y = normal(60, 20, seed=seed), normal(60, seed=seed + 1)
        self.X_val, self.y_val = normal(40, 20, seed=seed + 2), normal(40, seed=seed + 3)
        self.hyper = normal(penalties, seed=seed + 4).abs() / 5 + 0.05
        self.w = self.minimum(self.hyper)
        self.H = self.hessian(self.hyper)
        self.u = self.X_val.T @ (self.X_val @ self.w - self.y_val) / 40
        #: Largest and smallest eigenvalue of the Hessian.
        self.smallest, *_, self.largest = torch.linalg.eigvalsh(self.H).tolist()
        self.lr = 1 / self.largest

    def inner(self, w, hyper):
        return (self.X @ w - self.y).square().mean() / 2 + (hyper * w.square()).sum()

    def outer(self, w, hyper):
        return (self.X_val @ w - self.y_val).square().mean() / 2

    def hessian(self, hyper):
        return self.X.T @ self.X / 60 + 2 * torch.diag(hyper.expand(20))

    def minimum(self, hyper):
        return torch.linalg.solve(self.hessian(hyper), self.X.T @ self.y / 60)

    def mixed(self, q):
        """M^T q: the derivative of 2 h w in h is 2 w."""
        each = 2 * self.w * q
        return each if len(self.hyper) == 20 else each.sum(0, keepdim=True)

    @property
    def closed_form(self):
        return -self.mixed(torch.linalg.solve(self.H, self.u))

    def hypergradient(self, method, w=None, **options):
        w = self.w if w is None else w
        return hypergradient(self.inner, self.outer, w, self.hyper, method, **options)


@pytest.fixture(params=[20, 1], ids=["a penalty each", "one penalty"])
def ridge(request):
    return Ridge(request.param)


class Net:
    """A smooth network; its penalties, one a tensor, and weights of examples are learned."""

    def __init__(self, seed: int = 0, n: int = 12) -> None:
        self.X, self.y = normal(n, 3, seed=seed), normal(n, 2, seed=seed + 1)
        self.X_val, self.y_val = normal(n, 3, seed=seed + 2), normal(n, 2, seed=seed + 3)
        torch.manual_seed(seed)
        self.model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
        self.w = {name: p.detach() for name, p in self.model.named_parameters()}
        self.hyper = {
            "examples": normal(n, seed=seed + 4),
            "penalties": normal(4, seed=seed + 5) - 3,
            "slope": normal(1, seed=seed + 6)[0],
        }

    def inner(self, w, hyper):
        each = (functional_call(self.model, w, self.X) - self.y).square().mean(1)
        penalties = zip(w.values(), hyper["penalties"], strict=True)
        return (hyper["examples"].sigmoid() * each).mean() + sum(
            penalty.exp() * p.square().sum() for p, penalty in penalties
        )

    def outer(self, w, hyper):
        """It depends on the hyper-parameters through w, and on one directly too."""
        output = functional_call(self.model, w, self.X_val)
        return F.mse_loss(output * hyper["slope"], self.y_val) + hyper["slope"] ** 2

    def trained(self, hypers, lr, momentum=0.0):
        """Weights after steps of torch's SGD, each with its own hyper-parameters."""
        w = {name: p.clone().requires_grad_() for name, p in self.w.items()}
        optimizer = torch.optim.SGD(w.values(), lr=lr, momentum=momentum)
        for hyper in hypers:
            optimizer.zero_grad()
            self.inner(w, hyper).backward()
            optimizer.step()
        return {name: p.detach() for name, p in w.items()}

    def differences(self, steps, lr, momentum=0.0, keep=None):
        """Differences of the whole path, with the hyper-parameters moved in the last `keep`."""
        before = [self.hyper] * (0 if keep is None else steps - keep)

        def outer_after(hyper):
            hyper = with_values(hyper, self.hyper)
            hypers = before + [hyper] * (steps - len(before))
            return self.outer(self.trained(hypers, lr, momentum), hyper)

        return central_differences(outer_after, flat(self.hyper))

    def hypergradient(self, method, w=None, **options):
        w = self.w if w is None else w
        return flat(hypergradient(self.inner, self.outer, w, self.hyper, method, **options))


# The closed form


def test_the_closed_form_is_the_derivative_of_the_solution(ridge):
    hyper = ridge.hyper.clone().requires_grad_()
    ridge.outer(ridge.minimum(hyper), hyper).backward()
    assert error(ridge.closed_form, hyper.grad) < 1e-12


def test_the_implicit_methods_find_the_closed_form(ridge):
    assert error(ridge.hypergradient("exact"), ridge.closed_form) < 1e-12
    assert error(ridge.hypergradient("cg", steps=50), ridge.closed_form) < 1e-8
    enough = math.ceil(math.log(1e-11) / math.log1p(-ridge.lr * ridge.smallest))
    for method, count in (("neumann", "terms"), ("fixed_point", "steps")):
        got = ridge.hypergradient(method, lr=ridge.lr, **{count: enough})
        assert error(got, ridge.closed_form) < 1e-9


def test_the_unrolled_methods_approach_the_closed_form(ridge):
    """As the steps lead to the minimum; the derivative arrives later than the weights."""
    start = torch.zeros(20, dtype=torch.float64)
    errors = [
        error(ridge.hypergradient("reverse", start, steps=T, lr=ridge.lr), ridge.closed_form)
        for T in (10, 100, 1000)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_on_random_ridges_exact_and_cg_agree(seed):
    ridge = Ridge(seed=100 * seed)
    assert error(ridge.hypergradient("cg", steps=25), ridge.hypergradient("exact")) < 1e-8


def test_damping_is_added_to_the_hessian(ridge):
    damped = ridge.H + 0.3 * torch.eye(20, dtype=torch.float64)
    expected = -ridge.mixed(torch.linalg.solve(damped, ridge.u))
    assert error(ridge.hypergradient("exact", damping=0.3), expected) < 1e-12
    assert error(ridge.hypergradient("cg", steps=50, damping=0.3), expected) < 1e-8
    neumann = ridge.hypergradient("neumann", terms=500, lr=ridge.lr / 2, damping=0.3)
    assert error(neumann, expected) < 1e-8


# Errors that are known


def test_neumann_leaves_a_known_error_that_falls_geometrically(ridge):
    shrink = torch.eye(20, dtype=torch.float64) - ridge.lr * ridge.H
    q = torch.linalg.solve(ridge.H, ridge.u)
    norms = []
    for terms in (1, 2, 10, 100, 101):
        got = ridge.hypergradient("neumann", terms=terms, lr=ridge.lr)
        left = torch.linalg.matrix_power(shrink, terms) @ q
        torch.testing.assert_close(
            got - ridge.closed_form, ridge.mixed(left), rtol=1e-7, atol=1e-13
        )
        norms.append(float(left.norm()))
        assert norms[-1] <= (1 - ridge.lr * ridge.smallest) ** terms * float(q.norm())
    # In the end only the direction of the smallest eigenvalue is left.
    assert norms[-1] / norms[-2] == pytest.approx(1 - ridge.lr * ridge.smallest, rel=0.02)


def test_fixed_point_without_momentum_is_neumann_with_as_many_terms(ridge):
    for count in (1, 2, 7):
        got = ridge.hypergradient("fixed_point", steps=count, lr=ridge.lr)
        expected = ridge.hypergradient("neumann", terms=count, lr=ridge.lr)
        assert error(got, expected) < 1e-12


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_fixed_point_is_reverse_from_the_minimum(ridge, momentum):
    options = {"steps": 30, "lr": ridge.lr, "momentum": momentum}
    got = ridge.hypergradient("fixed_point", **options)
    assert error(got, ridge.hypergradient("reverse", **options)) < 1e-11


def test_truncated_reverse_forgets_the_first_steps_geometrically(ridge):
    shrinks = 1 - ridge.lr * ridge.smallest
    whole = ridge.hypergradient("reverse", steps=200, lr=ridge.lr)
    bound = 2 * float(ridge.w.abs().max() * ridge.u.norm()) / ridge.smallest * math.sqrt(20)
    errors = []
    for keep in (1, 10, 50, 199):
        got = ridge.hypergradient("truncated", steps=200, lr=ridge.lr, keep=keep)
        errors.append(float((got - whole).norm()))
        assert errors[-1] <= bound * shrinks**keep
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0


# Differences of the whole path, as torch.optim.SGD walks it


@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_reverse_is_the_derivative_of_all_steps(momentum):
    net = Net()
    got = net.hypergradient("reverse", steps=15, lr=0.2, momentum=momentum)
    assert error(got, net.differences(15, 0.2, momentum)) < 1e-7


@pytest.mark.parametrize("momentum", [0.0, 0.8])
@pytest.mark.parametrize("keep", [1, 4])
def test_truncated_is_the_derivative_of_the_last_steps(momentum, keep):
    net = Net()
    got = net.hypergradient("truncated", steps=15, lr=0.2, momentum=momentum, keep=keep)
    assert error(got, net.differences(15, 0.2, momentum, keep)) < 1e-7


def test_unrolled_step_is_the_derivative_of_one_step():
    net = Net()
    got = net.hypergradient("unrolled_step", lr=0.2)
    assert error(got, net.differences(1, 0.2)) < 1e-7


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_forward_and_truncated_with_all_steps_are_reverse(seed, momentum):
    net = Net(seed=10 * seed, n=5 + seed)
    options = {"steps": 8 + seed, "lr": 0.3, "momentum": momentum}
    expected = net.hypergradient("reverse", **options)
    assert error(net.hypergradient("forward", **options), expected) < 1e-12
    got = net.hypergradient("truncated", keep=8 + seed, **options)
    assert torch.equal(got, expected)


@pytest.mark.parametrize("momentum", [0.0, 0.8])
@pytest.mark.parametrize("keep", [1, 4, 9])
def test_recomputing_the_steps_changes_nothing(momentum, keep):
    net = Net()
    options = {"steps": 9, "lr": 0.3, "momentum": momentum, "keep": keep}
    expected = net.hypergradient("truncated", **options)
    assert error(net.hypergradient("truncated", recompute=True, **options), expected) < 1e-12
    if options.pop("keep") == 9:
        assert error(net.hypergradient("reverse", recompute=True, **options), expected) < 1e-12


def test_forward_in_parts_is_forward(monkeypatch):
    net = Net()
    expected = net.hypergradient("forward", steps=3, lr=0.3)
    monkeypatch.setattr(unrolled, "_TOGETHER", 4)
    assert error(net.hypergradient("forward", steps=3, lr=0.3), expected) < 1e-12


@pytest.mark.slow
def test_forward_is_silent_in_a_new_process():
    """torch warns of its own code when forward mode is first used."""
    code = (
        "import torch; from mlcourse.hypergrad import hypergradient as hg; f = lambda w, h: w * h;"
        "one = torch.tensor(1.0); print(hg(f, f, one, one, 'forward', steps=1, lr=0.1))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    # w = 1 - 0.1 h, so w h has the derivative 1 - 0.2 h.
    assert done.stdout == "tensor(0.8000)\n"


def test_a_learning_rate_is_a_hyper_parameter_when_inner_is_multiplied_by_it():
    net = Net()
    penalties = net.hyper

    def after(lr):
        w = net.trained([penalties] * 6, float(lr[0]))
        return net.outer(w, penalties)

    got = hypergradient(
        lambda w, h: h * net.inner(w, penalties),
        lambda w, h: net.outer(w, penalties),
        net.w,
        torch.tensor([0.2], dtype=torch.float64)[0],
        "reverse",
        steps=6,
        lr=1.0,
    )
    expected = central_differences(after, torch.tensor([0.2], dtype=torch.float64))
    assert error(got, expected[0]) < 1e-7


# First order and finite differences


def test_first_order_is_the_direct_part_alone():
    net = Net()
    got = hypergradient(net.inner, net.outer, net.w, net.hyper, "first_order")
    expected = central_differences(
        lambda h: net.outer(net.w, with_values(h, net.hyper)), flat(net.hyper)
    )
    torch.testing.assert_close(flat(got), expected, rtol=1e-8, atol=1e-10)
    assert not got["examples"].any()
    assert got["slope"] != 0


@pytest.mark.parametrize("seed", range(4))
def test_the_finite_difference_approaches_the_unrolled_step(seed):
    net = Net(seed=10 * seed)
    got = net.hypergradient("finite_difference", lr=0.2)
    exact = net.hypergradient("unrolled_step", lr=0.2)
    assert error(got, exact) < 1e-3
    assert error(net.hypergradient("first_order"), exact) > 1e-3


def test_the_finite_difference_is_exact_where_inner_is_quadratic(ridge):
    start = normal(20, seed=9)
    got = ridge.hypergradient("finite_difference", start, lr=0.1)
    assert error(got, ridge.hypergradient("unrolled_step", start, lr=0.1)) < 1e-9


def test_the_finite_difference_with_an_outer_that_is_flat_in_w_is_the_direct_part():
    got = hypergradient(
        lambda w, h: (h * w * w).sum(),
        lambda w, h: (h * h).sum() + 0 * w.sum(),
        normal(3),
        normal(3, seed=1),
        "finite_difference",
        lr=0.1,
    )
    torch.testing.assert_close(got, 2 * normal(3, seed=1))


# The implicit methods on a network, and where inner is no bowl


def test_at_a_network_s_minimum_the_methods_agree_with_training_again():
    net = Net(n=40)

    def minimum(hyper, w):
        f = lambda x: net.inner(with_values(x, net.w), hyper)  # noqa: E731
        return with_values(newton(f, flat(w), steps=30, line_search=True).x, net.w)

    w = minimum(net.hyper, net.trained([net.hyper] * 300, 0.3, 0.9))
    assert inner_gradient_norm(net.inner, w, net.hyper) < 1e-9

    def outer_again(hyper):
        hyper = with_values(hyper, net.hyper)
        return net.outer(minimum(hyper, w), hyper)

    expected = central_differences(outer_again, flat(net.hyper))
    assert error(net.hypergradient("exact", w), expected) < 1e-6
    assert error(net.hypergradient("cg", w, steps=60), expected) < 1e-6
    got = net.hypergradient("fixed_point", w, steps=600, lr=0.3, momentum=0.9)
    assert error(got, expected) < 1e-6


def test_exact_solves_at_a_saddle_where_cg_warns():
    def saddle(w, h):
        return 0.5 * (3 * w[0] ** 2 - 2 * w[1] ** 2) + h @ w

    def outer(w, h):
        return 5 * w[0] + 7 * w[1]

    w, hyper = torch.zeros(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    got = hypergradient(saddle, outer, w, hyper, "exact")
    torch.testing.assert_close(got, torch.tensor([-5 / 3, 7 / 2], dtype=torch.float64))
    with pytest.warns(RuntimeWarning, match=r"CG stopped after 0 of 10 steps: minimise inner"):
        assert not hypergradient(saddle, outer, w, hyper, "cg", steps=10).any()
    damped = hypergradient(saddle, outer, w, hyper, "cg", steps=10, damping=3.0)
    torch.testing.assert_close(damped, torch.tensor([-5 / 6, -7.0], dtype=torch.float64))


def test_exact_refuses_a_singular_hessian_unless_damped():
    def flat_in_one(w, h):
        return w[0] ** 2 + h * w[0]

    arguments = flat_in_one, lambda w, h: w.sum(), torch.zeros(2), torch.tensor(0.0), "exact"
    with pytest.raises(ValueError, match=r"^the Hessian of inner with damping 0.0 is singular: g"):
        hypergradient(*arguments)
    assert hypergradient(*arguments, damping=2.0) == -0.25


@pytest.mark.parametrize(("method", "count"), [("neumann", "terms"), ("fixed_point", "steps")])
def test_growing_terms_are_warned_of(ridge, method, count):
    stable, growing = 1.9 / ridge.largest, 2.2 / ridge.largest
    with pytest.warns(RuntimeWarning, match=rf"^the terms grow with lr {growing}: take a smaller"):
        ridge.hypergradient(method, lr=growing, **{count: 200})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ridge.hypergradient(method, lr=stable, **{count: 200})
        ridge.hypergradient(method, lr=growing, **{count: 1})


def test_the_norm_of_the_inner_gradient_bounds_the_distance(ridge):
    w = ridge.w + 0.1 * normal(20, seed=8)
    norm = inner_gradient_norm(ridge.inner, w, ridge.hyper)
    assert norm == pytest.approx(float((ridge.H @ (w - ridge.w)).norm()))
    assert float((w - ridge.w).norm()) <= norm / ridge.smallest
    assert inner_gradient_norm(ridge.inner, ridge.w, ridge.hyper) < 1e-13


# Structures


@pytest.mark.parametrize("method", METHODS)
def test_a_dict_a_tuple_a_list_and_a_tensor_give_the_same(method):
    def inner(w, h):
        return (w[0] ** 2 * h[0]).sum() + (w[1] ** 2).sum() * h[1] + (w[0].sum() - h[1]) ** 2

    def outer(w, h):
        return ((w[0] - 1) ** 2).sum() + (w[1] ** 3).sum() + h[0].prod() * h[1]

    w, hyper = (normal(2, 3), normal(4, seed=1)), (normal(3, seed=2).exp(), normal(1, seed=3)[0])
    expected = hypergradient(inner, outer, w, hyper, method, **OPTIONS[method])
    assert isinstance(expected, tuple)
    assert [t.shape for t in expected] == [(3,), ()]

    got = hypergradient(inner, outer, list(w), list(hyper), method, **OPTIONS[method])
    assert isinstance(got, list)
    named = hypergradient(
        lambda w, h: inner((w["a"], w["b"]), (h["x"], h["y"])),
        lambda w, h: outer((w["a"], w["b"]), (h["x"], h["y"])),
        dict(zip("ab", w, strict=True)),
        dict(zip("xy", hyper, strict=True)),
        method,
        **OPTIONS[method],
    )
    assert list(named) == ["x", "y"]
    vector = hypergradient(
        lambda w, h: inner((w[:6].view(2, 3), w[6:]), (h[:3], h[3])),
        lambda w, h: outer((w[:6].view(2, 3), w[6:]), (h[:3], h[3])),
        flat(w),
        flat(hyper),
        method,
        **OPTIONS[method],
    )
    for other in (got, named, vector):
        torch.testing.assert_close(flat(other), flat(expected), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_parameters_stay_as_they_are_and_gradients_may_be_off(method):
    net = Net()
    w = dict(net.model.named_parameters())
    hyper = {name: nn.Parameter(h.clone()) for name, h in net.hyper.items()}
    before = [p.clone() for p in (*w.values(), *hyper.values())]
    expected = net.hypergradient(method, **OPTIONS[method] | damped(method))
    with torch.no_grad():
        got = hypergradient(
            net.inner, net.outer, w, hyper, method, **OPTIONS[method] | damped(method)
        )
    assert torch.equal(flat(got), expected)
    for p, value in zip((*w.values(), *hyper.values()), before, strict=True):
        assert torch.equal(p, value)
        assert p.requires_grad
        assert p.grad is None
    assert not any(t.requires_grad for t in got.values())


def damped(method: str) -> dict:
    """Damping for the methods that an untrained network asks for it."""
    return {"damping": 5.0} if method in ("cg", "exact") else {}


@pytest.mark.parametrize("method", METHODS)
def test_float32_stays_float32(method):
    w, hyper = torch.ones(3), torch.full((2,), 0.5)
    got = hypergradient(
        lambda w, h: (w**2).sum() * h[0] + w.sum() * h[1],
        lambda w, h: (w**2).sum(),
        w,
        hyper,
        method,
        **OPTIONS[method],
    )
    assert got.dtype == torch.float32


@pytest.mark.parametrize("method", METHODS)
def test_what_does_not_depend_on_something_has_a_zero_there(method):
    bowl = lambda w, h: (w**2).sum()  # noqa: E731
    w, hyper = normal(3), normal(2, seed=1)
    options = OPTIONS[method]
    assert not hypergradient(bowl, bowl, w, hyper, method, **options).any()
    nothing = hypergradient(
        bowl, lambda w, h: torch.ones((), dtype=torch.float64), w, hyper, method, **options
    )
    assert not nothing.any()
    direct = hypergradient(bowl, lambda w, h: (h**3).sum(), w, hyper, method, **options)
    torch.testing.assert_close(direct, 3 * hyper**2)


@pytest.mark.parametrize(
    ("method", "options"), [("reverse", {}), ("reverse", {"recompute": True}), ("forward", {})]
)
def test_a_linear_inner_has_a_constant_gradient(method, options):
    got = hypergradient(
        lambda w, h: h @ w,
        lambda w, h: (w**2).sum(),
        normal(3),
        normal(3, seed=1),
        method,
        steps=4,
        lr=0.1,
        **options,
    )
    # w = w0 - 0.4 h
    torch.testing.assert_close(got, -0.8 * (normal(3) - 0.4 * normal(3, seed=1)))


# Errors


def bowl(w, h):
    return (w**2).sum() * h.sum()


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("backward", {}, "method is 'backward': give one of reverse, forward, truncated, first_o"),
        ("reverse", {"lr": 0.1}, "reverse needs steps: its options are steps, lr, momentum, re"),
        ("cg", {}, "cg needs steps: its options are steps, damping"),
        ("truncated", {"steps": 3, "lr": 0.1}, "truncated needs keep: its options are steps, lr,"),
        ("neumann", {"steps": 3}, "neumann has no option 'steps': its options are terms, lr, dam"),
        ("first_order", {"lr": 0.1}, "first_order has no option 'lr': it has none"),
        ("reverse", {"steps": 0, "lr": 0.1}, "steps is 0: give a whole number, 1 or more"),
        ("cg", {"steps": 2.5}, "steps is 2.5: give a whole number, 1 or more"),
        ("neumann", {"terms": 0, "lr": 0.1}, "terms is 0: give a whole number"),
        ("unrolled_step", {"lr": 0.0}, "lr is 0.0: give a positive, finite number"),
        ("finite_difference", {"lr": math.nan}, "lr is nan: give a positive"),
        ("reverse", {"steps": 1, "lr": 1, "momentum": 1}, "momentum is 1: give 0 or more, below"),
        ("exact", {"damping": -1.0}, "damping is -1.0: give 0 or a positive, finite number"),
        ("reverse", {"steps": 1, "lr": 1, "recompute": 1}, "recompute is 1: give True or False"),
        (
            "truncated",
            {"steps": 3, "lr": 0.1, "keep": 4},
            "keep is 4: give a number of last steps, from 1 to steps, 3",
        ),
    ],
)
def test_bad_options_are_refused(method, options, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        hypergradient(bowl, bowl, torch.ones(2), torch.ones(2), method, **options)


@pytest.mark.parametrize(
    ("w", "hyper", "message"),
    [
        ([], torch.ones(1), "w is empty: give a tensor of floats, or a dict, tuple or list"),
        (torch.ones(1), {}, "hyper is empty"),
        (torch.ones(1), 0.5, "hyper is of type float: give a tensor"),
        (torch.ones(1), {"a": 0.5}, "hyper is a dict with a float: give a tensor"),
        ((torch.ones(1), torch.arange(2)), torch.ones(1), "w is a tuple with torch.int64: give"),
        (torch.arange(2), torch.ones(1), "w is a tensor of torch.int64: give a tensor of floats"),
        (
            [torch.ones(1), torch.ones(1).double()],
            torch.ones(1),
            "w has tensors of torch.float32 on cpu and torch.float64 on cpu: give one kind",
        ),
    ],
)
def test_what_is_not_tensors_of_floats_is_refused(w, hyper, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        hypergradient(bowl, bowl, w, hyper, "exact")


@pytest.mark.parametrize("method", METHODS)
def test_losses_that_are_not_one_number_are_refused(method):
    arguments = torch.ones(2), torch.ones(2), method
    with pytest.raises(ValueError, match=r"^outer returns shape \(2,\): give a function with one"):
        hypergradient(bowl, lambda w, h: w * h, *arguments, **OPTIONS[method])
    if method != "first_order":
        with pytest.raises(ValueError, match=r"^inner returns shape \(2,\): give a function with"):
            hypergradient(lambda w, h: w * h, bowl, *arguments, **OPTIONS[method])
    with pytest.raises(ValueError, match=r"^outer returns 1\.0: give a function with one number"):
        hypergradient(bowl, lambda w, h: 1.0, *arguments, **OPTIONS[method])
