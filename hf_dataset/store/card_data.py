"""The YAML of a dataset card of any schema, by what its files hold.

It (`configs`, `dataset_info`) follows https://huggingface.co/docs/hub/datasets-manual-configuration: with it
`datasets.load_dataset(FOLDER)` opens the folder, here or on the Hub, and refuses it where rows are missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from datasets import DatasetInfo, Features, SplitDict, SplitInfo
from datasets.info import DatasetInfosDict
from huggingface_hub import CardData, DatasetCardData

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


class SplitSize(Protocol):
    """How much a split's files hold: rows, bytes decoded and bytes of the files."""

    @property
    def rows(self) -> int: ...
    @property
    def decoded(self) -> int: ...
    @property
    def stored(self) -> int: ...


def card_data(
    configs: Mapping[str, Mapping[str, SplitSize]], folders: Mapping[str, str], features: Features, **about: Any
) -> DatasetCardData:
    """The card's YAML.

    configs: configuration → split → what it holds, the default configuration first. folders: configuration → folder of
    its shards. about: title, licence, tasks and tags, by the Hub's names.
    """
    default, *_ = configs
    rows = sum(split.rows for split in configs[default].values())
    data = DatasetCardData(
        **about,
        size_categories=[next((label for limit, label in SIZES if rows < limit), "1M<n<10M")],
        configs=[
            {
                "config_name": config,
                **({"default": True} if config == default else {}),
                "data_files": [{"split": name, "path": f"{folders[config]}/{name}-*.parquet"} for name in splits],
            }
            for config, splits in configs.items()
        ],
    )
    infos = {config: _info(config, splits, features) for config, splits in configs.items()}
    DatasetInfosDict(infos).to_dataset_card_data(data)
    return data


def add_config(data: CardData, config: str, folder: str, splits: Mapping[str, SplitSize], features: Features) -> None:
    """Name one more configuration, of other columns, in a card's YAML."""
    files = [{"split": name, "path": f"{folder}/{name}-*.parquet"} for name in splits]
    data["configs"] = [*data["configs"], {"config_name": config, "data_files": files}]
    infos = DatasetInfosDict.from_dataset_card_data(data)
    infos[config] = _info(config, splits, features)
    infos.to_dataset_card_data(data)


def _info(config: str, sizes: Mapping[str, SplitSize], features: Features) -> DatasetInfo:
    """Columns, rows and sizes of a configuration."""
    splits = SplitDict()
    for name, part in sizes.items():
        splits.add(SplitInfo(name, num_bytes=part.decoded, num_examples=part.rows))
    return DatasetInfo(
        config_name=config,
        features=features,
        splits=splits,
        dataset_size=sum(part.decoded for part in sizes.values()),
        download_size=sum(part.stored for part in sizes.values()),
    )
