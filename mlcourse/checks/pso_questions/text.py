"""The questions of `pso` that are answered by a letter, a number or in words."""

from __future__ import annotations

from mlcourse.checks.declare import Mistake, Question
from mlcourse.checks.kinds import choice, number

ONE_STEP = (
    number(
        "one_step",
        "A step by hand",
        0.70,
        (
            "The old velocity times 0.5, and two pulls: strength times random number times way.",
            "0.5 * 0.12 + 1.6 * 0.25 * (0.2 - 0.4) + 1.6 * 0.5 * (0.8 - 0.4) is the velocity. Then "
            "x + v.",
        ),
        Mistake("velocity", 0.30, "that is the new velocity: the new place is x + v"),
        Mistake(
            "stale_velocity",
            0.52,
            "that is x plus the *old* velocity: find the new velocity first, and move by that one",
        ),
        Mistake(
            "pushed", 0.22, "the pulls have the wrong sign: the way from x to p is p - x, not x - p"
        ),
        Mistake(
            "inertia_on_all",
            0.58,
            "the inertia multiplies the old velocity alone, not the pulls",
        ),
        Mistake("no_inertia", 0.64, "the old velocity is missing: it counts w times"),
        Mistake("velocity_whole", 0.76, "the old velocity is multiplied by the inertia, 0.5"),
        Mistake("no_strength", 0.61, "each pull is multiplied by its strength, 1.6, too"),
        Mistake("not_random", 0.78, "each pull is multiplied by its random number"),
        Mistake(
            "both_to_the_swarms",
            0.94,
            "both pulls go to g: the first goes to the particle's own best place, p = 0.2",
        ),
    ),
)

FIRST = (
    number(
        "moving_at_first",
        "Who moves at first",
        4,
        (
            "All velocities are 0 and every p is x. So only one pull is left: to g.",
            "And which particle stands at g?",
        ),
        Mistake(
            "all",
            5,
            "one of them stands at the swarm's best place, which is its own best too, and is at "
            "rest: all three terms are zero",
        ),
        Mistake("none", 0, "four of them are pulled to the place of the fifth, the best one"),
        Mistake(
            "one",
            1,
            "it is the other way round: the best one stands still and the others are pulled to it",
        ),
    ),
)

SLIP = (
    choice(
        "the_slip",
        "What the slip changes",
        "c",
        "Which places does such a swarm remember? And how quickly can its target change?",
        a=(
            "Nothing much: sooner or later the iteration's best is each particle's own best",
            "the iteration's best is one place for all, and another one in the next iteration; an "
            "own best belongs to one particle and stays until it finds a better one",
        ),
        b=(
            "It makes the swarm worse, on every task and with every setting",
            "the chapter measured it: at the source's settings it costs something, with weaker "
            "pulls the difference shrinks, and with the weakest it turns round on most tasks",
        ),
        c="Particles have no memory of their own: another method, to be tuned by itself",
        d=(
            "The swarm gathers at once and comes to rest too early",
            "rather the opposite: the iteration's best jumps from place to place, and that keeps "
            "the swarm moving",
        ),
    ),
)

START = (
    choice(
        "before_drawn",
        "Used before it is drawn",
        "a",
        "What does x hold in the first line? And where does p keep its value from?",
        a="p holds what x was before, if it was anything: places that nobody has evaluated",
        b=(
            "Nothing is wrong: p is replaced after the first evaluation anyway",
            "p is replaced only when a loss is lower than the one kept with p, and that loss "
            "belongs to another place: the lines have to be exchanged",
        ),
        c=(
            "The particles all start at the same place",
            "x is drawn after that, so they start at random places: it is p that is left behind",
        ),
        d=(
            "p and x are the same array, and move together",
            "the second line makes a new array for x: p keeps the old one, with whatever was in it",
        ),
    ),
)

STOP = (
    choice(
        "when_to_stop",
        "When to stop",
        "d",
        "What does the best particle do in the first iteration? And where can a swarm gather?",
        a=(
            "As soon as one particle's velocity is below a small number",
            "the best particle stands still in the very first iteration, so this stops at once",
        ),
        b=(
            "When all velocities are small: then the lowest place is found",
            "a swarm comes to rest where it has gathered, which may be in a wrong hollow: rest is "
            "not success",
        ),
        c=(
            "Never: with enough iterations it finds the lowest place",
            "a swarm at rest tries nothing new, however long one waits: another swarm helps",
        ),
        d="After a budget of evaluations; at rest before that, start another swarm",
    ),
)

ROUNDED = (
    choice(
        "whole_steps",
        "Whole steps",
        "a",
        "What becomes of a velocity of 0.4 units?",
        a="A particle that is slower than half a unit stands still, whatever pulls it",
        b=(
            "Nothing: only integers are evaluated anyway",
            "what is evaluated are integers either way, but a velocity of 0.4 units becomes 0, and "
            "many small pulls never add up to a step",
        ),
        c=(
            "Fewer configurations are tried twice",
            "more are: slow particles stand still, and evaluate the same configuration again",
        ),
        d=(
            "The particles leave the space",
            "the walls hold them as before: what is lost are all steps of less than half a unit",
        ),
    ),
)

LIMIT = (
    choice(
        "on_the_limit",
        "The source's settings",
        "b",
        "m = 2, s2 = 8 / 12. Put them in: which side is larger?",
        a=(
            "Yes: own + swarm = 4 is well below 4 (1 + w) = 6",
            "that is order 1: the *mean* place settles, while the spread around it need not",
        ),
        b="No: they sit exactly on the limit, and the spread grows for ever, if slowly",
        c=(
            "No: they are far outside, and the spread grows exponentially",
            "both sides are equal: on the limit the spread grows by about the same amount in each "
            "step; exponential growth begins beyond",
        ),
        d=(
            "It depends on the loss",
            "the condition holds p and g still, and then the loss has no say: it is about w, own "
            "and swarm alone",
        ),
    ),
)

END = (
    Question(
        name="explain_swarm",
        title="Explain your swarm",
        points=3,
        kind="text",
    ),
)
