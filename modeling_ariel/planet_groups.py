"""Visits of a batch as planets: each visit (B,) has its planet's number, 0 ... P - 1."""

import torch
from torch import Tensor


def check_planet(planet: Tensor) -> None:
    """ValueError where planets (B,) are not numbered 0 ... P - 1."""
    found = planet.unique()
    if planet.is_floating_point() or not torch.equal(found, torch.arange(len(found)).to(found)):
        raise ValueError(f"planet: expected numbers 0 ... P - 1, each with a visit, found {found.tolist()}")


def check_stars(star: Tensor, planet: Tensor) -> None:
    """Refuse one planet's visits (B, 8) with different star tables: each extractor call numbers planets anew."""
    first = torch.stack([torch.nonzero(planet == p)[0, 0] for p in range(int(planet.max()) + 1)])
    away = torch.nan_to_num(star - star[first[planet]])  # a table may be unknown in some visits
    other = torch.nonzero((away != 0).any(-1)).flatten()
    if len(other):
        visit = int(other[0])
        raise ValueError(
            "planet: expected one star table for the visits of a planet, found others in visits "
            f"{int(first[planet[visit]])} and {visit}: features of several calls of the extractor cannot be put "
            "together, rows can"
        )


def by_planet(tokens: Tensor, used: Tensor, planet: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens (B, N, D) of visits as those of planets (P, V N, D), and which are used; visits in their order."""
    members = [torch.nonzero(planet == p).squeeze(-1) for p in range(int(planet.max()) + 1)]
    most = max(len(m) for m in members)
    if most == 1 and len(members) == len(tokens):
        order = torch.cat(members)
        return tokens[order], used[order]
    grouped = tokens.new_zeros(len(members), most, *tokens.shape[1:])
    present = used.new_zeros(len(members), most, used.shape[1])
    for p, m in enumerate(members):
        grouped[p, : len(m)], present[p, : len(m)] = tokens[m], used[m]
    return grouped.flatten(1, 2), present.flatten(1, 2)


def planet_mean(values: Tensor, planet: Tensor) -> Tensor:
    """Mean over the visits (B, F) of each planet (P, F)."""
    count = int(planet.max()) + 1
    total = values.new_zeros(count, values.shape[-1]).index_add(0, planet, values)
    return total / values.new_zeros(count).index_add(0, planet, torch.ones_like(values[:, 0]))[:, None]
