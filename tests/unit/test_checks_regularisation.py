"""The references of `regularisation` against torch, and answers in a student's own words."""

from __future__ import annotations

import ast
import copy
import itertools
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from mlcourse import regularization
from mlcourse.checks import load
from mlcourse.checks.forbidden import mentions
from mlcourse.checks.judge import Judge
from mlcourse.checks.notebook import misuse, source_of

EXERCISE = load("regularisation")
SEED = 20260101


def reference(name: str):
    return EXERCISE[name].reference


def cases(name: str):
    return Judge(EXERCISE[name], [SEED]).cases


def says(name: str, answer) -> str:
    verdict = Judge(EXERCISE[name], [SEED])(answer)
    assert verdict.mistake, (verdict.status, verdict.message)
    return verdict.mistake


def passes(name: str, answer) -> None:
    verdict = Judge(EXERCISE[name], [SEED])(answer)
    assert verdict.status == "passed", verdict.message


def close(one, other, rtol=1e-6):
    torch.testing.assert_close(
        torch.as_tensor(one).double(), torch.as_tensor(other).double(), rtol=rtol, atol=rtol
    )


# --- The references -------------------------------------------------------------------------------


def test_penalties_are_the_librarys():
    for weights, lam in cases("l1_penalty"):
        close(reference("l1_penalty")(weights, lam), regularization.l1_penalty(weights, lam))
        close(reference("l2_penalty")(weights, lam), regularization.l2_penalty(weights, lam))
    for weights, l1, l2 in cases("elastic_net_penalty"):
        expected = regularization.elastic_net_penalty(weights, l1, l2)
        close(reference("elastic_net_penalty")(weights, l1, l2), expected)


def test_the_gradient_is_autograds_at_zero_too():
    for w, l1, l2 in cases("penalty_gradient"):
        leaf = w.clone().requires_grad_()
        regularization.elastic_net_penalty(leaf, l1, l2).backward()
        close(reference("penalty_gradient")(w, l1, l2), leaf.grad)
        assert (w == 0).any()


def test_proximal_steps_are_torchs_and_minimise():
    generator = torch.Generator().manual_seed(0)
    for v, t in cases("soft_threshold"):
        w = reference("soft_threshold")(v, t)
        close(w, functional.softshrink(v, t))
        for move in 0.1 * torch.randn(20, *v.shape, generator=generator):
            near = w + move
            cost = (w - v).square().sum() / 2 + t * w.abs().sum()
            assert cost <= (near - v).square().sum() / 2 + t * near.abs().sum()
    for v, t in cases("shrink"):
        close(reference("shrink")(v, t), regularization.shrink_(v.clone(), t))


def test_the_decoupled_step_is_the_first_of_adamw():
    w = torch.tensor([0.5, -2.0, 0.1], dtype=torch.float64, requires_grad=True)
    w.grad = g = torch.tensor([1.0, 0.3, -2.0], dtype=torch.float64)
    before = w.detach().clone()
    torch.optim.AdamW([w], lr=0.1, weight_decay=0.7, eps=0.01).step()
    close(w.detach(), reference("decoupled_step")(before, g, g.square(), 0.1, 0.7, 0.01))


def test_sgds_weight_decay_is_twice_lambda():
    ways = []
    for decay, lam in ((EXERCISE["weight_decay"].reference, 0.0), (0.0, 0.01)):
        w = torch.tensor([0.5, -2.0], dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.1, weight_decay=decay)
        for _ in range(5):
            optimizer.zero_grad()
            ((w - 1).square().sum() + regularization.l2_penalty(w, lam)).backward()
            optimizer.step()
        ways.append(w.detach())
    close(*ways, rtol=1e-12)


def test_early_stopping_is_the_librarys():
    for losses, patience in cases("early_stopping"):
        model = nn.Linear(1, 1)
        stop = regularization.EarlyStopping(model, patience)
        best, last = reference("early_stopping")(losses, patience)
        history = Record()
        for _, loss in enumerate(losses):
            history["validation_loss"].append(loss)
            if stop(history):
                break
        assert (stop.best_epoch, history.epochs - 1) == (best, last)


class Record(dict):
    """As much of a History as early stopping looks at."""

    def __init__(self):
        super().__init__(validation_loss=[])

    @property
    def epochs(self):
        return len(self["validation_loss"])


def test_clipping_is_torchs():
    for name, clip in (
        ("clip_by_value", nn.utils.clip_grad_value_),
        ("clip_by_norm", nn.utils.clip_grad_norm_),
    ):
        for grads, limit in cases(name):
            leaves = [torch.zeros_like(g).requires_grad_() for g in grads]
            for leaf, g in zip(leaves, grads, strict=True):
                leaf.grad = g.clone()
            norm = clip(leaves, limit)
            got = reference(name)(grads, limit)
            if norm is not None:
                got, told = got
                close(told, norm)
            for leaf, g in zip(leaves, got, strict=True):
                close(leaf.grad, g)


def test_the_ensemble_is_one_pass_with_scaled_units():
    for h, W, b, p in cases("ensemble"):
        close(reference("ensemble")(h, W, b, p), (W @ ((1 - p) * h) + b).softmax(dim=0))


def test_the_numbers():
    w = 0.0
    for _ in range(10):
        w -= 0.1 * 2 * (w - 1)
    assert math.isclose(EXERCISE["learned_fraction"].reference, w)
    lam = EXERCISE["equal_penalty"].reference
    assert math.isclose(2 / (2 + 2 * lam), w)
    chances = [
        math.prod(0.8 if kept else 0.2 for kept in mask)
        for mask in itertools.product((0, 1), repeat=3)
    ]
    assert math.isclose(sum(chances), 1)
    assert math.isclose(EXERCISE["mask_probability"].reference, chances[0b101])


# --- What students write --------------------------------------------------------------------------


def test_right_answers_written_in_other_ways_pass():
    def l2_of_parts(weights, lam):
        total = torch.tensor(0.0)
        for w in weights:
            total = total + torch.pow(w, 2).sum()
        return lam * total

    def early_by_waiting(losses, patience):
        best_loss, best_epoch, bad = math.inf, 0, 0
        for i in range(len(losses)):
            if losses[i] < best_loss:
                best_loss, best_epoch, bad = losses[i], i, 0
            else:
                bad = bad + 1
                if bad == patience:
                    return best_epoch, i
        return best_epoch, len(losses) - 1

    def restore_by_copy(model, train_epoch, epochs, patience):
        lowest, best, keep, bad = math.inf, None, None, 0
        for i in range(epochs):
            value = train_epoch()
            if value < lowest:
                lowest, best, bad = value, i, 0
                keep = {key: tensor.detach().clone() for key, tensor in model.state_dict().items()}
            else:
                bad += 1
            if bad == patience:
                break
        for key, tensor in model.state_dict().items():
            tensor.copy_(keep[key])
        return best

    def ensemble_in_float32(h, W, b, p):
        masks = torch.tensor(list(itertools.product([0, 1], repeat=len(h))))
        chance = torch.where(masks == 1, 1 - p, p).prod(dim=1)
        log_p = torch.log_softmax((masks * h) @ W.T + b, dim=1)
        mean = torch.exp((chance[:, None] * log_p).sum(dim=0))
        return mean / mean.sum()

    passes("l2_penalty", l2_of_parts)
    passes("soft_threshold", functional.softshrink)
    passes("soft_threshold", lambda v, t: v.sign() * torch.relu(v.abs() - t))
    passes("shrink", lambda v, t: (1 / (1 + 2 * t)) * v)
    passes("early_stopping", early_by_waiting)
    passes("train_and_restore", restore_by_copy)
    passes("ensemble", ensemble_in_float32)
    passes("clip_by_value", lambda grads, limit: [torch.clip(g, -limit, limit) for g in grads])


def test_slips_in_students_words_are_recognised():
    def patience_one_more(losses, patience):
        best, best_epoch, bad = math.inf, 0, 0
        for i, loss in enumerate(losses):
            if loss < best:
                best, best_epoch, bad = loss, i, 0
            else:
                bad += 1
            if bad > patience:
                return best_epoch, i
        return best_epoch, len(losses) - 1

    def first_is_best(losses, patience):
        best, best_epoch = losses[0], 0
        for i, loss in enumerate(losses):
            if loss < best:
                best, best_epoch = loss, i
            if i - best_epoch >= patience:
                return best_epoch, i
        return best_epoch, len(losses) - 1

    def worse_counts(losses, patience):
        best, best_epoch, bad = math.inf, 0, 0
        for i, loss in enumerate(losses):
            if loss > best:
                bad += 1
            else:
                best, best_epoch, bad = loss, i, 0
            if bad >= patience:
                return best_epoch, i
        return best_epoch, len(losses) - 1

    def shallow(model, train_epoch, epochs, patience):
        lowest, best = math.inf, 0
        for i in range(epochs):
            loss = train_epoch()
            if loss < lowest:
                lowest, best, kept = loss, i, copy.copy(model.state_dict())
            elif i - best >= patience:
                break
        model.load_state_dict(kept)
        return best

    def just_train(model, train_epoch, epochs, patience):
        losses = []
        for i in range(epochs):
            losses.append(train_epoch())
            if i - losses.index(min(losses)) >= patience:
                break
        return losses.index(min(losses))

    def own_norms(grads, max_norm):
        total = torch.cat([g.flatten() for g in grads]).norm()
        return [g * min(1.0, max_norm / (float(g.norm()) + 1e-12)) for g in grads], total

    def always_scaled(grads, max_norm):
        total = torch.sqrt(sum((g**2).sum() for g in grads))
        return [g / total * max_norm for g in grads], total

    def mean_of_softmax(h, W, b, p):
        total = 0
        for mask in itertools.product([0, 1], repeat=len(h)):
            m = torch.tensor(mask, dtype=h.dtype)
            total = total + (1 - p) ** sum(mask) * p ** (len(h) - sum(mask)) * (
                W @ (m * h) + b
            ).softmax(0)
        return total

    assert says("early_stopping", patience_one_more) == "one_more"
    assert says("early_stopping", first_is_best) == "stuck_at_nan"
    assert says("early_stopping", worse_counts) == "not_worse"
    assert says("train_and_restore", shallow) == "reference"
    assert says("train_and_restore", just_train) == "not_restored"
    assert says("clip_by_norm", own_norms) == "each_by_its_own"
    assert says("clip_by_norm", always_scaled) == "scaled_up_from_zero"
    assert says("ensemble", mean_of_softmax) == "arithmetic"
    assert says("shrink", lambda v, t: v - 2 * t * v) == "gradient"
    assert says("soft_threshold", functional.hardshrink) == "hard"
    assert says("l2_penalty", lambda ws, lam: lam * sum(w.norm(2) for w in ws)) == "norms"
    assert says("l1_penalty", lambda ws, lam: lam * sum(w.norm() for w in ws)) == "euclidean"
    assert says("l1_penalty", lambda ws, lam: lam * ws[0].abs().sum()) == "first_alone"


def test_two_slips_get_the_sentence_of_one_of_them():
    assert says("l1_penalty", lambda ws, lam: (lam * ws[0].norm(3)).item()) == "detached"
    assert says("l2_penalty", lambda ws, lam: (lam * sum(w.norm() for w in ws)).item()) == "norms"


@pytest.mark.parametrize(
    "text",
    [
        "def penalty_gradient(w, l1, l2):\n    w.requires_grad_()\n    return w.grad",
        "def penalty_gradient(w, l1, l2):\n    return torch.autograd.grad(w.sum(), w)[0]",
    ],
)
def test_autograd_is_noticed_in_the_gradient_by_hand(text):
    (forbidden,) = EXERCISE["penalty_gradient"].forbidden
    assert mentions(ast.parse(text)) & forbidden.attributes


def test_adamw_is_noticed_in_its_own_step():
    def decoupled_step(w, m, v, lr, decay, eps):
        torch.optim.AdamW([w], lr=lr).step()

    assert misuse(EXERCISE["decoupled_step"], decoupled_step, source_of(decoupled_step))
