"""`hvp`: a product with the Hessian by two passes backward, without the Hessian.

The function is made in the process in which the answer lives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse.checks.by_hand_questions.shared import ONE_DTYPE, normal
from mlcourse.checks.declare import Forbidden, Mistake, Question, Variant
from mlcourse.checks.judge import beside
from mlcourse.checks.second_order_questions.shared import WITNESS, symmetric

Function = Callable[[Tensor], Tensor]
Answer = Callable[[Function, Tensor, Tensor], Any]

BY_GRADIENTS = Forbidden(
    "ready_made",
    "two gradients are enough here: leave the ready-made hessian, jacobian, hvp, vhp, jvp and vjp "
    "out and call torch.autograd.grad twice",
    attributes=frozenset(
        {
            "func",
            "functional",
            "hessian",
            "hvp",
            "jacfwd",
            "jacobian",
            "jacrev",
            "jvp",
            "vhp",
            "vjp",
        }
    ),
    traps=(
        "torch.autograd.functional.hessian",
        "torch.autograd.functional.hvp",
        "torch.autograd.functional.jacobian",
        "torch.autograd.functional.vhp",
        "torch.func.hessian",
        "torch.func.jacrev",
        "torch.func.jvp",
    ),
)


def cases(g: Generator) -> list[tuple[Tensor, ...]]:
    """(A, b, c) of a `witness.Quartic`, x and v."""
    found: list[tuple[Tensor, ...]] = []
    for eigenvalues, dtype in (
        ((3.0, 1.0, -0.4), torch.float64),
        ((2.0, -1.5), torch.float64),
        ((5.0, 2.0, -0.3, -4.0), torch.float32),
        ((1.5,), torch.float64),
    ):
        n = len(eigenvalues)
        b, c, x, v = (normal(n, generator=g, dtype=dtype) for _ in range(4))
        away = x.sign() * (0.3 + x.abs())
        found.append((symmetric(eigenvalues, g, dtype), b, c.abs() + 0.2, away, v))
    return found


def use(answer: Callable, A: Tensor, b: Tensor, c: Tensor, x: Tensor, v: Tensor) -> Any:
    """Make the function and ask for its product."""
    f = beside(answer, WITNESS, "Quartic")(A, b, c)
    return answer(f, x, v)


def hessian_of(f: Any, x: Tensor) -> Tensor:
    return f.A + torch.diag(3 * f.c * x**2)


def gradient_of(f: Any, x: Tensor) -> Tensor:
    return f.A @ x + f.b + f.c * x**3


def reference(f: Function, x: Tensor, v: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(f(x), x, create_graph=True)
    (product,) = torch.autograd.grad(g @ v, x)
    return product


def no_graph(f: Function, x: Tensor, v: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(f(x), x)
    return torch.autograd.grad(g @ v, x)[0]


def retained(f: Function, x: Tensor, v: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(f(x), x, retain_graph=True)
    return torch.autograd.grad((g * v).sum(), x)[0]


def not_a_number(f: Function, x: Tensor, v: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(f(x), x, create_graph=True)
    return torch.autograd.grad(g * v, x)[0]


def nothing_to_follow(f: Function, x: Tensor, v: Tensor) -> Tensor:
    return torch.autograd.grad(f(x), x, create_graph=True)[0]


def by_grad_outputs(f: Function, x: Tensor, v: Tensor) -> Tensor:
    here = x.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        gradient = torch.autograd.grad(f(here), here, create_graph=True)[0]
    return torch.autograd.grad(gradient, here, grad_outputs=v)[0]


def by_backward(f: Function, x: Tensor, v: Tensor) -> Tensor:
    """The second pass by backward(), into a clean .grad."""
    leaf = x.clone().requires_grad_()
    g = torch.autograd.grad(f(leaf), leaf, create_graph=True)[0]
    g.dot(v).backward()
    assert leaf.grad is not None
    return leaf.grad


def row_by_row(f: Function, x: Tensor, v: Tensor) -> Tensor:
    """One row of H after the other: right, and n times as dear."""
    leaf = x.clone().requires_grad_()
    g = torch.autograd.grad(f(leaf), leaf, create_graph=True)[0]
    rows = [torch.autograd.grad(value, leaf, retain_graph=True)[0] for value in g]
    return torch.stack(rows) @ v


NO_GRAPH = (
    "autograd has nothing to follow: x must ask for gradients (x.clone().requires_grad_()), and "
    "the first gradient must have a graph of its own, by create_graph=True (retain_graph keeps "
    "another one)"
)

hvp = Question(
    name="hvp",
    title="A product with the Hessian",
    points=3,
    reference=reference,
    cases=cases,
    use=use,
    parts=("the product",),
    forbidden=(BY_GRADIENTS,),
    mistakes=(
        Mistake("no_graph", no_graph, NO_GRAPH),
        Mistake("retained", retained, NO_GRAPH),
        Mistake(
            "not_a_number",
            not_a_number,
            "g * v is a vector, and only a number can be differentiated: add it up, g @ v",
        ),
        Mistake("no_leaf", nothing_to_follow, NO_GRAPH),
        Mistake(
            "v_forgotten",
            lambda f, x, v: hessian_of(f, x).sum(dim=0),
            "v is not used: you differentiate the sum of the gradient, which gives H times a "
            "vector of ones; differentiate g . v",
        ),
        Mistake(
            "ones_times_v",
            lambda f, x, v: hessian_of(f, x).sum(dim=0) * v,
            "v comes too late: the second gradient is that of a sum, H times ones, and times v "
            "afterwards; differentiate g . v",
        ),
        Mistake(
            "twice",
            lambda f, x, v: hessian_of(f, x) @ (hessian_of(f, x) @ v),
            "this is H applied twice, H H v: one more gradient than needed",
        ),
        Mistake(
            "gradient_times_v",
            lambda f, x, v: gradient_of(f, x) * v,
            "this is the gradient times v, entry by entry: differentiate g . v once more",
        ),
        Mistake(
            "slope",
            lambda f, x, v: gradient_of(f, x) @ v,
            "this is the slope along v, the number g . v: differentiate it once more, with respect "
            "to x",
        ),
        Mistake(
            "gradient",
            gradient_of,
            "this is the gradient: differentiate g . v once more, with respect to x",
        ),
        Mistake(
            "accumulated",
            lambda f, x, v: gradient_of(f, x) + hessian_of(f, x) @ v,
            "this is H v plus the gradient: x.grad adds up what backward() finds, so take "
            "torch.autograd.grad, or set x.grad to None in between",
        ),
        Mistake(
            "of_the_norm",
            lambda f, x, v: hessian_of(f, x) @ gradient_of(f, x),
            "this is H g, the gradient of |g|^2 / 2: differentiate g . v, with the v that is given",
        ),
        Mistake(
            "of_the_square",
            lambda f, x, v: 2 * hessian_of(f, x) @ gradient_of(f, x),
            "this is 2 H g, the gradient of g . g: differentiate g . v, with the v that is given",
        ),
        Mistake(
            "curvature",
            lambda f, x, v: v @ hessian_of(f, x) @ v,
            "this is v . H v, one number: return H v itself",
        ),
        Mistake(
            "diagonal",
            lambda f, x, v: hessian_of(f, x).diagonal() * v,
            "only the diagonal of H is in it: the gradient of g . v has the mixed terms too",
        ),
        Mistake(
            "unit_v",
            lambda f, x, v: hessian_of(f, x) @ (v / v.norm()),
            "v is scaled to length 1: the product is linear in v, so leave it as it is",
        ),
        Mistake(
            "exchanged",
            lambda f, x, v: hessian_of(f, v) @ x,
            "x and v are exchanged: H is taken at x and applied to v",
        ),
        Mistake(
            "whole",
            lambda f, x, v: hessian_of(f, x),
            "this is H itself, n^2 numbers: return its product with v",
        ),
        Mistake("minus", lambda f, x, v: -(hessian_of(f, x) @ v), "the sign is wrong"),
        Mistake("cast", lambda f, x, v: reference(f, x, v).float(), ONE_DTYPE),
    ),
    variants=(
        Variant("grad_outputs", by_grad_outputs),
        Variant("backward into a clean .grad", by_backward),
        Variant("row by row", row_by_row),
    ),
    hints=(
        "Begin with x = x.clone().requires_grad_(), so that autograd records what f does.",
        "(g,) = torch.autograd.grad(f(x), x, create_graph=True). Now g is a function of x, too.",
        "The gradient of the number g . v with respect to x is H v: H is symmetric.",
    ),
)
