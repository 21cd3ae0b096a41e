"""Deliveries from claim to outcome: who may go, the tries, what becomes of them, and replays."""
