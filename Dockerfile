# SageMaker's containers, and anybody's: `IMAGE train` and `IMAGE serve` over /opt/ml.
#
#   docker build --target train --tag hangtag-train .
#   docker build --target serve --tag hangtag-serve .     without torch
#
# SageMaker wants amd64 and Docker's own manifests: docs/setup.md has the options.
#
# Where no Docker engine is at hand, benchmarks/container_rehearsal.py runs the same steps in a
# Debian made with debootstrap.

FROM debian:trixie-slim AS base
# The fonts are what text in an SVG is drawn with; without any it is not there.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 python3-venv \
        fonts-dejavu-core fonts-liberation \
    && rm -rf /var/lib/apt/lists/*
ENV PATH=/opt/hangtag/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ENV PYTHONUNBUFFERED=1
RUN python3 -m venv /opt/hangtag
WORKDIR /src
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY hangtag hangtag
EXPOSE 8080
ENTRYPOINT ["python", "-m", "hangtag.sagemaker.container"]

FROM base AS serve
RUN pip install --no-cache-dir "."
CMD ["serve"]

FROM base AS train
# What the driver's toolkit lets into a container that is not built on NVIDIA's images.
ENV NVIDIA_VISIBLE_DEVICES=all
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN pip install --no-cache-dir ".[train,aws]"
CMD ["train"]
