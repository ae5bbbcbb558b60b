"""The small space: equal cells are found, networks are their cells', the table can be asked."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mlcourse.hpo.hyperband import Hyperband
from mlcourse.hpo.method import Method, Trial
from mlcourse.hpo.random import Random
from mlcourse.hpo.space import Space
from mlcourse.nas.small_networks import SmallCell, SmallNetwork, avg_pool, noisy_digits, train
from mlcourse.nas.small_space import (
    OPERATIONS,
    SPACE,
    cells,
    from_config,
    neighbours,
    representatives,
    to_config,
)
from mlcourse.nas.small_supernet import SmallSupernet, derive_cell
from mlcourse.nas.small_table import Searched, Table, regret_at, search

X = torch.randn(2, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def module(cell: str, names: Sequence[int] = range(6)) -> SmallCell:
    """A cell in float64 whose convolutions have random weights: those of these names in turn."""
    made = SmallCell(cell, 2).double().eval()
    for name, convolution in zip(names, made.convolutions.values(), strict=False):
        generator = torch.Generator().manual_seed(name)
        for p in convolution.parameters():
            p.data = torch.rand(p.shape, dtype=torch.float64, generator=generator) - 0.2
    return made


def output(cell: str, names: Sequence[int]) -> tuple[float, ...]:
    with torch.no_grad():
        return tuple(round(y, 9) for y in module(cell, names)(X)[0, 0, 0].tolist())


def test_a_cell_and_its_configuration_say_the_same() -> None:
    assert Space(SPACE).size == len(cells()) == len(set(cells())) == 4096
    for cell in ("cscnsc", "nnnnnn", "aaaaaa"):
        config = to_config(cell)
        Space(SPACE).check(config)
        assert from_config(config) == cell
    assert to_config("nsacnn")["0-3"] == "conv_3x3"


@pytest.mark.parametrize("cell", ["ccccc", "cccccx", ""])
def test_letters_that_are_no_cell_are_refused(cell: str) -> None:
    with pytest.raises(ValueError, match="give 6 letters of n, s, a, c"):
        to_config(cell)
    with pytest.raises(ValueError, match="give 6 letters"):
        SmallCell(cell, 2)


def test_configurations_of_other_spaces_are_refused() -> None:
    for config in ({"0-1": "none"}, {**to_config("nnnnnn"), "0-1": "sep_conv_3x3"}):
        with pytest.raises(ValueError, match="give an operation for each edge"):
            from_config(config)


def test_neighbours_differ_on_one_edge() -> None:
    around = neighbours("cscnsc")
    assert len(around) == len(set(around)) == 18
    assert all(sum(a != b for a, b in zip(one, "cscnsc", strict=True)) == 1 for one in around)


def test_what_does_not_reach_the_output_dissolves() -> None:
    simplest = representatives()
    for cell in ("ccncnn", "cccnnn", "nsnnnn"):
        reaches = cell == "ccncnn"
        assert simplest[cell] == ("nnncnn" if reaches else "nnnnnn")
    # A path of skips is a skip, and two equal ones double.
    assert simplest["snnnsn"] == simplest["nsnnns"] == "nnnsnn"
    assert simplest["snnssn"] != "nnnsnn"
    # Pooling a sum is the sum of the pooled.
    assert simplest["sssnna"] == simplest["ssnnaa"]


def test_one_convolution_used_twice_is_not_two_convolutions() -> None:
    simplest = representatives()
    # conv(x) over two paths of skips, and two convolutions of x that are added.
    used_twice, two = "cnsnss", "ccnnss"
    assert simplest[used_twice] != simplest[two]
    assert simplest[two] == simplest["cnncsn"]


def test_cells_called_equal_compute_equal_functions() -> None:
    """With one weight for all convolutions, so that it does not matter which is which."""
    simplest = representatives()
    for cell in np.random.default_rng(0).choice(cells(), size=150, replace=False).tolist():
        with torch.no_grad():
            expected = module(simplest[cell], [0] * 6)(X)
            torch.testing.assert_close(module(cell, [0] * 6)(X), expected)


def test_the_simplest_cell_has_no_more_than_any_equal_one() -> None:
    simplest = representatives()
    assert len(simplest) == 4096
    for cell, chosen in simplest.items():
        assert simplest[chosen] == chosen
        assert chosen.count("c") <= cell.count("c")


def test_cells_called_different_compute_different_functions() -> None:
    """With one weight for all convolutions, or else with weights of their own in any order."""
    alike: dict[tuple[float, ...], list[str]] = {}
    for cell in set(representatives().values()):
        alike.setdefault((cell.count("c"), *output(cell, [0] * 6)), []).append(cell)
    several = [group for group in alike.values() if len(group) > 1]
    assert several
    for group in several:
        orders = list(itertools.permutations(range(group[0].count("c"))))
        found = {frozenset(output(cell, names) for names in orders) for cell in group}
        assert len(found) == len(group)


def test_a_cell_adds_what_arrives() -> None:
    with torch.no_grad():
        cell = module("cansca")  # 0-1 conv, 0-2 pool, 0-3 skip, 1-3 conv, 2-3 pool
        conv = cell.convolutions
        first = conv["0"](X)
        expected = X + conv["4"](first) + avg_pool(avg_pool(X))
        torch.testing.assert_close(cell(X), expected)
        assert set(conv) == {"0", "4"}
        assert not module("cccnnn")(X).any()
        assert torch.equal(module("nnnsnn")(X), X)


def test_pooling_is_torch_s() -> None:
    for size in ((8, 8), (4, 4), (3, 5)):
        X = torch.randn(2, 3, *size, dtype=torch.float64)
        expected = F.avg_pool2d(X, 3, stride=1, padding=1, count_include_pad=False)
        torch.testing.assert_close(avg_pool(X), expected)


def test_the_digits_are_parted_and_their_noise_is_fresh() -> None:
    task = noisy_digits()
    assert [len(part.X) for part in task] == [600, 837, 1080]
    assert all(part.X.shape[1:] == (1, 8, 8) and len(part.X) == len(part.y) for part in task)
    copies = task.test.X.view(3, 360, 64)
    assert torch.equal(task.test.y.view(3, 360)[0], task.test.y.view(3, 360)[2])
    # Two noises of variance 0.49 are between the copies of an image.
    assert (copies[0] - copies[1]).var().item() == pytest.approx(2 * 0.49, rel=0.05)


def test_a_training_is_its_seed_s() -> None:
    state = torch.random.get_rng_state()
    first, again, other = (train("nnncnn", seed, epochs=3) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert first[:2] == again[:2] != other[:2]
    assert len(first.validation) == 2  # after epochs 1 and 3
    assert first.seconds > 0


def test_a_training_learns_what_a_dead_cell_cannot() -> None:
    dead, alive = train("nnnnnn", 0, epochs=3), train("nnncnn", 0, epochs=3)
    assert dead.test == pytest.approx(0.1, abs=0.01) != alive.test
    assert alive.test > dead.test


def test_the_supernet_at_a_corner_is_the_network_of_its_cell() -> None:
    """With all weight on one operation an edge, and without a batch's statistics, for each seed."""
    X = torch.randn(5, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    for seed, cell in enumerate(("cscnsc", "aacnss", "nnncnn")):
        supernet = SmallSupernet(4, generator=torch.Generator().manual_seed(seed)).double().eval()
        with torch.no_grad():
            supernet.alpha.fill_(-1e4)
            for edge, letter in enumerate(cell):
                supernet.alpha[edge, list(OPERATIONS).index(letter)] = 0
        assert supernet.genotype() == cell
        network = SmallNetwork(lambda channels, cell=cell: SmallCell(cell, channels), 4)
        network.double().eval()
        theirs = supernet.network.state_dict()
        state = network.state_dict()
        for name in state:
            # Candidates' batch norms have neither scale nor shift: those of a new one do nothing.
            before, _, rest = name.partition("convolutions.")
            edge, _, of_edge = rest.partition(".")
            supernet_s = f"{before}edges.{edge}.conv_3x3.{of_edge}" if rest else name
            if supernet_s in theirs:
                state[name] = theirs[supernet_s]
        network.load_state_dict(state)
        torch.testing.assert_close(supernet(X), network(X))


def test_the_supernet_s_parameters_are_parted() -> None:
    supernet = SmallSupernet(generator=torch.Generator().manual_seed(0))
    again = SmallSupernet(generator=torch.Generator().manual_seed(0))
    assert all(
        torch.equal(a, b) for a, b in zip(supernet.parameters(), again.parameters(), strict=True)
    )
    alphas, weights = list(supernet.architecture()), list(supernet.weights())
    assert [p is supernet.alpha for p in alphas] == [True]
    assert len(weights) + 1 == len(list(supernet.parameters()))
    torch.testing.assert_close(supernet.strengths().sum(1), torch.ones(6))
    supernet(torch.randn(2, 1, 8, 8)).sum().backward()
    assert supernet.alpha.grad is not None
    assert supernet.alpha.grad.abs().sum() > 0


def test_strengths_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="give 6 edges x 4 operations"):
        derive_cell(torch.ones(5, 4))


CHECKS = [1, 3, 6, 12]


def accuracy(cell: str) -> float:
    """An accuracy with two peaks, equal for equal cells."""
    simplest = representatives()[cell]
    return 0.3 + 0.1 * simplest.count("c") - 0.03 * max(0, simplest.count("c") - 3) ** 2


@pytest.fixture(scope="module")
def table() -> Table:
    rng = np.random.default_rng(0)
    rows = []
    for cell in sorted(set(representatives().values())):
        runs = 4 if cell.count("c") > 3 else 3
        noise = rng.normal(0, 0.01, size=(runs, 4))
        slow = np.array([0.5, 0.7, 0.9, 1.0])
        validation = accuracy(cell) * slow + noise
        test = accuracy(cell) + rng.normal(0, 0.01, size=runs)
        rows.append(
            {
                "cell": cell,
                "validation": validation.tolist(),
                "test": test.tolist(),
                "seconds": [0.01 * (1 + cell.count("c"))] * runs,
            }
        )
    return Table({"checks": CHECKS, "cells": rows})


def test_the_table_answers_for_every_cell(table: Table) -> None:
    assert len(table.trained) == len(set(representatives().values()))
    for cell in ("cccccc", "cccnnn", "ssssss"):
        runs = table.test_runs(cell)
        assert table.validation(cell).shape == (len(runs), 4)
        assert table.test(cell) == pytest.approx(runs.mean())
        simplest = representatives()[cell]
        assert table.test(cell) == table.test(simplest)
        assert table.seconds(cell) == pytest.approx(0.12 * (1 + simplest.count("c")))
        assert table.seconds(cell, 3) == pytest.approx(table.seconds(cell) / 4)
        assert table.regret(cell) == pytest.approx(table.test(table.best) - table.test(cell))
    assert min(map(table.regret, table.trained)) == table.regret(table.best) == 0


def test_the_table_s_spread_is_that_of_cells_and_of_seeds(table: Table) -> None:
    spread = table.spread()
    between = np.std([accuracy(cell) for cell in table.trained], ddof=1)
    assert spread.between == pytest.approx(between, rel=0.02)
    assert spread.within == pytest.approx(0.01, rel=0.1)
    same = [cell for cell in table.trained if cell.count("c") == 3]
    assert table.spread(same).between < 0.005


def test_peaks_are_higher_than_all_around(table: Table) -> None:
    peaks = table.peaks()
    assert peaks[0] == table.best
    for peak in peaks:
        assert all(table.test(other) <= table.test(peak) for other in neighbours(peak))
    lower = next(cell for cell in table.trained if cell not in peaks)
    equal = [cell for cell, chosen in representatives().items() if chosen == lower]
    assert any(table.test(o) > table.test(lower) for cell in equal for o in neighbours(cell))


def test_a_table_with_gaps_is_refused(table: Table) -> None:
    with pytest.raises(ValueError, match=r"845 cells were not trained.*let .*nas_table.py finish"):
        Table({"checks": CHECKS, "cells": []})


def test_a_search_s_regret_is_that_of_the_best_seen(table: Table) -> None:
    method = Random(SPACE, seed=3)
    found = search(method, table, 30, seed=0)
    cells_ = [from_config(result.trial.config) for result in method.results]
    values = [result.value for result in method.results]
    assert len(found.regret) == 30
    for i in range(30):
        chosen = cells_[int(np.argmin(values[: i + 1]))]
        assert found.regret[i] == table.regret(chosen)
        spent = sum(table.seconds(cell) for cell in cells_[: i + 1])
        assert found.seconds[i] == pytest.approx(spent)
        assert found.trainings[i] == i + 1
    assert found.cell == cells_[int(np.argmin(values))]
    for cell, value in zip(cells_, values, strict=True):
        assert value in (1 - table.validation(cell)[:, -1])
    again = Random(SPACE, seed=3)
    search(again, table, 30, seed=1)
    assert [result.trial for result in again.results] == [r.trial for r in method.results]
    assert [result.value for result in again.results] != values


def test_short_trainings_are_cheaper_and_choose_nothing(table: Table) -> None:
    method = Hyperband(SPACE, 3, 12, eta=2, seed=0)
    found = search(method, table, 20, seed=0)
    assert 19 <= found.trainings[-1] <= 20
    budgets = [result.trial.budget for result in method.results]
    assert set(budgets) == {3, 6, 12}
    first = budgets.index(12)
    assert np.isinf(found.regret[:first]).all()
    assert np.isfinite(found.regret[first:]).all()
    costs = np.diff(found.seconds, prepend=0)
    for result, cost in zip(method.results, costs, strict=True):
        cell, budget = from_config(result.trial.config), result.trial.budget
        assert budget is not None
        assert cost == pytest.approx(table.seconds(cell, budget))
        assert found.trainings[-1] == pytest.approx(sum(b or 0 for b in budgets) / 12)
        shown = table.validation(cell)[:, CHECKS.index(int(budget))]
        assert result.value in (1 - shown)


def test_a_method_that_ends_ends_the_search(table: Table) -> None:
    class Once(Method):
        def _propose(self, number: int, rng: np.random.Generator) -> Trial | None:
            return Trial(number, to_config("cccccc")) if number == 0 else None

    assert len(search(Once(SPACE), table, 5).regret) == 1
    with pytest.raises(ValueError, match=r"trainings is 0\.5: give enough for one"):
        search(Once(SPACE), table, 0.5)


def test_regrets_are_read_off_at_any_time() -> None:
    slow = Searched("c", np.array([0.5, 1.5]), np.array([2.0, 4.0]), np.array([0.3, 0.1]))
    fast = Searched("c", np.array([1.0]), np.array([1.0]), np.array([0.2]))
    at_seconds = regret_at([slow, fast], [1.0, 2.0, 3.9, 9.0], "seconds")
    assert at_seconds.tolist() == [[math.inf, 0.3, 0.3, 0.1], [0.2, 0.2, 0.2, 0.2]]
    at_trainings = regret_at([slow, fast], [0.4, 0.5, 1.0, 1.5], "trainings")
    assert at_trainings.tolist() == [[math.inf, 0.3, 0.3, 0.1], [math.inf, math.inf, 0.2, 0.2]]
