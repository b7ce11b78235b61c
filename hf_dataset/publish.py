"""The dataset card, written from the shards themselves so that it cannot disagree with them.

The YAML (`configs`, `dataset_info`) follows https://huggingface.co/docs/hub/datasets-manual-configuration: with it
`datasets.load_dataset(FOLDER)` opens the folder, here or on the Hub, and refuses it where rows are missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from datasets import DatasetInfo, Features, SplitDict, SplitInfo
from datasets.info import DatasetInfosDict
from huggingface_hub import DatasetCard, DatasetCardData

from hf_dataset import schema
from hf_dataset.output import Folder, folder, open_binary, write_bytes
from hf_dataset.shards import DATA_DIR, find_shards

CONFIG = "light_curves"
SPLIT_ORDER = ("train", "validation", "test")
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))

CALIBRATED = """\
Raw detector frames of both instruments, AIRS-CH0 (a prism spectrometer, 1.95–3.90 µm) and FGS1 (a photometer, \
0.60–0.80 µm), are calibrated in the order of the steps below, extracted to one flux per channel and exposure, cleaned \
of cosmic hits and averaged in time bins. Negative values are never clipped, and variances are carried through every \
step. Nothing is normalised and no transit model is fitted: the dataset holds measurements, not inferences.

| column | how it was made |
|---|---|
| `time` | mean time of the exposures in the bin, from `axis_info.parquet` |
| `flux` | sum of the calibrated detector pixels of a channel, foreground subtracted, mean of the good exposures in \
the bin. AIRS columns are matched to channels by wavelength, so every spectrum is in the order of `wavelengths.csv` |
| `flux_err` | photon, dark and read noise propagated through the same steps |
| `valid` | enough good pixels and exposures in the bin |
| `centroid` | flux-weighted centres of the star on FGS1 and of the trace on AIRS, minus their medians: the pointing |
| `star`, `Rs` … `i` | copied from the challenge's tables |
| `spectrum` | copied from the challenge's labels; null where there are none |
| `calibration` | written by the steps as they ran; `cds` is end − start (correlated double sampling, CDS) |
"""

LIMITS = """\
- The frames come from the organisers' instrument simulator (or from this project's, where `layout` is `simulated`), \
not from a telescope in space: noise, drifts and detector effects are those of the simulator.
- `flux_err` holds random errors only. Pointing jitter and gain drift are left in `flux`: fit them.
- `Mp` is called Earth masses by the challenge's data page, but its values are Jupiter masses.
- One visit is one row. Split and fold by `planet_id`, never by row: visits of a planet share their spectrum.
- Bins flagged false in `valid` hold finite placeholders: mask them.
"""

CITATION = """\
@inproceedings{yip2024ariel,
  title     = {Ariel Data Challenge 2024: Extracting exoplanetary signals from the {Ariel} Space Telescope},
  author    = {Yip, Kai Hou and Mugnai, Lorenzo V. and Bocchieri, Andrea and Papageorgiou, Andreas and \
Faucoz, Orph{\\'e}e and Tahseen, Tara and Batista, Virginie and Syty, Ang{\\`e}le and Pascale, Enzo and \
Changeat, Quentin and Edwards, Billy and Eccleston, Paul and Jenner, Clare and King, Ryan and Lueftinger, Theresa and \
Nikolaou, Nikolaos and Danto, Pascale and Boro Saikia, Sudeshna and Sim{\\~o}es, Lu{\\'i}s F. and others and \
Waldmann, Ingo P.},
  booktitle = {NeurIPS 2024 Competition Track},
  year      = {2024},
  url       = {https://openreview.net/forum?id=1mGm9tHrFT}
}
@misc{ariel2024kaggle,
  title        = {{NeurIPS} -- {Ariel} Data Challenge 2024},
  author       = {Yip, Kai Hou and Mugnai, Lorenzo V. and Coates, Rebecca L. and Bocchieri, Andrea and others},
  year         = {2024},
  howpublished = {\\url{https://kaggle.com/competitions/ariel-data-challenge-2024}},
  note         = {University College London, Kaggle}
}
@misc{ariel2025kaggle,
  title        = {{NeurIPS} -- {Ariel} Data Challenge 2025},
  author       = {Yip, Kai Hou and Mugnai, Lorenzo V. and Coates, Rebecca L. and Bocchieri, Andrea and others},
  year         = {2025},
  howpublished = {\\url{https://kaggle.com/competitions/ariel-data-challenge-2025}},
  note         = {University College London, Kaggle}
}
"""


def write_card(
    out: str | Folder,
    wavelengths: np.ndarray,
    made: str = CALIBRATED,
    provenance: Mapping[str, Any] | None = None,
    title: str = "Ariel light curves",
) -> Folder:
    """Write `out/README.md` for the shards in `out` and return its path.

    wavelengths: (channel,) [um]. made: Markdown that says how the columns came about. provenance: what made the folder
    (options, versions, hashes), shown as JSON. Simulated rows get Apache-2.0, others the challenge's licence.
    """
    out, wavelengths = folder(out), np.asarray(wavelengths, float)
    if wavelengths.shape != (schema.N_CHANNELS,):
        raise ValueError(f"wavelengths: expected shape ({schema.N_CHANNELS},), found {wavelengths.shape}")
    contents = _read_contents(out)
    body = _body(contents, title, wavelengths, made, provenance or {})
    path = out / "README.md"
    text = str(DatasetCard(f"---\n{_metadata(contents, title).to_yaml()}\n---\n\n{body}"))
    write_bytes(path, text.encode())
    return path


def read_wavelengths(out: str | Folder) -> np.ndarray:
    """Wavelengths (channel,) [um] from the card of the dataset folder or URL `out`."""
    path = folder(out) / "README.md"
    try:
        return wavelengths_in(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def wavelengths_in(text: str) -> np.ndarray:
    """Wavelengths (channel,) [um] from the text of a dataset card; ValueError where it has no sound block of them."""
    block = re.search(r"```json wavelengths\n(\[.*?\])\n```", text, re.DOTALL)
    if block is None:
        raise ValueError("expected a JSON block of wavelengths, found none")
    try:
        wavelengths = np.array(json.loads(block[1]), float)
    except ValueError as error:
        raise ValueError(f"expected a JSON list of wavelengths, found {error}") from None
    if wavelengths.shape != (schema.N_CHANNELS,) or not (np.isfinite(wavelengths) & (wavelengths > 0)).all():
        raise ValueError(f"expected {schema.N_CHANNELS} positive wavelengths, found {block[1][:60]}…")
    return wavelengths


@dataclass(frozen=True)
class _Split:
    """What a split's shards hold; `decoded` and `stored` in bytes."""

    rows: int
    planets: int
    shards: int
    decoded: int
    stored: int


@dataclass(frozen=True)
class _Contents:
    """What a dataset folder's shards say of themselves; `log` is the first row's calibration."""

    name: str
    splits: Mapping[str, _Split]
    features: Features
    layouts: list[str]
    log: str


def _read_contents(out: Folder) -> _Contents:
    splits, layouts = {}, set()
    first: tuple[Features, str] | None = None
    for split, paths in sorted(find_shards(out).items(), key=lambda item: SPLIT_ORDER.index(item[0])):
        planets, rows, decoded = set(), 0, 0
        for path in paths:
            with open_binary(path) as file, pq.ParquetFile(file) as shard:
                table, footer = shard.read(columns=["planet_id", "layout"]), shard.metadata
                planets.update(table["planet_id"].to_pylist())
                layouts.update(table["layout"].to_pylist())
                rows += footer.num_rows
                decoded += sum(footer.row_group(group).total_byte_size for group in range(footer.num_row_groups))
                if first is None and footer.num_rows:
                    log = shard.read_row_group(0, columns=["calibration"])["calibration"][0].as_py()
                    first = Features.from_arrow_schema(shard.schema_arrow), log
        if rows:
            stored = sum(path.stat().st_size for path in paths)
            splits[split] = _Split(rows, len(planets), len(paths), decoded, stored)
    if first is None:
        raise ValueError(f"{out / DATA_DIR}: expected Parquet shards with rows, found none")
    features, log = first
    return _Contents(out.resolve().name, splits, features, sorted(layouts), log)


def _metadata(contents: _Contents, title: str) -> DatasetCardData:
    """The card's YAML: what the Hub and `load_dataset` read."""
    splits = contents.splits
    rows = sum(split.rows for split in splits.values())
    infos = SplitDict()
    for name, split in splits.items():
        infos.add(SplitInfo(name, num_bytes=split.decoded, num_examples=split.rows))
    data = DatasetCardData(
        pretty_name=title,
        license="apache-2.0" if contents.layouts == ["simulated"] else "cc-by-nc-4.0",
        task_categories=["tabular-regression"],
        size_categories=[next((label for limit, label in SIZES if rows < limit), "1M<n<10M")],
        tags=["astronomy", "exoplanets", "transit-spectroscopy", "time-series", "ariel"],
        configs=[
            {
                "config_name": CONFIG,
                "default": True,
                "data_files": [{"split": name, "path": f"{DATA_DIR}/{name}-*.parquet"} for name in splits],
            }
        ],
    )
    info = DatasetInfo(
        features=contents.features,
        splits=infos,
        dataset_size=sum(split.decoded for split in splits.values()),
        download_size=sum(split.stored for split in splits.values()),
    )
    DatasetInfosDict({CONFIG: info}).to_dataset_card_data(data)
    return data


def _body(contents: _Contents, title: str, wavelengths: np.ndarray, made: str, provenance: Mapping[str, Any]) -> str:
    """The card's text."""
    n_bins = contents.features["time"].length
    return "\n\n".join(
        [
            f"# {title}",
            "Transit light curves of exoplanets as ESA's Ariel would see them "
            f"(layout {', '.join(contents.layouts)}): {schema.N_CHANNELS} channels × {n_bins} time bins with "
            "errors, flags, pointing and, where known, the true transmission spectrum. A row is one planet's visit.",
            _splits_table(contents.splits),
            "All visits of a planet are in one split.",
            "## Columns",
            f"T = {n_bins} time bins, C = {schema.N_CHANNELS} channels: channel 0 is FGS1, 1 … 282 are AIRS-CH0 in "
            "ascending wavelength.",
            _columns_table(),
            "## Loading",
            _examples(contents.name, next(iter(contents.splits))),
            "## How the rows were made",
            made.strip(),
            _details("Steps and parameters of the first row", "json", _pretty(contents.log)),
            "## Wavelengths",
            "In µm, in the order of the channels (bin centres; FGS1 is one broad band).",
            _details("All 283", "json wavelengths", _numbers(wavelengths)),
            "## Provenance",
            _details(
                "What made this folder", "json", json.dumps(provenance, indent=2, ensure_ascii=False, default=str)
            ),
            "## Known limits",
            LIMITS.strip(),
            "## Licence and citation",
            _licence(contents.layouts),
            f"```bibtex\n{CITATION.strip()}\n```\n",
        ]
    )


def _splits_table(splits: Mapping[str, _Split]) -> str:
    lines = ["| split | planets | rows | shards | size |", "|---|--:|--:|--:|--:|"]
    for name, split in splits.items():
        lines.append(f"| {name} | {split.planets} | {split.rows} | {split.shards} | {split.stored / 1e6:.1f} MB |")
    return "\n".join(lines)


def _columns_table() -> str:
    lines = ["| column | type | shape | unit | meaning |", "|---|---|---|---|---|"]
    for column in schema.COLUMNS:
        shape = "[" + ", ".join(map(str, column.shape)) + "]" if column.shape else ""
        lines.append(f"| `{column.name}` | {column.dtype} | {shape} | {column.unit} | {column.meaning} |")
    return "\n".join(lines)


def _examples(name: str, split: str) -> str:
    glob = f"{name}/{DATA_DIR}/{split}-*.parquet"
    return f"""\
`{name}` is this folder's path, or its id on the Hub for `load_dataset`.

```python
from datasets import load_dataset

curves = load_dataset("{name}", split="{split}").with_format("torch")
curves[0]["flux"].shape                                      # (T, C)
rows = load_dataset("{name}", split="{split}", streaming=True)  # nothing is downloaded before it is read
```

```python
import numpy as np, pandas as pd

table = pd.read_parquet("{name}/{DATA_DIR}", columns=["planet_id", "visit", "time", "flux"])
flux = np.stack(table["flux"].iloc[0])                       # (T, C)
```

This reads all splits together (`{split}-*.parquet` is one of them); `spectrum` is null in the challenge's test rows.

```python
import polars as pl

pl.scan_parquet("{glob}").select("planet_id", "visit", "Rs", "P").collect()
```

```sql
-- DuckDB
SELECT planet_id, count(*) AS visits, any_value(Rs) AS Rs FROM '{glob}' GROUP BY planet_id;
```"""


def _licence(layouts: list[str]) -> str:
    if layouts == ["simulated"]:
        return (
            "The rows are made by this project's simulator and are under Apache-2.0. They imitate the data of the "
            "NeurIPS Ariel Data Challenges 2024 and 2025; cite the challenge for the format:"
        )
    return (
        "Derived from the data of the NeurIPS Ariel Data Challenges 2024 and 2025 (University College London and the "
        "Ariel consortium), which are under CC BY-NC 4.0, and so is this dataset. Please cite the challenge:"
    )


def _details(summary: str, language: str, text: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n```{language}\n{text}\n```\n\n</details>"


def _pretty(log: str) -> str:
    try:
        return json.dumps(json.loads(log), indent=1, ensure_ascii=False)
    except json.JSONDecodeError:
        return log


def _numbers(values: np.ndarray) -> str:
    """A JSON list, twelve numbers a line, in as many digits as they have."""
    texts = [repr(round(float(value), 7)) for value in values]
    return "[" + ",\n ".join(", ".join(texts[start : start + 12]) for start in range(0, len(texts), 12)) + "]"
