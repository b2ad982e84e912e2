"""Files of other programs and of Errand, as the lists and tasks that are imported."""
