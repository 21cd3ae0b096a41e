"""`make demo`: the main job from a SQL write to webhooks, a workflow and a rollback, on real
processes.
"""
