"""The exercises of notebook 06 with directions: slerp, and a pure one."""

from collections.abc import Callable

from vae_helpers.exercises.engine import Exercise, Inputs, Wrong, normal, uniform

import numpy as np
import torch
from scipy.spatial import geometric_slerp
from torch import Generator, Tensor


def _two_codes(generator: Generator) -> Inputs:
    """Two codes of different lengths, with an angle not near 0, π/2 or π."""
    first = normal(generator, 4)
    first = first / first.norm()
    second = normal(generator, 4)
    second = second - (second @ first) * first
    second = second / second.norm()
    angle = uniform(generator, 1, low=0.6, high=1.0)
    angle = angle if float(uniform(generator, 1)) < 0.5 else 3.0 - angle
    lengths = uniform(generator, 2, low=0.5, high=3.0)
    return {
        "a": lengths[0] * first,
        "b": lengths[1] * (angle.cos() * first + angle.sin() * second),
        "t": uniform(generator, 5),
    }


def _angle(a: Tensor, b: Tensor) -> Tensor:
    return torch.cosine_similarity(a, b, dim=0).acos()


def _mix(of_a: Tensor, of_b: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return of_a[:, None] * a + of_b[:, None] * b


def _by_angle(
    angle: Callable[[Tensor, Tensor], Tensor],
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Slerp with another angle."""

    def answer(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
        turn = angle(a, b)
        of_a, of_b = ((1 - t) * turn).sin(), (t * turn).sin()
        return _mix(of_a, of_b, a, b) / turn.sin()

    return answer


def _straight(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    return _mix(1 - t, t, a, b)


def _stretched(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """On the straight line, stretched to the lengths between those of a and b."""
    length = (1 - t) * a.norm() + t * b.norm()
    line = _straight(a, b, t)
    return line * (length / line.norm(dim=1))[:, None]


def _slerp_by_scipy(a: Tensor, b: Tensor, t: Tensor) -> np.ndarray:
    """The weights from the plane: an arc from (1, 0) to (cos Ω, sin Ω)."""
    A, B = a.numpy(), b.numpy()
    cos = A @ B / np.linalg.norm(A) / np.linalg.norm(B)
    ends = np.array([[1.0, 0.0], [cos, np.sqrt(1 - cos**2)]])
    places = np.array([geometric_slerp(*ends, float(s)) for s in t])
    return np.linalg.solve(ends.T, places.T).T @ np.stack([A, B])


check_slerp = Exercise(
    name="slerp",
    fresh=_two_codes,
    referee=_slerp_by_scipy,
    remember="equal steps in t are equal angles; at t = 0 and t = 1 one of the sines "
    "is zero, so both ends are met exactly.",
    wrongs=[
        Wrong(
            "That is the straight line. Half-way it is shorter than both ends; which "
            "weights keep it on the sphere?",
            _straight,
        ),
        Wrong(
            "You walk along the straight line and stretch the result. The ends are "
            "right, but are the angles between your steps equal?",
            _stretched,
        ),
        Wrong(
            "The cosine of the angle is a · b divided by *both lengths*.",
            _by_angle(lambda a, b: (a @ b).acos()),
        ),
        Wrong(
            "You use the cosine of the angle as if it were the angle.",
            _by_angle(lambda a, b: torch.cosine_similarity(a, b, dim=0)),
        ),
        Wrong(
            "a · b gives the *cosine* of the angle. Which function undoes a cosine?",
            _by_angle(lambda a, b: torch.cosine_similarity(a, b, dim=0).asin()),
        ),
        Wrong(
            "t = 0 must be a. Which weight belongs to which end?",
            lambda a, b, t: _by_angle(_angle)(a, b, 1 - t),
        ),
        Wrong(
            "At t = 0 you get sin Ω times a. What do you have to divide by?",
            lambda a, b, t: _by_angle(_angle)(a, b, t) * _angle(a, b).sin(),
        ),
        Wrong(
            "That is the half-way point for every t.",
            lambda a, b, t: _by_angle(_angle)(a, b, torch.full_like(t, 0.5)),
        ),
        Wrong(
            "You normalized both codes. Then t = 0 does not give a any more.",
            lambda a, b, t: _by_angle(_angle)(a / a.norm(), b / b.norm(), t),
        ),
    ],
    tolerance=5e-4,
)


def _directions(generator: Generator) -> Inputs:
    """Three directions, none at right angles to another, of different lengths."""
    common = normal(generator, 5)
    others = normal(generator, 2, 5) + common
    sizes = torch.tensor([[0.6], [1.7]]).to(others)
    return {"direction": normal(generator, 5) + common, "others": sizes * others}


def _less(direction: Tensor, other: Tensor) -> Tensor:
    return direction - (direction @ other) / (other @ other) * other


def _onto(direction: Tensor, others: Tensor) -> Tensor:
    weights = torch.linalg.solve(others @ others.T, others @ direction)
    return weights @ others


check_pure_direction = Exercise(
    name="pure_direction",
    fresh=_directions,
    referee=lambda direction, others: (
        direction.numpy()
        - others.T.numpy()
        @ np.linalg.lstsq(others.T.numpy(), direction.numpy(), rcond=None)[0]
    ),
    remember="what is left is at right angles to both: subtract the projection on the "
    "plane that they span.",
    wrongs=[
        Wrong(
            "You subtract one after the other. The second subtraction brings a part of "
            "the first direction back, unless the two are at right angles.",
            lambda direction, others: _less(_less(direction, others[0]), others[1]),
        ),
        Wrong(
            "You subtract the projections on both, as if the two were at right angles. "
            "What they have in common is subtracted twice.",
            lambda direction, others: (
                _less(direction, others[0]) + _less(direction, others[1]) - direction
            ),
        ),
        Wrong(
            "You subtract (direction · other) times other. By what must that be "
            "divided, if `other` is not of length 1?",
            lambda direction, others: direction - others @ direction @ others,
        ),
        Wrong(
            "You divide by the length. The projection divides by its square: once for "
            "the number, once for the vector.",
            lambda direction, others: (
                direction - (others @ direction / others.norm(dim=1)) @ others
            ),
        ),
        Wrong(
            "That is the part you had to remove.",
            _onto,
        ),
        Wrong(
            "You added the projection. Then the direction leans even more that way.",
            lambda direction, others: direction + _onto(direction, others),
        ),
        Wrong(
            "You removed the first of the others only.",
            lambda direction, others: _less(direction, others[0]),
        ),
        Wrong(
            "You scaled the result to length 1. How far one step goes should stay as "
            "it comes out.",
            lambda direction, others: (
                (rest := direction - _onto(direction, others)) / rest.norm()
            ),
        ),
    ],
    tolerance=2e-3,  # a system of equations in 32 bits
)
