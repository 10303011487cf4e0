# The course from its lock, for JupyterHub, Binder, Codespaces, or alone:
#   docker build --tag dynamic-mri .
#   docker run --rm --publish 127.0.0.1:8888:8888 dynamic-mri
# From the public index PyTorch comes with CUDA. For its smaller CPU build, name an index that has it:
#   docker build --build-arg PIP_EXTRA_INDEX_URL=... --tag dynamic-mri .
FROM python:3.11-slim

ARG NB_USER=learner
ARG NB_UID=1000
ARG PIP_EXTRA_INDEX_URL=
ENV HOME=/home/${NB_USER} \
    PATH=/home/${NB_USER}/.venv/bin:${PATH} \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    OMP_WAIT_POLICY=passive

RUN useradd --create-home --uid ${NB_UID} --shell /bin/bash ${NB_USER}
USER ${NB_USER}
WORKDIR ${HOME}/course

# First what seldom changes. The hub decides about its own version: the range is that of its current protocol.
COPY --chown=${NB_UID} requirements.lock ./
RUN python -m venv ${HOME}/.venv \
    && python -m pip install -r requirements.lock \
    && python -m pip install "jupyterhub>=5.2,<6"

COPY --chown=${NB_UID} . ./
RUN python -m pip install --no-deps --no-build-isolation --editable .

EXPOSE 8888
# A hub sets the token, and its own command as well; without a hub JupyterLab starts and prints its address.
CMD ["sh", "-c", "if [ -n \"${JUPYTERHUB_API_TOKEN}\" ]; then exec jupyterhub-singleuser; else exec jupyter lab --ip=0.0.0.0 --no-browser notebooks/01_sampling.ipynb; fi"]
