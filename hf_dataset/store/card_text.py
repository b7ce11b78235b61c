"""The text and the YAML of the dataset card, written from `dataset.json` and the shards; nothing reads them back."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
from huggingface_hub import DatasetCard, DatasetCardData

from hf_dataset import schema
from hf_dataset.store.card_data import card_data
from hf_dataset.store.contents import CONFIG, CONFIG_DIRS, OPEN_LICENCE, SAMPLE, Contents, SplitContents
from hf_dataset.store.record import Record

TAGS = ["astronomy", "exoplanets", "transit-spectroscopy", "time-series", "ariel"]

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

SCORE = """\
A prediction is a mean μ and an error σ of every depth. Both scores compare its log-likelihood ℓ = log N(y; μ, σ) of \
the true depths y with those of a reference, which knows only the mean and spread of training truths, and of an ideal. \
They are clipped to 0 … 1; negative predictions are an error, and σ is at least 1e-15.

| | 2024 | 2025 |
|---|---|---|
| score | (Σℓ − Σℓ_ref) / (Σℓ_ideal − Σℓ_ref), sums over all planets and channels | mean over planets and channels of \
(ℓ − ℓ_ref) / (ℓ_ideal − ℓ_ref), weight 57.846 on channel 0 (FGS1) and 1 on the others |
| ideal | μ = y, σ 10 ppm | μ = y, σ 1 ppm for FGS1, 10 ppm for AIRS-CH0 |
| reference | one mean and one σ for all planets and channels | the same |

The reference's mean 0.0025517146 and σ 0.0017261974 are those of all training truths of the 2024 challenge \
(`train_labels.csv`, over its planets and channels). `ariel evaluate` takes \
them for both scores, on simulated planets too, so that numbers can be compared; `--reference train.csv` computes them \
from another table. Combine the visits of a planet into one prediction before it is scored, and score only planets \
whose spectra the model has not seen.
"""

SPLITS_OF_FRAMES = "`train` and `test` are those of the raw folder; `validation`, where there is one, is from `train`."
SPLITS_OF_LIGHT_CURVES = (
    "`train` and `test` hold other planets, drawn in the same way; `unlike`, where there is one, planets, star tables "
    "and telescopes unlike those (`hf_dataset.simulation.unlike`)."
)
SPLITS = """\
All visits of a planet are in one split. In the challenge's `test` no spectrum is known: score on folds of `train`. \
Folds and validation go by a hash of the planet's id, so a planet keeps its place when others come or go \
(`hf_dataset.splits`):

```python
import hashlib


def fold_of(planet_id: int, n_folds: int, seed: int = 0) -> int:
    digest = hashlib.sha256(f"{seed}:{planet_id}".encode()).digest()
    return int(int.from_bytes(digest[:6], "big") / 2**48 * n_folds)  # held out in this fold
```
"""

LIMITS_OF_FRAMES = """\
- The frames come from the organisers' instrument simulator (or from this project's, where `layout` is `simulated`), \
not from a telescope in space: noise, drifts and detector effects are those of the simulator.
- `flux_err` holds random errors only. Pointing jitter and gain drift are left in `flux`: fit them.
"""

LIMITS_OF_LIGHT_CURVES = """\
- No detector frame was made or reduced: what calibration leaves behind (bad pixels, foreground, lines of hits) is \
not in these light curves, but for single outliers. Planets, drifts and noise are as this project's simulator draws \
them, which imitates the challenge's.
- `flux_err` holds photon and read noise only. Pointing jitter and gain drift are in `flux`: fit them.
"""

LIMITS = """\
- `Mp` is called Earth masses by the challenge's data page, but its values are Jupiter masses.
- One visit is one row. Split and fold by `planet_id`, never by row: visits of a planet share their spectrum.
- Bins flagged false in `valid` hold finite placeholders: mask them.
- `sample` repeats rows of the light curves; it is no split of its own.
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


def metadata(contents: Contents, title: str) -> DatasetCardData:
    """The card's YAML: what the Hub and `load_dataset` read."""
    return card_data(
        contents.configs,
        CONFIG_DIRS,
        contents.features,
        pretty_name=title,
        license=contents.licence,
        task_categories=["tabular-regression"],
        tags=TAGS,
    )


def description(contents: Contents) -> str:
    """What the dataset is, in two sentences."""
    return (
        "Transit light curves of exoplanets as ESA's Ariel would see them "
        f"(layout {', '.join(contents.layouts)}): {schema.N_CHANNELS} channels × {contents.n_bins} time bins with "
        "errors, flags, pointing and, where known, the true transmission spectrum. A row is one planet's visit."
    )


def card(contents: Contents, record: Record, repo_id: str | None = None, shown: str = "") -> str:
    """The card of a folder, or of the dataset `repo_id` of the Hub: its YAML and its text.

    shown: Markdown under the description.
    """
    split = next(iter(contents.splits))
    loading = local_loading(contents.name, split) if repo_id is None else hub_loading(repo_id, split)
    header = metadata(contents, record.title).to_yaml()
    return str(DatasetCard(f"---\n{header}\n---\n\n{_body(contents, record, loading, shown)}"))


def _body(contents: Contents, record: Record, loading: str, shown: str) -> str:
    """The card's text. loading: how to open the dataset."""
    return "\n\n".join(
        [
            f"# {record.title}",
            description(contents),
            *([shown] if shown else []),
            _splits_table(contents.configs),
            "## Columns",
            f"T = {contents.n_bins} time bins, C = {schema.N_CHANNELS} channels: channel 0 is FGS1, "
            f"1 … {schema.N_CHANNELS - 1} are AIRS-CH0 in ascending wavelength.",
            _columns_table(),
            "## Loading",
            loading,
            "## How the rows were made",
            record.made.strip(),
            _details("Steps and parameters of the first row", "json", _pretty(contents.log)),
            "## Wavelengths",
            "In µm, in the order of the channels (bin centres; FGS1 is one broad band). `croissant.json` has them too, "
            "with the columns' types, shapes and units.",
            _details(f"All {schema.N_CHANNELS}", "json wavelengths", _numbers(record.wavelengths)),
            "## Splits and folds",
            f"{SPLITS_OF_LIGHT_CURVES if contents.of_light_curves else SPLITS_OF_FRAMES} {SPLITS.strip()}",
            "## Score",
            SCORE.strip(),
            "## Provenance",
            _details(
                "What made this folder",
                "json",
                json.dumps(record.provenance, indent=2, ensure_ascii=False, default=str),
            ),
            "## Known limits",
            (LIMITS_OF_LIGHT_CURVES if contents.of_light_curves else LIMITS_OF_FRAMES) + LIMITS.strip(),
            "## Licence and citation",
            licence_section(contents) + "\n",
        ]
    )


def local_loading(name: str, split: str) -> str:
    """How to open the folder `name`."""
    where = (
        f"`{name}` is this folder's path. Of a dataset on the Hub, `load_dataset` takes the id, `OWNER/NAME`, and the "
        "others take `hf://datasets/OWNER/NAME` in the folder's place."
    )
    return f"{where}\n\n{_examples(name, name, split)}"


def hub_loading(repo_id: str, split: str) -> str:
    """How to open the dataset `repo_id` of the Hub."""
    where = (
        f"Without the Hub: put the path of a folder downloaded by `hf download {repo_id} --repo-type dataset "
        f"--local-dir FOLDER` in place of `{repo_id}` and of `hf://datasets/{repo_id}`. A revision is "
        f'`load_dataset(…, revision="v1")` and `hf://datasets/{repo_id}@v1`.'
    )
    return f"{_examples(repo_id, f'hf://datasets/{repo_id}', split)}\n\n{where}"


def licence_section(contents: Contents) -> str:
    """The card's text on the licence and citations."""
    return f"{licence_text(contents)}\n\n```bibtex\n{CITATION.strip()}\n```"


def licence_text(contents: Contents) -> str:
    """The card's text on the licence."""
    if contents.licence == OPEN_LICENCE:
        return (
            "The rows are made by this project's simulator and are under Apache-2.0. They imitate the data of the "
            "NeurIPS Ariel Data Challenges 2024 and 2025; cite the challenge for the format:"
        )
    given = (
        " Light curves of layout `given` were simulated for spectra from elsewhere, which count as the challenge's."
        if "given" in contents.layouts
        else ""
    )
    return (
        "Derived from the data of the NeurIPS Ariel Data Challenges 2024 and 2025 (University College London and the "
        f"Ariel consortium), which are under CC BY-NC 4.0, and so is this dataset.{given} Please cite the challenge:"
    )


def _splits_table(configs: Mapping[str, Mapping[str, SplitContents]]) -> str:
    lines = [
        "| configuration | split | planets | rows | with a true spectrum | shards | size |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for config, splits in configs.items():
        for name, part in splits.items():
            numbers = f"{part.planets} | {part.rows} | {part.truths} | {part.shards} | {part.stored / 1e6:.1f} MB"
            lines.append(f"| `{config}` | {name} | {numbers} |")
    return "\n".join(lines)


def _columns_table() -> str:
    lines = ["| column | type | shape | unit | meaning |", "|---|---|---|---|---|"]
    for column in schema.COLUMNS:
        shape = "[" + ", ".join(map(str, column.shape)) + "]" if column.shape else ""
        lines.append(f"| `{column.name}` | {column.dtype} | {shape} | {column.unit} | {column.meaning} |")
    return "\n".join(lines)


def _examples(name: str, folder: str, split: str) -> str:
    """Blocks of code; `name` is for `load_dataset`, `folder` for what reads files."""
    files, sample = CONFIG_DIRS[CONFIG], CONFIG_DIRS[SAMPLE]
    return f"""\
```python
from datasets import load_dataset

sample = load_dataset("{name}", "sample", split="{split}").with_format("numpy")  # up to eight planets, a small file
flux = sample[0]["flux"]  # (T, C) [e-/exposure]
white = flux[:, 1:].sum(axis=1)  # the light curve of all AIRS-CH0 channels together, (T,)

curves = load_dataset("{name}", split="{split}", streaming=True)  # all planets; rows come as they are read
known = sum(spectrum is not None for spectrum in curves["spectrum"])  # planets with a truth, without all their curves
```

`load_dataset("{name}", split="{split}")` without `streaming` has random access, from a cache that it fills first.

```python
import numpy as np
import pandas as pd

table = pd.read_parquet("{folder}/{sample}", columns=["planet_id", "visit", "time", "flux"])
flux = np.stack(table["flux"].iloc[0])  # (T, C)
```

```python
import polars as pl

stars = pl.scan_parquet("{folder}/{files}/{split}-*.parquet").select("planet_id", "visit", "Rs", "P").collect()
```

```sql
-- DuckDB
SELECT planet_id, count(*) AS visits, any_value(Rs) AS Rs
FROM '{folder}/{files}/{split}-*.parquet' GROUP BY planet_id;
```"""  # noqa: S608, an example for readers


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
