"""The web process's routes."""

from django.contrib import admin
from django.urls import path

from counterpoint.api import api
from counterpoint.monitoring.endpoint import metrics

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/v1/", api.urls),
    path("metrics", metrics),
]
