# Containers by SageMaker's contract, which run elsewhere too: `train` and `serve` over /opt/ml.
#
#   docker build --target train --tag hangtag-train .
#   docker build --target serve --tag hangtag-serve .     # without torch: serves, and trains heads
#
# SageMaker needs images for amd64 with Docker's own manifests: docs/setup.md has the options.
#
# Without a Docker engine, benchmarks/container_rehearsal.py runs the same steps in a Debian made with
# debootstrap.

FROM debian:trixie-slim AS base
# Without fonts, text in an SVG is missing.
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
# NVIDIA's container toolkit gives the GPU only to containers that ask for it.
ENV NVIDIA_VISIBLE_DEVICES=all
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN pip install --no-cache-dir ".[train,aws]"
CMD ["train"]
