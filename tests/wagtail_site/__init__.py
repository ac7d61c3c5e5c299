"""A real Wagtail site that sells pages, with settings of its own: `make test-wagtail`."""
