"""An app (EXTRA_APPS) that notes every request to AWS that its process makes."""
