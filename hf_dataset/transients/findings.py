"""What a raw folder has that is not, or not as it stands, in the dataset: named and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hf_dataset.words import number_of


@dataclass
class Findings:
    """Objects left out, by name with the reason; measurements left out and objects kept with a note, by kind.

    measurements: kind → object → how many. notes: kind → names of objects, whose rows are in the dataset.
    """

    objects: dict[str, str] = field(default_factory=dict)
    measurements: dict[str, Counter[str]] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)

    def drop_object(self, name: str, reason: object) -> None:
        """Leave an object out; the first reason stays."""
        self.objects.setdefault(name, str(reason))

    def drop_measurements(self, kind: str, name: str, count: int = 1) -> None:
        """Leave measurements of an object out."""
        self.measurements.setdefault(kind, Counter())[name] += count

    def note(self, kind: str, name: str) -> None:
        """Keep an object, but say what is unusual."""
        self.notes.setdefault(kind, []).append(name)

    def counts(self) -> dict[str, int]:
        """How much is left out: objects, and measurements of every kind."""
        left_out = {"objects": len(self.objects)}
        return left_out | {f"measurements: {kind}": each.total() for kind, each in sorted(self.measurements.items())}

    def record(self) -> dict[str, Any]:
        """All of it, JSON-able, with every name."""
        return {
            "objects left out": dict(sorted(self.objects.items())),
            "measurements left out": {
                kind: {"count": each.total(), "objects": dict(sorted(each.items()))}
                for kind, each in sorted(self.measurements.items())
            },
            "kept, with a note": {kind: sorted(names) for kind, names in sorted(self.notes.items())},
        }

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Findings:
        """What `record` gave."""
        measurements = {kind: Counter(own["objects"]) for kind, own in record["measurements left out"].items()}
        return cls(dict(record["objects left out"]), measurements, dict(record["kept, with a note"]))

    def lines(self) -> Iterator[str]:
        """What to tell people: a line for each kind, with an example."""
        for kind, each in sorted(self.measurements.items()):
            whose = f"of {number_of(len(each), 'object')}, the first {min(each)}"
            yield f"{number_of(each.total(), 'measurement')} left out, {kind}: {whose}"
        if self.objects:
            name, reason = min(self.objects.items())
            yield f"{number_of(len(self.objects), 'object')} left out, the first {name}: {reason}"
        for kind, names in sorted(self.notes.items()):
            yield f"{number_of(len(names), 'object')} kept, {kind}: the first {min(names)}"
