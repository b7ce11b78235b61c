"""`croissant.json`: the columns for machines, with type, shape, unit and meaning (Croissant 1.1, made from the schema).

https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html. `mlcroissant.Dataset("FOLDER/croissant.json")` reads
the records. Of what the specification requires two things are left out: `datePublished`, because the same dataset has
the same bytes whenever it is written (the Hub dates its commits), and in a folder, which has no page, `url`.
"""

from __future__ import annotations

import importlib.metadata
from typing import Any

import numpy as np

from hf_dataset import schema
from hf_dataset.store import card_text
from hf_dataset.store.contents import CONFIG_DIRS, SPLIT_ORDER, Contents

FILE = "croissant.json"
CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
TYPES = {"int64": "cr:Int64", "int32": "cr:Int32", "float32": "cr:Float32", "bool": "sc:Boolean", "string": "sc:Text"}
LICENCES = {
    "apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0",
    "cc-by-nc-4.0": "https://creativecommons.org/licenses/by-nc/4.0/",
}
CREATORS = {
    "apache-2.0": "ariel-hf",
    "cc-by-nc-4.0": "University College London and the Ariel consortium; reduced by ariel-hf",
}
SPLITS = {
    "train": "cr:TrainingSplit",
    "validation": "cr:ValidationSplit",
    "test": "cr:TestSplit",
    "unlike": "cr:TrainingSplit",
}
_CR_TERMS = (
    *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileObject"),
    *("fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5"),
    *("parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate", "separator"),
    *("source", "subField", "transform"),
)
CONTEXT: dict[str, Any] = {  # that of mlcroissant for 1.1, term for term: a reader warns of any that lacks
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    **{term: f"cr:{term}" for term in _CR_TERMS},
}


def describe(contents: Contents, title: str, wavelengths: np.ndarray, repo_id: str | None = None) -> dict[str, Any]:
    """The Croissant description, JSON-able; wavelengths (channel,) [um].

    The files are those beside `croissant.json`, or of the Hub's dataset `repo_id`. Its `version` is the package's,
    which decides columns and steps; the rows are identified by a revision on the Hub.
    """
    url = f"https://huggingface.co/datasets/{repo_id}"
    return {
        "@context": CONTEXT,
        "@type": "Dataset",
        "conformsTo": CONFORMS_TO,
        "name": title,
        "description": card_text.description(contents),
        "license": LICENCES[contents.licence],
        **({"url": url} if repo_id else {}),
        "version": importlib.metadata.version("ariel-hf"),
        "creator": {"@type": "Organization", "name": CREATORS[contents.licence]},
        "citeAs": card_text.CITATION.strip(),
        "keywords": card_text.TAGS,
        "distribution": _distribution(contents, url if repo_id else None),
        "recordSet": [_splits(), _channels(wavelengths), *(_records(contents, config) for config in contents.configs)],
    }


def _distribution(contents: Contents, url: str | None) -> list[dict[str, Any]]:
    """The Parquet files of every configuration, in the Hub's git repository where there is one."""
    repository = {
        "@type": "cr:FileObject",
        "@id": "repository",
        "name": "repository",
        "description": "The git repository on the Hub.",
        "contentUrl": url,
        "encodingFormat": "git+https",
        "sha256": "https://github.com/mlcommons/croissant/issues/80",  # what the Hub writes: a repository has no hash
    }
    sets = [
        {
            "@type": "cr:FileSet",
            "@id": f"files-{config}",
            "name": f"files-{config}",
            "description": f"Parquet files of the configuration {config}.",
            **({"containedIn": {"@id": "repository"}} if url else {}),
            "encodingFormat": "application/x-parquet",
            "includes": f"{CONFIG_DIRS[config]}/*.parquet",
        }
        for config in contents.configs
    ]
    return [repository, *sets] if url else sets


def _splits() -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "description": "Names of the splits that there can be.",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [
            _field("splits/name", "Name of a split.", "string", ()),
            _field("splits/url", "What the split is for.", "string", ()) | {"dataType": ["sc:URL", "cr:Split"]},
        ],
        "data": [{"splits/name": split, "splits/url": SPLITS[split]} for split in SPLIT_ORDER],
    }


def _channels(wavelengths: np.ndarray) -> dict[str, Any]:
    """The spectral axis of every array."""
    return {
        "@type": "cr:RecordSet",
        "@id": "channels",
        "name": "channels",
        "description": "The channels of every array and spectrum: 0 is FGS1, the others are AIRS-CH0.",
        "key": {"@id": "channels/channel"},
        "field": [
            _field("channels/channel", "Place along the axis C.", "int32", ()),
            _field("channels/wavelength", "Centre of the channel. Unit: µm.", "float32", ()),
        ],
        "data": [
            {"channels/channel": place, "channels/wavelength": round(float(value), 7)}
            for place, value in enumerate(wavelengths)
        ],
    }


def _records(contents: Contents, config: str) -> dict[str, Any]:
    """A configuration: its columns, and the split from the name of a row's file."""
    files = {"fileSet": {"@id": f"files-{config}"}}
    split = _field(f"{config}/split", "Split that the row is in.", "string", ())
    split["source"] = {
        **files,
        "extract": {"fileProperty": "fullpath"},
        # mlcroissant follows the reference by the transformed value, which it transforms once more: a name stays itself
        "transform": {"regex": rf"(?:.*{CONFIG_DIRS[config]}/)?([a-z]+)(?:-.+\.parquet)?$"},
    }
    split["references"] = {"field": {"@id": "splits/name"}}  # as the Hub writes it: mlcroissant fails on a bare @id
    fields = [split]
    for column in schema.COLUMNS:
        shape = schema.shape_of(column, contents.n_bins)
        unit = f" Unit: {column.unit}." if column.unit else ""
        axes = f" Axes: {', '.join(map(str, column.shape))}." if shape else ""
        field = _field(f"{config}/{column.name}", f"{column.meaning}.{unit}{axes}", column.dtype, shape)
        fields.append({**field, "source": {**files, "extract": {"column": column.name}}})
    rows = ", ".join(f"{part.rows} rows in {name}" for name, part in contents.configs[config].items())
    return {
        "@type": "cr:RecordSet",
        "@id": config,
        "name": config,
        "description": f"A record is one visit of one planet: {rows}.",
        "field": fields,
    }


def _field(where: str, meaning: str, dtype: str, shape: tuple[int, ...]) -> dict[str, Any]:
    field: dict[str, Any] = {"@type": "cr:Field", "@id": where, "name": where.rpartition("/")[2]}
    field |= {"description": meaning, "dataType": TYPES[dtype]}
    return field | ({"isArray": True, "arrayShape": ",".join(map(str, shape))} if shape else {})
