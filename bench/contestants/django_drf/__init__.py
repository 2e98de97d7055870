"""Django with Django REST framework, for gunicorn."""
