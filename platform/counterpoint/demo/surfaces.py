"""What an operator would look at: the admin's pages and Flower's API, asked over HTTP."""

from collections.abc import Iterator

import httpx

from counterpoint.demo.report import Line
from counterpoint.demo.scenario import Story, wait_for

TIMEOUT_SECONDS = 10.0
STEP = "create-order"


def lines(
    story: Story, *, admin_url: str, flower_url: str, login: tuple[str, str]
) -> Iterator[Line]:
    """Yield whether the runs are in the admin, and the worker and its tasks in Flower."""
    yield from _admin(story, admin_url, login)
    with httpx.Client(base_url=flower_url, auth=login, timeout=TIMEOUT_SECONDS) as flower:
        yield from _flower(flower)


def _admin(story: Story, admin_url: str, login: tuple[str, str]) -> Iterator[Line]:
    with httpx.Client(timeout=TIMEOUT_SECONDS, follow_redirects=True) as browser:
        page = f"{admin_url}login/"
        browser.get(page)
        form = {
            "username": login[0],
            "password": login[1],
            "csrfmiddlewaretoken": browser.cookies.get("csrftoken", ""),
            "next": f"{admin_url}jobs/run/",
        }
        browser.post(page, data=form, headers={"referer": page})
        for run in story.runs:
            answer = browser.get(f"{admin_url}jobs/run/{run.pk}/change/")
            ok = answer.status_code == httpx.codes.OK and STEP in answer.text
            yield Line(f"admin page of the {run.status} run", f"{answer.status_code}", None, ok)
        for title, path in (("events", "event"), ("deliveries", "delivery")):
            answer = browser.get(f"{admin_url}subscriptions/{path}/")
            ok = answer.status_code == httpx.codes.OK and story.company in answer.text
            yield Line(f"admin list of {title}", f"{answer.status_code}", None, ok)


def _flower(flower: httpx.Client) -> Iterator[Line]:
    def tasks() -> dict[str, str]:
        answer = flower.get("/api/tasks", params={"taskname": STEP})
        found = answer.json() if answer.status_code == httpx.codes.OK else {}
        return {task: row["state"] for task, row in found.items()}

    wait_for(lambda: "SUCCESS" in tasks().values(), f"Flower to list {STEP}")
    workers = flower.get("/api/workers", params={"refresh": "1"})
    names = list(workers.json()) if workers.status_code == httpx.codes.OK else []
    yield Line("workers in Flower", f"{len(names)}", None, bool(names))
    yield Line(f"tasks {STEP} in Flower", ", ".join(tasks().values()), None, len(tasks()) >= 2)
