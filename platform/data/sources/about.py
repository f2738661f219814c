"""What each source gives, on what terms, where its layout is described, and whether it was tried on the real set.

This imports nothing, so that the command line can list the sources.
"""

from typing import NamedTuple

OURS = "Apache-2.0"
YOURS = "those of the photographs (--licence)"
UNTRIED = "not tried on the real set"


class AboutSource(NamedTuple):
    """What people ask of a source before they look for its photographs."""

    subject: str
    """Who is who, in a few words; "" where it does not say."""
    expression: str
    """Which expressions it names; "" where it names none, so that there is the one class ``any``."""
    lighting: str
    """Which lightings it names; "" likewise."""
    split: str
    """Its own splits; "" where people are split by share."""
    licence: str
    """The terms, in a few words; ``YOURS`` where the photographs are anybody's."""
    described: str
    """Where the layout is described: a paper, or the official page by its name."""
    tried: str = UNTRIED
    """On which real photographs it was tried, or ``UNTRIED``."""


SOURCES: dict[str, AboutSource] = {
    "affectnet": AboutSource(
        "",
        "neutral, happy, sad, surprise, fear, disgust, anger, contempt",
        "",
        "published: validation is test; val is a twentieth of training",
        "research only, by agreement with the University of Denver (AffectNet)",
        "Mollahosseini et al., AffectNet, IEEE Transactions on Affective Computing 10 (1), 2019; the data set's README",
    ),
    "aflw": AboutSource(
        "",
        "",
        "",
        "",
        "non-commercial research only (AFLW)",
        "Köstinger et al., Annotated Facial Landmarks in the Wild, ICCV Workshops 2011; the data set's database aflw.sqlite",
    ),
    "casia-webface": AboutSource(
        "folders, or the record file's labels",
        "",
        "",
        "",
        "non-commercial research only (CASIA-WebFace)",
        "Yi et al., Learning Face Representation from Scratch, arXiv 1411.7923; of record files, InsightFace's page on "
        "recognition, and the documentation of MXNet and dmlc-core",
    ),
    "celeba": AboutSource(
        "identity_CelebA.txt",
        "neutral, smile",
        "",
        "published: train, val, test",
        "non-commercial research only (CelebA)",
        "Liu et al., Deep Learning Face Attributes in the Wild, ICCV 2015; the data set's README",
    ),
    "class-folders": AboutSource(
        "folders, where there are some",
        "folders",
        "folders, where there are some",
        "folders, where there are some",
        YOURS,
        "docs/data.md",
        "rendered faces in folders",
    ),
    "deepfaketimit": AboutSource(
        "pairs of people who were swapped",
        "",
        "",
        "",
        "research only, by agreement with Idiap (DeepfakeTIMIT)",
        "Korshunov and Marcel, DeepFakes: a New Threat to Face Recognition?, arXiv 1812.08685; names of files as public programs "
        "read them",
    ),
    "faceforensics": AboutSource(
        "groups of videos that share people",
        "",
        "",
        "published, where its lists are there",
        "research only, by agreement (FaceForensics++)",
        "Rössler et al., FaceForensics++, ICCV 2019; the data set's README",
    ),
    "ffhq": AboutSource(
        "",
        "",
        "",
        "published: its validation is test; val is a twentieth of its training",
        "CC BY-NC-SA 4.0, and each photograph's own licence (FFHQ)",
        "Karras et al., A Style-Based Generator Architecture for GANs, arXiv 1812.04948; the data set's README",
    ),
    "folder": AboutSource("", "", "", "", YOURS, "docs/data.md", "rendered faces in folders"),
    "ijbb": AboutSource(
        "SUBJECT_ID, or pairs of templates",
        "",
        "",
        "all test",
        "research, by agreement with NIST (IJB-B)",
        "Whitelam et al., IARPA Janus Benchmark-B Face Dataset, CVPR Workshops 2017; of crops, InsightFace's page on IJB",
    ),
    "lfw": AboutSource(
        "folders",
        "",
        "",
        "published: View 1; val is a twentieth of its train",
        "research; the photographers hold the rights to the images (LFW)",
        "Huang et al., Labeled Faces in the Wild, report 07-49, University of Massachusetts, 2007; the data set's README",
        "LFW, deep funneled: 13,233 images",
    ),
    "multipie": AboutSource(
        "folders",
        "neutral, smile, surprise, squint, disgust, scream",
        "18 flashes, and none",
        "",
        "research, by licence from Carnegie Mellon University (CMU Multi-PIE)",
        "Gross et al., Multi-PIE, Image and Vision Computing 28 (5), 2010; the data set's guide",
    ),
    "notre-dame": AboutSource(
        "folders",
        "",
        "",
        "",
        "by agreement with the University of Notre Dame",
        "Banerjee et al., Fast Face Image Synthesis with Minimal Training, WACV 2019; its folders are assumed",
    ),
    "progan": AboutSource(
        "",
        "",
        "",
        "",
        "CC BY-NC 4.0 where NVIDIA drew the images (ProGAN)",
        "Karras et al., Progressive Growing of GANs, arXiv 1710.10196; any folders are taken",
    ),
    "raf-db": AboutSource(
        "",
        "surprise, fear, disgust, happy, sad, anger, neutral",
        "",
        "published: train, test; val is a twentieth of train",
        "non-commercial research only (RAF-DB)",
        "Li et al., Reliable Crowdsourcing and Deep Locality-Preserving Learning, CVPR 2017; the data set's README",
    ),
    "stylegan": AboutSource(
        "",
        "",
        "",
        "",
        "CC BY-NC 4.0 where NVIDIA drew the images (StyleGAN)",
        "Karras et al., A Style-Based Generator Architecture for GANs, arXiv 1812.04948; any folders are taken",
    ),
    "table": AboutSource(
        "column", "column, where there is one", "column, where there is one", "column, where there is one", YOURS, "docs/data.md",
        "rendered faces with a table",
    ),
    "umdfaces": AboutSource(
        "folders",
        "",
        "",
        "",
        "non-commercial research only (UMDFaces)",
        "Bansal et al., UMDFaces: An Annotated Face Dataset for Training Deep Networks, arXiv 1611.01484; the data set's page",
    ),
    "yale": AboutSource(
        "files' names",
        "normal, happy, sad, sleepy, surprised, wink",
        "ambient, center, left, right",
        "",
        "research only (The Yale Face Database)",
        "Belhumeur et al., Eigenfaces vs. Fisherfaces, PAMI 19 (7), 1997; the data set's README",
        "the real set (docs/yale.md)",
    ),
}  # fmt: skip


def values() -> list[dict[str, str | bool | None]]:
    """The table for programs: None where a source does not say something."""
    return [
        {"name": name, **{key: value or None for key, value in about._asdict().items()}, "tried": about.tried != UNTRIED}
        for name, about in SOURCES.items()
    ]


def tables() -> list[list[list[str]]]:
    """For people, as rows with a head: what each source gives, and on what terms and where its layout is described."""
    given = [["source", "people", "expressions", "lightings", "splits", "tried on"]]
    given += [
        [name, *(value or "–" for value in (about.subject, about.expression, about.lighting, about.split)), about.tried]
        for name, about in SOURCES.items()
    ]
    terms = [["source", "terms", "layout described in"]]
    terms += [[name, about.licence, about.described] for name, about in SOURCES.items()]
    return [given, terms]
