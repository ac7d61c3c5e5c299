"""What the magazine prints, and sells one by one."""

from __future__ import annotations

import uuid

from django.db import models
from django.urls import reverse
from django.utils import timezone

from paywall.models import PricedMixin


class Article(PricedMixin, models.Model):
    slug = models.SlugField(unique=True)
    title = models.CharField(max_length=200)
    author = models.CharField(max_length=100)
    teaser = models.TextField()
    body = models.TextField()
    in_part = models.BooleanField(
        default=False, help_text="The page is free to open; what follows the teaser is sold."
    )
    published_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-published_at"]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("magazine:in_part" if self.in_part else "magazine:article", args=[self.slug])


class Job(models.Model):
    """A piece of work that a buyer handed in through the API."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    body = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return str(self.pk)
