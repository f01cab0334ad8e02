"""What `import hangtag` offers: every stage as a function, and a trained model.

    import hangtag

    dataset = hangtag.pack("designs.csv", "dataset")
    model = hangtag.train(dataset, "model", minutes=10)
    model.tag("heart.png")                   # [Suggestion("heart", 0.97, "apply"), ...]
    model.tag(["a.png", "b.svg"], top=5)     # a list for each design
    report = model.evaluate(dataset)
    report.macro_map, report.save("report.html")
    for finding in hangtag.audit(model, "designs.csv", work="audit.work"):
        print(finding.image, finding.problem, finding.tag)
    model = hangtag.load_model("model")
    index = hangtag.build_index("designs.csv", "index", model=model)
    index.similar("heart.png")               # [Match("hearts/7.png", 0.81, ...), ...]

A path is a `str` or an `os.PathLike`. Functions take what other functions return, or the path of
it. Messages go to the logger `hangtag`, progress to the callback of `hangtag.progress`.
"""

from hangtag.api.export import export_model
from hangtag.api.finding import Index, build_index, forget, load_index, teach
from hangtag.api.library import (
    draw_sample,
    import_catalog,
    load_dataset,
    merge_dataset,
    pack,
    pack_shard,
    suggest_rules,
)
from hangtag.api.model import Model, Report, import_model, load_model, train
from hangtag.api.names import set_names, suggest_names
from hangtag.api.quality import audit, compare
from hangtag.api.serving import export_review, serve, serve_review
from hangtag.api.study import Study, load_study, tune
from hangtag.api.tags import merge_tags, untag, watch

__all__ = [
    "Index", "Model", "Report", "Study", "audit", "build_index", "compare", "draw_sample",
    "export_model", "export_review", "forget",
    "import_catalog", "import_model", "load_dataset", "load_index", "load_model",
    "load_study", "merge_dataset", "merge_tags", "pack", "pack_shard", "serve", "serve_review",
    "set_names", "suggest_names", "suggest_rules", "teach", "train", "tune", "untag", "watch",
]  # fmt: skip
