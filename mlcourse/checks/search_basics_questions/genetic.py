"""`crossover` and `mutate`: how a genetic search makes a child."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator

from mlcourse.checks.curves_questions.shared import uniform, use_list
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.search_basics_questions.shared import EXACT, NO_DRAWS, integer, shuffled

Config = dict[str, Any]
Numbers = list[float]

# --- Crossover ------------------------------------------------------------------------------------


def crossover_cases(g: Generator) -> list[tuple[Config, Config, Numbers]]:
    """(mother, father, uniforms): values of three kinds, from the mother first and the father."""
    found = []
    for first in (True, False, True, False):
        parents = [
            {
                "width": integer(4, 30, g) + 40 * i,
                "lr": round(uniform(0.001, 0.01, g) * 10**i, 5),
                "activation": ("relu", "tanh")[i],
                "layers": integer(1, 4, g) + 5 * i,
                "decay": round(uniform(1e-5, 1e-4, g) * 10**i, 7),
            }
            for i in shuffled(2, g)
        ]
        low = [first, not first, *(place < 1 for place in shuffled(3, g))]
        coins = [uniform(0.05, 0.45, g) if one else uniform(0.55, 0.95, g) for one in low]
        found.append((parents[0], parents[1], coins))
    return found


def crossed(
    takes_mother: Callable[[float, Numbers], bool] = lambda coin, coins: coin < 0.5,
) -> Callable[[Config, Config, Numbers], Any]:
    """Cross two parents, by another rule for whose value is taken."""

    def crossover(mother: Config, father: Config, uniforms: Numbers) -> Config:
        return {
            name: (mother if takes_mother(coin, uniforms) else father)[name]
            for name, coin in zip(mother, uniforms, strict=True)
        }

    return crossover


def between(mother: Config, father: Config, uniforms: Numbers) -> Config:
    return {
        name: mother[name] + coin * (father[name] - mother[name])
        for name, coin in zip(mother, uniforms, strict=True)
    }


def in_place(mother: Config, father: Config, uniforms: Numbers) -> Config:
    for name, coin in zip(father, uniforms, strict=True):
        if coin >= 0.5:
            mother[name] = father[name]
    return mother


def at_one_point(mother: Config, father: Config, uniforms: Numbers) -> Config:
    cut = next((i for i, coin in enumerate(uniforms) if coin >= 0.5), len(uniforms))
    names = list(mother)
    return {**mother, **{name: father[name] for name in names[cut:]}}


def by_copying(mother: Config, father: Config, uniforms: Numbers) -> Config:
    child = dict(mother)
    for i, name in enumerate(child):
        if uniforms[i] >= 0.5:
            child[name] = father[name]
    return child


def by_rounding(mother: Config, father: Config, uniforms: Numbers) -> Config:
    return {
        name: pair[round(coin)]
        for (name, pair), coin in zip(
            ((name, (mother[name], father[name])) for name in mother), uniforms, strict=True
        )
    }


crossover = Question(
    name="crossover",
    title="Crossover",
    points=1,
    reference=crossed(),
    cases=crossover_cases,
    parts=("the child",),
    tolerance=EXACT,
    forbidden=(NO_DRAWS,),
    mistakes=(
        Mistake(
            "exchanged",
            crossed(lambda coin, coins: coin >= 0.5),
            "mother and father are exchanged: a number below 0.5 takes the mother's value",
        ),
        Mistake(
            "one_coin",
            crossed(lambda coin, coins: coins[0] < 0.5),
            "one number decides for all parameters, so the child is a copy of one parent: each "
            "parameter has its own number",
        ),
        Mistake(
            "one_point",
            at_one_point,
            "from the first number above 0.5 on everything is the father's: each parameter asks "
            "its own number alone",
        ),
        Mistake(
            "in_between",
            between,
            "you mix the two values, which a choice such as the activation does not allow: take "
            "one or the other",
        ),
        Mistake(
            "mother_alone",
            lambda mother, father, uniforms: dict(mother),
            "the child is the mother: where the number is 0.5 or more, take the father's value",
        ),
        Mistake(
            "mothers_dict",
            in_place,
            "the mother is changed into her child: she is still in the population, so fill a new "
            "dict",
        ),
        Mistake(
            "values_alone",
            lambda mother, father, uniforms: list(crossed()(mother, father, uniforms).values()),
            "you return the values alone: a configuration is a dict of names to values",
        ),
    ),
    variants=(
        Variant("a copy, and then the father's", by_copying),
        Variant("an index", by_rounding),
        Variant("from pieces", crossed(lambda coin, coins: not coin >= 0.5)),
    ),
    hints=(
        "Go through the names and the numbers together: zip(mother, uniforms).",
        "Each value is the mother's or the father's; a new dict holds them.",
        "{name: (mother if u < 0.5 else father)[name] for name, u in zip(mother, uniforms)}.",
    ),
)


# --- Mutation -------------------------------------------------------------------------------------


def mutate_cases(g: Generator) -> list[tuple[Numbers, Numbers, Numbers, float, float]]:
    """(place, chances, normals, rate, step): steps over both walls, up, down, and none."""
    found = []
    for seed in range(4):
        step = round(uniform(0.08, 0.2, g), 3)
        rate = round(uniform(0.3, 0.45, g), 3)
        # Near each wall and across it, two inside, two that stay: in an order of their own.
        rows = [
            (uniform(0.9, 0.97, g), True, uniform(1.5, 2.5, g)),
            (uniform(0.03, 0.1, g), True, uniform(-2.5, -1.5, g)),
            (uniform(0.4, 0.6, g), True, uniform(0.5, 1.5, g)),
            (uniform(0.4, 0.6, g), True, uniform(-1.5, -0.5, g)),
            (uniform(0.3, 0.7, g), False, uniform(0.5, 1.5, g)),
            (uniform(0.3, 0.7, g), False, uniform(-1.5, -0.5, g)),
        ]
        rows = [rows[i] for i in shuffled(len(rows), g)]
        first = next(row for row in rows if row[1] == (seed % 2 == 0))
        rows = [first, *(row for row in rows if row is not first)]
        chances = [
            uniform(0.02, 0.9 * rate, g) if yes else uniform(1.1 * rate, 0.98, g)
            for _, yes, _ in rows
        ]
        place, normals = [row[0] for row in rows], [row[2] for row in rows]
        found.append((place, chances, normals, rate, step))
    return found


def clipped(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def mutated(
    changes: Callable[[float, float, Numbers], bool] = lambda chance, rate, chances: chance < rate,
    changed: Callable[[float, float, float], float] = lambda x, step, z: x + step * z,
    wall: Callable[[float], float] = clipped,
) -> Callable[[Numbers, Numbers, Numbers, float, float], Any]:
    """Mutate with one of the pieces exchanged."""

    def mutate(
        place: Numbers, chances: Numbers, normals: Numbers, rate: float, step: float
    ) -> Numbers:
        return [
            wall(changed(x, step, z)) if changes(chance, rate, chances) else x
            for x, chance, z in zip(place, chances, normals, strict=True)
        ]

    return mutate


def on_the_spot(
    place: Numbers, chances: Numbers, normals: Numbers, rate: float, step: float
) -> Numbers:
    place[:] = mutated()(place, chances, normals, rate, step)
    return place


def by_tensors(place: Numbers, chances: Numbers, normals: Numbers, rate: float, step: float) -> Any:
    x, u, z = (torch.tensor(row, dtype=torch.float64) for row in (place, chances, normals))
    return torch.where(u < rate, x + step * z, x).clamp(0, 1)


def by_numbers(
    place: Numbers, chances: Numbers, normals: Numbers, rate: float, step: float
) -> Numbers:
    child = list(place)
    for i in range(len(child)):
        if chances[i] < rate:
            child[i] += normals[i] * step
            child[i] = sorted((0.0, child[i], 1.0))[1]
    return child


def by_masks(place: Numbers, chances: Numbers, normals: Numbers, rate: float, step: float) -> Any:
    return tuple(
        clipped(x + (u < rate) * step * z) for x, u, z in zip(place, chances, normals, strict=True)
    )


mutate = Question(
    name="mutate",
    title="Mutation",
    points=1,
    reference=mutated(),
    cases=mutate_cases,
    use=use_list,
    parts=("the child",),
    tolerance=EXACT,
    forbidden=(NO_DRAWS,),
    mistakes=(
        Mistake(
            "all",
            mutated(lambda chance, rate, chances: True),
            "every coordinate mutates: only those whose chance is below the rate do",
        ),
        Mistake(
            "turned_round",
            mutated(lambda chance, rate, chances: chance >= rate),
            "it is turned round: a coordinate mutates when its chance is below the rate",
        ),
        Mistake(
            "one_chance",
            mutated(lambda chance, rate, chances: chances[0] < rate),
            "the first chance decides for all coordinates: each has its own",
        ),
        Mistake(
            "no_walls",
            mutated(wall=lambda x: x),
            "some coordinates have left [0, 1]: put them at the wall that they crossed",
        ),
        Mistake(
            "upper_wall",
            mutated(wall=lambda x: min(x, 1.0)),
            "some coordinates are below 0: there is a wall on this side too",
        ),
        Mistake(
            "lower_wall",
            mutated(wall=lambda x: max(x, 0.0)),
            "some coordinates are above 1: there is a wall on this side too",
        ),
        Mistake(
            "wrapped",
            mutated(wall=lambda x: x % 1.0),
            "what leaves on one side comes in on the other, which makes the smallest rate of the "
            "largest: put it at the wall that it crossed",
        ),
        Mistake(
            "bounced",
            mutated(wall=lambda x: -x if x < 0 else 2 - x if x > 1 else x),
            "your coordinates bounce back from the walls: here they stay at the wall",
        ),
        Mistake(
            "replaced",
            mutated(changed=lambda x, step, z: step * z),
            "the old coordinate is lost: a mutation is a step from it",
        ),
        Mistake(
            "step_left_out",
            mutated(changed=lambda x, step, z: x + z),
            "the normal number is added as it is: its standard deviation is 1, so multiply by step",
        ),
        Mistake(
            "same_step",
            mutated(changed=lambda x, step, z: x + step),
            "every mutation is a step of the same length and upwards: multiply step by the normal "
            "number",
        ),
        Mistake(
            "relative",
            mutated(changed=lambda x, step, z: x * (1 + step * z)),
            "your steps are shares of the coordinate, so near 0 nothing moves: add step * normal",
        ),
        Mistake(
            "callers_list",
            on_the_spot,
            "the caller's place is changed: the parent lives on, so return a new list",
        ),
    ),
    variants=(
        Variant("tensors", by_tensors),
        Variant("a copied list", by_numbers),
        Variant("truth values as numbers", by_masks),
    ),
    hints=(
        "Go through the three lists together: zip(place, chances, normals).",
        "x + step * z if chance < rate, else x.",
        "min(max(value, 0), 1) keeps it inside the walls.",
    ),
)
