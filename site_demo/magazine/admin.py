from django.contrib import admin

from paywall.admin import PricedInline

from .models import Article


@admin.register(Article)
class ArticleAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["title", "author", "published_at"]
    search_fields = ["title", "author", "body"]
    prepopulated_fields = {"slug": ["title"]}
    inlines = [PricedInline]
